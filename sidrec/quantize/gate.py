"""The gate: whether codes are good enough to train on, said in words, with what to change where they are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from sidrec.config import QuantizeConfig
from sidrec.errors import QualityError

_MANY_TWINS = 0.1  # share of items with another's text vector, from which the text is to blame first
_IDLE = 0.2  # share of items to part, under which a level is not judged
_ROOM = 4  # whole codes an item that leave room to be alone
_LEVELS = 6  # no more are advised: each is a token to generate


@dataclass(frozen=True, slots=True)
class Check:
    """One limit: ``found`` and ``limit`` are figures as a person reads them; ``sentence`` and ``advice`` where it failed.

    ``level`` is its letter, or "" for the ties; ``idle`` where it passed though it is used unevenly.
    """

    level: str
    what: str
    found: str
    limit: str
    passed: bool
    sentence: str = ""
    advice: tuple[str, ...] = ()
    idle: bool = False


def blind_perplexity(items: int, size: int) -> float:
    """The perplexity that ``items`` codes drawn blindly from ``size`` have, by expectation of the entropy.

    Near ``size`` in a large catalogue (253 of 256 at 12,000 items), less in a small one, which cannot use every code alike.

    >>> round(blind_perplexity(12_000, 256), 1), round(blind_perplexity(300, 256), 1), round(blind_perplexity(5, 1), 1)
    (253.3, 156.4, 1.0)
    """
    mean = items / size
    counts = np.arange(2, min(items, int(mean + 12 * math.sqrt(mean) + 30)) + 1)
    repeated = float((binom.pmf(counts, items, 1 / size) * counts * np.log(counts)).sum()) * size
    return items * math.exp(-repeated / items) if items else 0.0


def checks(health: Mapping[str, Any], config: QuantizeConfig) -> list[Check]:
    """Every learned level, then the ties; ``health`` is that of ``health.json``.

    A level is asked for a share of the perplexity that codes drawn blindly would have for the items that it has to part: its
    size in a large catalogue, less where items are few. It is enough if these items use it so evenly: of the others nothing
    may be left over, and that lands in one code. Exempt are the tie level, and a level that comes when four fifths of the
    items are told apart already.
    """
    made: list[Check] = []
    for level in health["levels"]:
        if "residual" not in level:
            continue
        name, size, found = level["level"], level["size"], level["perplexity"]
        limit = config.gate.min_perplexity * blind_perplexity(level["open"], size)
        idle = level["open"] < _IDLE * health["items"]
        passed = max(found, level["open_perplexity"]) >= limit or idle
        made.append(
            Check(
                name,
                f"level {name} is used evenly",
                f"perplexity {found:.1f} of {size:,}, {level['used']:,} codes used",
                f"none: {level['open']:,} items are left to part" if idle else f"perplexity at least {limit:.1f}",
                passed,
                "" if passed else f"Level {name} has collapsed: of its {size:,} codes only about {found:.0f} do any work.",
                () if passed else _of_collapse(health, config),
                passed and found < limit,
            )
        )
    share, limit = health["tied_items"] / health["items"], config.gate.max_tied_items
    passed = share <= limit
    made.append(
        Check(
            "",
            "items have codes of their own",
            f"{_percent(share)} share their code, the largest group has {health['largest_group']:,} items",
            f"at most {_percent(limit)}",
            passed,
            "" if passed else f"Too many items share their code: {health['tied_items']:,} of {health['items']:,}.",
            () if passed else _of_ties(health, config),
        )
    )
    return made


def headline(health: Mapping[str, Any], judged: Sequence[Check]) -> str:
    """One sentence for somebody who never heard of perplexity."""
    failed = [check for check in judged if not check.passed]
    if failed:
        others = [check.level for check in failed[1:] if check.level]
        also = f" So {'have' if others[1:] else 'has'} {' and '.join(others)}." if others else ""
        return failed[0].sentence + also + (f" {failed[-1].sentence}" if failed[1:] and not failed[-1].level else "")
    used = "every level makes use of its codes" if not any(check.idle for check in judged) else "no level has collapsed"
    return (
        f"These codes can be trained on: {_percent(health['unique_share'])} of the items have a code of their own, and {used}."
    )


def advice(judged: Sequence[Check]) -> list[str]:
    """What to change, most useful first. Of ties nothing is said where a level collapsed: they are what comes of it."""
    failed = [check for check in judged if not check.passed]
    return list(failed[0].advice) if failed else []


def enforce(judged: Sequence[Check], config: QuantizeConfig, page: Path) -> str:
    """A warning to show, or ``""``; ``page`` is where the user can look.

    Raises:
        QualityError: a check failed and the config says to stop.
    """
    failed = [check for check in judged if not check.passed]
    if not failed or config.gate.action == "off":
        return ""
    said = " ".join(f"{check.sentence.removesuffix('.')} ({check.found}; the limit: {check.limit})." for check in failed)
    change = " ".join(f"({number}) {line}" for number, line in enumerate(advice(judged), 1))
    text = f"{said} Look at {page}. What to change: {change}"
    if config.gate.action == "stop":
        raise QualityError(f"{text} To go on all the same: --set quantize.gate.action=warn (nothing is computed again).")
    return text


def _of_collapse(health: Mapping[str, Any], config: QuantizeConfig) -> tuple[str, ...]:
    lines = _of_twins(health)
    if config.method != "residual-kmeans":
        lines.append('quantize.method = "residual-kmeans": its levels seldom collapse.')
    elif config.balance == 0:
        lines.append("quantize.balance = 1.5: no code takes more than about half again its even share of the items.")
    lines.append(
        "embed.encoder and embed.fields: a better encoder, or more of the text, sets the items further apart"
        + ("; quantize.behaviour_weight above 0 adds what is bought together." if config.behaviour_weight == 0 else ".")
    )
    sizes = _filled(health)
    lines.append(f"quantize.levels = {sizes}: where the items are that much alike, sizes that they fill, and more levels.")
    return tuple(lines)


def _of_ties(health: Mapping[str, Any], config: QuantizeConfig) -> tuple[str, ...]:
    lines = _of_twins(health)
    if config.collisions == "tie":
        lines.append('quantize.collisions = "move": an item whose code is taken gets its nearest free one.')
    else:
        lines.append(f"quantize.collision_limit above {config.collision_limit:g}: items may move further to a free code.")
    room = math.prod(config.levels)
    if room < _ROOM * health["items"]:
        wider = _wider(config.levels, health["items"])
        lines.append(f"quantize.levels = {wider}: {room:,} codes are few for {health['items']:,} items; or one more level.")
    else:
        lines.append("quantize.levels: larger sizes, or one more level.")
    lines.append("embed.encoder and embed.fields: items that read alike to the encoder get one code.")
    return tuple(lines)


def _of_twins(health: Mapping[str, Any]) -> list[str]:
    twins = health["duplicate_items"]
    if twins < _MANY_TWINS * health["items"]:
        return []
    named = ", ".join(repr(item) for item in (health["duplicate_examples"] or [[]])[0])
    return [
        f"The text of {twins:,} of {health['items']:,} items is the same as another's to the encoder"
        + (f" (e.g. {named})" if named else "")
        + ": no code can part them. Merge them, or give them text that differs (title, description; embed.fields)."
    ]


def _filled(health: Mapping[str, Any]) -> list[int]:
    """Powers of two under the levels' perplexities, and the last again until there is room for all items.

    None so small that with the most levels that are advised there would be no room.
    """
    used = [level["perplexity"] for level in health["levels"] if "residual" in level]
    least = max(1, math.ceil(math.log2(_ROOM * health["items"]) / _LEVELS))
    sizes = [1 << max(least, int(math.log2(max(2.0, found)))) for found in used]
    while math.prod(sizes) < _ROOM * health["items"] and len(sizes) < _LEVELS:
        sizes.append(sizes[-1])
    return sizes


def _wider(levels: Sequence[int], items: int) -> list[int]:
    wider = list(levels)
    while math.prod(wider) < _ROOM * items:
        wider = [2 * size for size in wider]
    return [min(size, max(2, items)) for size in wider]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
