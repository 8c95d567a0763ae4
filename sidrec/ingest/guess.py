"""``sidrec init``: which column of a stranger's tables holds what, guessed by name, then by content, with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from sidrec import columns as c
from sidrec.config import ColumnMap, TablesSource
from sidrec.errors import DataError
from sidrec.ingest.attributes import attribute_type
from sidrec.ingest.rows import AT, shorten
from sidrec.ingest.tables import read_table
from sidrec.ingest.values import as_ids, as_joined, as_prices, as_text, as_times, parse_list

_SAMPLE = 20_000  # rows of each table that are looked at
_LIKELY_OVERLAP = 0.5  # of the values, where only the content says that a column holds ids
_SEPARATORS = (">", "|", "::", " / ", "/", ";", ",")
_KINDS = {"String": "texts that come back", "Float64": "numbers", "Boolean": "true or false", "List(String)": "lists"}
_AMOUNT = r"^\s*[^\w\s]{0,3}\s*[\d.,]+\s*\S{0,3}\s*$"

_ITEM_ID = (
    "item_id", "parent_asin", "product_id", "sku", "asin", "article_id", "item", "product", "variant_id", "product_code",
    "isbn", "ean", "gtin", "upc", "movie_id", "book_id", "track_id", "id", "handle", "iid", "pid",
)  # fmt: skip
_USER_ID = (
    "user_id", "customer_id", "reviewer_id", "client_id", "buyer_id", "account_id", "member_id", "visitor_id", "user",
    "customer", "client", "reviewer", "buyer", "account", "visitor", "session_id", "email", "uid", "userid",
)  # fmt: skip
_TIME = (
    "timestamp", "time", "ts", "purchased_at", "created_at", "ordered_at", "order_date", "purchase_date", "datetime", "date",
    "unix_review_time", "unix_time", "event_time", "order_time", "review_time", "created", "at",
)  # fmt: skip
_FIELDS: dict[str, tuple[str, ...]] = {
    "title": ("title", "name", "product_name", "product_title", "item_name", "item_title", "short_name", "label"),
    "description": (
        "description", "desc", "product_description", "long_description", "body_html", "body", "text", "about", "summary",
        "overview", "details",
    ),
    "features": (
        "features", "feature", "bullet_points", "bullets", "highlights", "key_features", "about_product", "feature_bullets",
    ),
    "brand": ("brand", "brand_name", "store", "manufacturer", "maker", "vendor", "publisher", "author", "artist"),
    "category": (
        "category_path", "categories", "category", "product_category", "product_type", "genres", "genre", "department",
        "category_name", "main_category", "type", "section",
    ),
    "price": ("price", "list_price", "sale_price", "unit_price", "retail_price", "selling_price", "amount", "cost"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TablesGuess:
    """Guessed columns of two tables, and one sentence of reason for each."""

    items: Path
    interactions: Path
    columns: ColumnMap
    category_separator: str
    reasons: tuple[str, ...]


@dataclass(slots=True)
class _Reasons:
    said: list[str] = field(default_factory=list)

    def add(self, key: str, column: str, why: str) -> None:
        self.said.append(f"{key} = {column!r}: {why}" if column else f"{key} is empty: {why}")


def guess_tables(items: Path, interactions: Path) -> TablesGuess:
    """Look at the first rows of both tables and guess their columns.

    Raises:
        DataError: a file cannot be read, or has nothing that could be an item id, a title or a customer id.
    """
    catalogue, log = read_table(items, {}, _SAMPLE).frame.drop(AT), read_table(interactions, {}, _SAMPLE).frame.drop(AT)
    reasons = _Reasons()
    item, log_item = _item_ids(items, catalogue, interactions, log, reasons)
    found = _item_fields(items, catalogue, item, reasons)
    separator = _separator(catalogue, found["category"], reasons)
    user = _user_id(interactions, log, log_item, reasons)
    found |= {"user_id": user, "timestamp": _timestamp(log, {user, log_item}, reasons)}
    attributes = _attributes(catalogue, {item, *found.values()}, reasons)
    log_item = "" if item == log_item else log_item
    columns = ColumnMap(item_id=item, interaction_item_id=log_item, attributes=attributes, **found)
    return TablesGuess(items, interactions, columns, separator, tuple(reasons.said))


def _named(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Columns that are called like one of ``known``, the surest first."""
    plain = {name: _plain(name) for name in names}
    order = {_plain(name): rank for rank, name in reversed(list(enumerate(known)))}
    return sorted((name for name in names if plain[name] in order), key=lambda name: order[plain[name]])


def _plain(name: str) -> str:
    """productID, Product Id and product_id are one name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _item_ids(items_path: Path, items: pl.DataFrame, log_path: Path, log: pl.DataFrame, reasons: _Reasons) -> tuple[str, str]:
    """The pair of columns whose values are the same: of those called like ids if any, else of all."""
    own = {name: ids for name in items.columns if _mostly_distinct(ids := as_ids(items[name]).drop_nulls())}
    bought = {name: as_ids(log[name]).drop_nulls() for name in log.columns}
    other = {*_named(log.columns, _USER_ID), *_named(log.columns, _TIME)}  # small numbers there may be ids by accident
    for by_name, least in ((True, 0.0), (False, _LIKELY_OVERLAP)):
        lefts = _named(list(own), _ITEM_ID) if by_name else list(own)
        rights = _named(list(bought), (*lefts, *_ITEM_ID)) if by_name else [name for name in bought if name not in other]
        pairs = [(_overlap(bought[right], own[left]), left, right) for left in lefts for right in rights]
        share, left, right = max(pairs, key=lambda pair: pair[0], default=(0.0, "", ""))  # the first of equally good ones
        if share > least:
            why = f"{share:.0%} of the first values of {right!r} in {log_path.name} are in it"
            reasons.add("item_id", left, f"{'called so, and ' if by_name else ''}{why}")
            if left != right:
                reasons.add("interaction_item_id", right, f"holds the values of {left!r}")
            return left, right
    raise DataError(
        f"which are the item ids? No column of {log_path} ({_first_values(log)}) has the values of a column of {items_path} "
        f"({_first_values(items)}), in the first {_SAMPLE} rows"
    )


def _first_values(table: pl.DataFrame) -> str:
    row = table.row(0) if table.height else ("",) * table.width
    return ", ".join(f"{name}: {shorten(str(value), 24)!r}" for name, value in zip(table.columns, row, strict=True))


def _mostly_distinct(values: pl.Series) -> bool:
    return len(values) > 0 and values.n_unique() >= 0.9 * len(values)


def _overlap(values: pl.Series, known: pl.Series) -> float:
    share = values.unique().is_in(known.unique().implode()).mean() if len(values) else 0.0
    return float(share) if isinstance(share, float) else 0.0


def _item_fields(path: Path, items: pl.DataFrame, item: str, reasons: _Reasons) -> dict[str, str]:
    found: dict[str, str] = {}
    free = [name for name in items.columns if name != item]
    for key, known in _FIELDS.items():
        named = [name for name in _named(free, known) if items[name].null_count() < items.height]
        found[key] = named[0] if named else ""
        if named:
            free.remove(named[0])
            reasons.add(key, named[0], _shown("called so", items[named[0]]))
    lengths = {name: _mean_length(items[name]) for name in free}
    if not found["title"]:
        texts = [n for n in free if 8 <= lengths[n] <= 200 and _mostly_distinct(as_text(items[n]).drop_nulls())]
        if not texts:
            raise DataError(f"{path} has no column that could be a title; columns: {', '.join(items.columns)}")
        found["title"] = min(texts, key=lambda name: abs(lengths[name] - 60))
        free.remove(found["title"])
        reasons.add("title", found["title"], _shown("short texts, nearly all different", items[found["title"]]))
    if not found["description"]:
        texts = [n for n in free if lengths[n] > max(80.0, lengths.get(found["title"], 0.0))]
        found["description"] = max(texts, key=lambda name: lengths[name], default="")
        why = _shown("the longest texts", items[texts[0]]) if texts else "no column with long texts"
        reasons.add("description", found["description"], why)
    for key in ("features", "brand", "category", "price"):
        if not found[key]:
            reasons.add(key, "", "no column is called so")
    if found["price"] and as_prices(items[found["price"]])[0].is_null().all():
        reasons.add("price", "", f"no value of {found['price']!r} is a price")
        found["price"] = ""
    return found


def _attributes(items: pl.DataFrame, taken: set[str], reasons: _Reasons) -> tuple[str, ...]:
    """What is left and could be asked for in a filter: numbers, truth values, lists, and texts that many items share."""
    found: list[str] = []
    for name in items.columns:
        if name in taken or name in c.ITEM_COLUMNS or name.startswith("__") or not name:
            continue
        values = items[name].drop_nulls()
        kind = attribute_type(values)
        if not len(values) or (kind == pl.String and (_mean_length(values) > 40 or _mostly_distinct(as_text(values)))):
            continue
        found.append(name)
        reasons.said.append(f"attributes has {name!r}: {_KINDS[str(kind)]}, {_shown('for filters', values)}")
    return tuple(found)


def _shown(why: str, column: pl.Series) -> str:
    value = as_joined(column).drop_nulls().head(1).to_list()
    return f"{why}, e.g. {shorten(value[0], 60)!r}" if value else why


def _mean_length(column: pl.Series) -> float:
    texts = as_joined(column).drop_nulls()
    if texts.str.contains(_AMOUNT).sum() > 0.5 * len(texts):
        return 0.0
    mean = texts.str.len_chars().mean()
    return mean if isinstance(mean, float) else 0.0


def _separator(items: pl.DataFrame, category: str, reasons: _Reasons) -> str:
    default = TablesSource().category_separator
    if not category:
        return default
    if items[category].dtype != pl.String:
        return default
    texts = [text for text in items[category].drop_nulls().to_list() if parse_list(text) is None]
    for separator in _SEPARATORS:
        if texts and sum(separator in text for text in texts) >= 0.2 * len(texts):
            reasons.add("category_separator", separator, f"stands in the texts of {category!r}")
            return separator
    return default


def _user_id(path: Path, log: pl.DataFrame, item: str, reasons: _Reasons) -> str:
    names = [name for name in log.columns if name != item]
    named = _named(names, _USER_ID)
    if named:
        reasons.add("user_id", named[0], _shown("called so", log[named[0]]))
        return named[0]

    def repeats(name: str) -> float:
        values = as_ids(log[name]).drop_nulls()
        return values.n_unique() / len(values) if len(values) else 0.0

    # A customer comes back (so values repeat), but there are many of them; a rating has few values, a time hardly repeats.
    shares = {name: repeats(name) for name in names if not _is_time(log[name]) or log[name].dtype.is_integer()}
    likely = [name for name, share in shares.items() if share < 0.9 and as_ids(log[name]).n_unique() > min(10, len(log) // 4)]
    if not likely:
        raise DataError(f"{path} has no column that could be a customer id; columns: {', '.join(log.columns)}")
    best = max(likely, key=lambda name: shares[name])
    reasons.add("user_id", best, _shown("many values that come back", log[best]))
    return best


def _timestamp(log: pl.DataFrame, taken: set[str], reasons: _Reasons) -> str:
    names = [name for name in log.columns if name not in taken]
    known: list[tuple[list[str], str, Callable[[pl.Series], bool]]] = [
        (_named(names, _TIME), "called so", _readable),
        (names, "numbers like seconds or milliseconds since 1970, or dates", _is_time),
    ]
    for candidates, why, fits in known:
        for name in candidates:
            if fits(log[name]):
                reasons.add("timestamp", name, _shown(why, log[name].cast(pl.String)))
                return name
    reasons.add("timestamp", "", "no column has times; the order of the file is taken")
    return ""


def _readable(column: pl.Series) -> bool:
    return as_times(column).is_not_null().sum() >= 0.9 * max(1, len(column))


def _is_time(column: pl.Series) -> bool:
    """Dates, or numbers that are seconds to nanoseconds since 1970 at any day from 1990 on."""
    if isinstance(column.dtype, pl.Date | pl.Datetime):
        return True
    if not _readable(column):
        return False
    times = as_times(column).drop_nulls()
    low = times.min()
    return isinstance(low, int | float) and low >= 6e8 and times.n_unique() > 1
