"""Problems that cost no row and still matter: what ``sidrec doctor`` finds in texts, times and histories."""

from __future__ import annotations

import polars as pl

from sidrec import columns as c
from sidrec.config import IngestConfig
from sidrec.ingest.attributes import odd_values
from sidrec.ingest.clean import FOUND
from sidrec.ingest.problems import Problem, Severity
from sidrec.ingest.raw import ODD_PRICE, TIME, TIME_TEXT, RawTables
from sidrec.ingest.rows import AT, shorten
from sidrec.ingest.split import times_are_positions
from sidrec.ingest.text import Found, clean_and_tell
from sidrec.types import Corpus

_TEXTS: dict[Found, tuple[str, Severity, str]] = {
    Found.CONTROL_TOKEN: (
        "control_token_in_text",
        "warning",
        "A text that spells '<|' looks like a model's control token; it is set apart ('< |') and stays plain text.",
    ),
    Found.MARKUP: ("markup", "note", "HTML was removed from the text."),
    Found.INVISIBLE: ("invisible_characters", "note", "Control and zero-width characters were removed."),
    Found.CUT: (
        "text_cut",
        "note",
        "Cut at a whole word by ingest.max_title_chars, max_description_chars, max_features_chars.",
    ),
}


def of_items(raw: RawTables, items: pl.DataFrame, config: IngestConfig) -> list[Problem]:
    """Of the texts and prices; ``items``: see ``clean.clean_items``."""
    source = raw.items_source.name
    problems: list[Problem] = []
    for flag, (reason, severity, advice) in _TEXTS.items():
        lines = items.filter((pl.col(FOUND) & int(flag)) != 0)[AT]
        if len(lines):
            example = _example(raw.items, int(lines[0]), flag, config)
            problems.append(Problem(severity, reason, len(lines), source, int(lines[0]), example, advice))
    odd = raw.items.filter(ODD_PRICE)
    if odd.height:
        advice = "A price that cannot be read is taken as unknown; a number, or text such as '$1,299.00', is expected."
        item, line = odd.select(c.ITEM_ID, AT).row(0)
        problems.append(Problem("note", "unreadable_price", odd.height, source, line, f"item {item}", advice))
    for name in raw.attributes:
        if odd_one := odd_values(raw.items[name]):
            kind, count, example = odd_one
            advice = f"Most values of the attribute {name!r} are {kind}; as these are not, all are taken as text."
            problems.append(Problem("note", "attribute_is_text", count, source, None, f"{name}: {example!r}", advice))
    same = items.filter(~pl.col(c.TITLE).is_first_distinct())
    if same.height:
        advice = "Items with one title and nothing else get one semantic ID before ties are broken."
        problems.append(Problem("note", "same_title", same.height, source, same[AT][0], shorten(same[c.TITLE][0]), advice))
    return problems


def _example(raw: pl.DataFrame, line: int, flag: Found, config: IngestConfig) -> str:
    """The raw text of the row in which cleaning met ``flag``."""
    row = raw.row(by_predicate=pl.col(AT) == line, named=True)
    caps = {c.TITLE: config.max_title_chars, c.DESCRIPTION: config.max_description_chars, c.BRAND: config.max_title_chars}
    texts = [(name, row[name] or "", cap) for name, cap in caps.items()]
    texts += [(c.FEATURES, text, config.max_features_chars) for text in row[c.FEATURES]]
    texts += [(c.CATEGORY, text, config.max_title_chars) for text in row[c.CATEGORY]]
    for name, text, cap in texts:
        if clean_and_tell(text, cap)[1] & flag:
            return f"{name}: {shorten(text)!r}"
    return f"{c.FEATURES}: {shorten(' '.join(row[c.FEATURES]))!r}"  # all features together were too long


def of_times(raw: RawTables) -> list[Problem]:
    """Of the times of all readable purchases."""
    source, log = raw.interactions_source.name, raw.interactions.drop_nulls([c.USER_ID, TIME])
    if not raw.timed:
        advice = "Histories are in the order of the file; only ingest.split = 'leave-last-out' is possible."
        return [Problem("note", "no_timestamps", log.height, source, None, "", advice)]
    if not log.height:
        return []
    if times_are_positions(log):
        advice = "Times only count each customer's purchases; a split by global time is not possible with them."
        example = f"user {log[c.USER_ID][0]}: {log[TIME_TEXT][0]}"
        return [Problem("note", "times_are_positions", log.height, source, log[AT][0], example, advice)]
    # Seconds since 1970 have ten digits today, milliseconds thirteen: both in one column spoil the order.
    low, high = log[TIME].min(), log[TIME].max()
    if isinstance(low, int | float) and isinstance(high, int | float) and low > 1e8 and high > 500 * low:
        far = log.filter(pl.col(TIME) > 500 * low)
        row = far if 2 * far.height <= log.height else log.filter(pl.col(TIME) <= 500 * low)
        advice = f"Times differ a thousandfold ({low} to {high}): two units in one column? Convert them to one."
        return [Problem("warning", "times_of_two_units", row.height, source, row[AT][0], row[TIME_TEXT][0], advice)]
    return []


def of_histories(corpus: Corpus, config: IngestConfig) -> list[Problem]:
    """Of the finished histories: what can be measured with them."""
    problems: list[Problem] = []
    histories = corpus.histories
    tested = len(corpus.next_item_cases("test"))
    if not tested:
        advice = "No customer can be tested: leave-last-out needs three purchases, global-time a purchase on both sides."
        problems.append(Problem("warning", "no_test_case", histories.height, "users", None, "", advice))
    elif tested < histories.height:
        example = f"{tested} of {histories.height} have one"
        advice = "Customers without a test case are only learned from."
        problems.append(Problem("note", "no_test_case", histories.height - tested, "users", None, example, advice))
    last, before = pl.col(c.TIMES).list.get(-1, null_on_oob=True), pl.col(c.TIMES).list.get(-2, null_on_oob=True)
    tied = histories.filter(last == before)
    if config.split == "leave-last-out" and tied.height:
        advice = "Their last two purchases have one time: which is validation and which is test, the file's order decides."
        example = f"user {tied[c.USER_ID][0]}"
        problems.append(Problem("note", "last_two_at_one_time", tied.height, "users", None, example, advice))
    bought = histories[c.ITEMS].explode().unique()
    never = corpus.items.with_row_index("i").filter(~pl.col("i").cast(pl.Int32).is_in(bought.implode()))
    if never.height:
        advice = "Nobody bought these (after filtering); they have a semantic ID and can be recommended by their text."
        problems.append(Problem("note", "never_bought", never.height, "items", None, f"item {never[c.ITEM_ID][0]}", advice))
    return problems
