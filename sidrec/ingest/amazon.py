"""Amazon Reviews 2023 (Hou et al., "Bridging Language and Items for Retrieval and Recommendation", 2024) by category.

The loading script of the data set no longer runs in current `datasets`, so the files themselves are read. Reviews name
both ``asin`` (one size or colour) and ``parent_asin`` (the product); the metadata is of products, so ``parent_asin`` joins.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from sidrec import columns as c
from sidrec.config import AmazonSource
from sidrec.errors import DataError
from sidrec.ingest.raw import RawTables, Source, raw_interactions, raw_items
from sidrec.ingest.tables import read_table
from sidrec.ingest.values import list_column

REPOSITORY = "McAuley-Lab/Amazon-Reviews-2023"
PRODUCT, _DETAILS, _MAIN = "parent_asin", "details", "main_category"
_FIELDS = {
    c.ITEM_ID: PRODUCT,
    c.TITLE: "title",
    c.DESCRIPTION: "description",
    c.FEATURES: "features",
    c.BRAND: "store",
    c.CATEGORY: "categories",
    c.PRICE: "price",
}
_KEY = "the format of Amazon Reviews 2023"


def amazon_files(config: AmazonSource) -> tuple[Path, Path]:
    """Metadata and interactions of a category: from the folder, or downloaded (or found in the Hugging Face cache).

    Raises:
        DataError: a file is not in the folder, or cannot be downloaded; says which to fetch and where to put them.
    """
    names = _remote_names(config)
    if not config.folder:
        return _download(names[0], names, config), _download(names[1], names, config)
    return _local(Path(config.folder), names[0]), _local(Path(config.folder), names[1])


def _remote_names(config: AmazonSource) -> tuple[str, str]:
    meta = f"raw/meta_categories/meta_{config.category}.jsonl"
    if config.interactions == "5core":
        return meta, f"benchmark/5core/rating_only/{config.category}.csv"
    return meta, f"raw/review_categories/{config.category}.jsonl"


def _local(folder: Path, remote: str) -> Path:
    """Flat in the folder or laid out as on the hub, plain or gzipped."""
    flat = Path(remote).name
    tried = [folder / name for name in (flat, f"{flat}.gz", remote, f"{remote}.gz")]
    for path in tried:
        if path.is_file():
            return path
    meta = sorted(p.name for p in folder.glob("meta_*.jsonl*"))
    there = f"; the folder has {', '.join(meta)}" if meta else "" if folder.is_dir() else "; the folder does not exist"
    raise DataError(
        f"no file {flat} or {flat}.gz in {folder}{there}; download {remote} from "
        f"https://huggingface.co/datasets/{REPOSITORY} into it, or check ingest.amazon.category and .folder"
    )


def _download(remote: str, names: tuple[str, str], config: AmazonSource) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HTTPError  # type: ignore[attr-defined]

    cached = try_to_load_from_cache(REPOSITORY, remote, repo_type="dataset")
    if isinstance(cached, str):  # no network is asked about what is here already
        return Path(cached)
    try:
        return Path(hf_hub_download(REPOSITORY, remote, repo_type="dataset"))
    except (OSError, EntryNotFoundError, HTTPError) as error:  # no network, no such category, no room on the disk
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"cannot download {remote} of {REPOSITORY} ({reason}); check ingest.amazon.category = {config.category!r}, "
            f"or download {' and '.join(names)} from https://huggingface.co/datasets/{REPOSITORY} by hand into one "
            "folder and set ingest.amazon.folder to it"
        ) from None


def read_amazon(meta: Path, interactions: Path) -> RawTables:
    """Read a category's metadata and its 5-core ratings or raw reviews.

    Raises:
        DataError: a file cannot be read or lacks a column of the data set.
    """
    items, source = read_products(meta)
    log = read_table(interactions, dict.fromkeys(("user_id", PRODUCT, "timestamp"), _KEY))
    return RawTables(items, raw_interactions(log.frame, "user_id", PRODUCT, "timestamp"), source, Source.of(log))


def read_products(meta: Path) -> tuple[pl.DataFrame, Source]:
    """The raw items of a metadata file (see ``RawTables``).

    Raises:
        DataError: the file cannot be read or lacks a column of the data set.
    """
    table = read_table(meta, dict.fromkeys((*_FIELDS.values(), _DETAILS, _MAIN), _KEY))
    raw = raw_items(table.frame, _FIELDS)
    brands, categories = _brands(raw[c.BRAND], table.frame[_DETAILS]), _categories(raw[c.CATEGORY], table.frame[_MAIN])
    return raw.with_columns(brands, categories), Source.of(table)


def _brands(store: pl.Series, details: pl.Series) -> pl.Series:
    """The store; where it is empty, the "Brand" of ``details``, an object that some rows hold as a text."""
    names = store.to_list()
    for i, (name, text) in enumerate(zip(names, details.to_list(), strict=True)):
        if not (name and name.strip()) and text and "Brand" in text:
            names[i] = _brand(text)
    return pl.Series(c.BRAND, names, dtype=pl.String)


def _brand(text: str) -> str | None:
    try:
        value = json.loads(text, strict=False)
        value = json.loads(value, strict=False) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None
    brand = value.get("Brand") if isinstance(value, dict) else None
    return brand if isinstance(brand, str) else None


def _categories(paths: pl.Series, main: pl.Series) -> pl.Series:
    """The category path; where it is empty, the main category."""
    rows = [path or ([name] if name else []) for path, name in zip(paths.to_list(), main.to_list(), strict=True)]
    return list_column(rows).alias(c.CATEGORY)
