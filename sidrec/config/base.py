"""What all tables share."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Engine = Literal["local", "ray"]  # who shares the work of a batch; not part of a config, since it changes no result
UnknownItems = Literal["refuse", "drop"]  # what an item id that the catalogue lacks does: it is an error, or left out


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name.

    >>> nearest("epoch", ["epochs", "steps"])
    "; did you mean 'epochs'?"
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


class Table(BaseModel):
    """A table of the config: it does not change, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
