"""An answer as a person and a script see it: rows with their reasons, how sure it is, and why there may be few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidrec.types import Ranked, Request

_ASKED_CHARS, _VALUE_CHARS = 400, 40


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Ranked items with what a person and a script want to know of them; ``request`` and ``ranked`` are what was decoded.

    A row has ``rank``, ``item_id``, ``title``, ``sid``, ``score`` (the log-probability), ``probability`` (its exponential:
    over the codes of the catalogue's items all items' probabilities sum to 1, whatever is filtered), ``levels`` (the
    log-probability of each code given those before it) and ``matched`` (the conditions of the filters that the item meets,
    with what the catalogue says of it). ``notes``: what was done to the question. ``shortfall``: why there are fewer than
    ``k``. ``widened``: the search was to widen until the answer is proven.
    """

    asked: str
    k: int
    request: Request
    ranked: Ranked
    rows: tuple[dict[str, Any], ...]
    filters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shortfall: str = ""
    widened: bool = False

    @property
    def eligible(self) -> int:
        """How many items the request could be given."""
        return self.ranked.eligible

    @property
    def certificate(self) -> str:
        """What is proven of the answer, in words."""
        n, beams = len(self.rows), self.ranked.beams
        under = " under the caps" if self.request.caps else ""
        if not n:
            return ""
        if self.ranked.exact:
            best = "the model's best item" if n == 1 else f"the {n} best items of the model"
            return f"Provably {best} for this request{under} ({beams:,} beams)."
        more = "the search widens no further" if self.widened else "--exact widens the search"
        return f"The best that {beams:,} beams met{under}, not proven to be the model's best; {more}."

    def as_json(self) -> dict[str, Any]:
        """Plain dicts, lists, texts and numbers."""
        return {
            "asked": self.asked,
            "k": self.k,
            "eligible": self.eligible,
            "exact": self.ranked.exact,
            "beams": self.ranked.beams,
            "certificate": self.certificate,
            "filters": list(self.filters),
            "notes": list(self.notes),
            "shortfall": self.shortfall,
            "items": list(self.rows),
        }

    def show(self, console: Console) -> None:
        """Print as a table; titles are untrusted and printed as they are, without markup."""
        console.print(Text(_cut(self.asked, _ASKED_CHARS), style="bold"))
        for text in self.filters:
            console.print(Text(f"filter: {text}", style="dim"))
        for note in self.notes:
            console.print(Text(note, style="yellow"))
        if self.rows:
            console.print(self._table())
            console.print(Text(self.certificate, style="dim"))
        if self.shortfall:
            end = "" if self.shortfall.endswith("?") else "."
            found = f"only {len(self.rows)}" if self.rows else "none"
            console.print(Text(f"{self.k} were asked for, {found} found: {self.shortfall}{end}", style="yellow"))

    def _table(self) -> Table:
        matched = any(row["matched"] for row in self.rows)
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("#", justify="right")
        table.add_column("item")
        table.add_column("title", ratio=2)
        if matched:
            table.add_column("matched", ratio=1)
        table.add_column("probability", justify="right", no_wrap=True)
        table.add_column("log-prob.", justify="right", no_wrap=True)
        for row in self.rows:
            cells: list[str | Text] = [str(row["rank"]), Text(row["item_id"]), Text(row["title"])]
            if matched:
                cells.append(Text(", ".join(dict.fromkeys(_spelled(match) for match in row["matched"]))))
            table.add_row(*cells, percent(row["probability"]), f"{row['score']:.2f}")
        return table


def percent(share: float) -> str:
    """A probability to three digits.

    >>> percent(0.12345), percent(0.00012), percent(1.0)
    ('12.3 %', '0.012 %', '100 %')
    """
    return f"{100 * share:.3g} %"


def _spelled(match: dict[str, Any]) -> str:
    """``price 12.99``: the column and its value."""
    value = match["value"]
    if isinstance(value, bool):
        said = "yes" if value else "no"
    elif value is None or value in ("", []):
        said = "missing"
    elif isinstance(value, float):
        said = f"{value:.2f}".rstrip("0").rstrip(".")
    else:
        said = " > ".join(value) if isinstance(value, list) else str(value)
    return f"{match['column']} {_cut(said, _VALUE_CHARS)}"


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"
