"""One stand-in shop for the whole folder: its figures take a third of a second."""

from __future__ import annotations

import pytest

from tests.evaluate.stand_in import HOSTILE, Shop


@pytest.fixture(scope="session")
def shop() -> Shop:
    made = Shop()
    made.titles[made.histories[58][-1]] = HOSTILE  # customer 58 is one of those drawn for the page
    return made
