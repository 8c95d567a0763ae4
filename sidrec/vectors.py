"""The stage ``embed``: text vectors, by a new encoder or by a kept one, and the vectors that the shop gave."""

from __future__ import annotations

from pathlib import Path

from sidrec import columns as c
from sidrec import embed, ingest, storage
from sidrec.artifacts import hash_file
from sidrec.catalogue.keep import kept
from sidrec.log import say
from sidrec.pipeline import Run
from sidrec.types import ItemVectors


def sources(run: Run) -> dict[str, str]:
    """Hashes of what the vectors depend on beside the corpus."""
    given = run.config.embed.given
    files = ingest.given_files(given, run.config.ingest)
    found = {f"given {one.name}": hash_file(path) for one, path in zip(given, files, strict=True)}
    earlier = kept(run)
    return found if earlier is None else found | {"kept encoder": earlier.encoder_hash()}


def write_vectors(run: Run, folder: Path) -> None:
    """``vectors.safetensors``, ``given-NAME.safetensors`` and the encoder."""
    config = run.config
    items = storage.load_corpus(run.folder("ingest")).items
    for one, path in zip(config.embed.given, ingest.given_files(config.embed.given, config.ingest), strict=True):
        rows = ingest.read_given(one, path, config.ingest, items[c.ITEM_ID].to_list())
        storage.save_given(folder, one, rows)
        have = int(rows.any(axis=1).sum())
        say(f"  {one.name}: {have:,} vectors of width {rows.shape[1]}; {len(rows) - have:,} items have none")
    workspace = folder / ".batches"
    workspace.mkdir(exist_ok=True)
    if (earlier := kept(run)) is not None:
        encoder = earlier.encoder()
        vectors = ItemVectors(embed.encode_items(items, encoder, config.embed, workspace))
    else:
        vectors, encoder = embed.embed(items, config.embed, config.seed, workspace)
    storage.save_vectors(folder, vectors)
    encoder.save(folder)
    say(f"  {vectors.vectors.shape[0]:,} vectors of width {vectors.vectors.shape[1]}")
