"""Read a catalogue and a purchase log, clean, filter and split them: from files to a ``Corpus``."""

from sidrec.ingest.additions import read_additions, read_ids
from sidrec.ingest.given import given_files, read_given
from sidrec.ingest.guess import TablesGuess, guess_tables
from sidrec.ingest.inspection import Inspection, inspect
from sidrec.ingest.problems import Problem
from sidrec.ingest.sources import source_files
from sidrec.ingest.stage import ingest
from sidrec.ingest.template import config_toml
from sidrec.ingest.users import read_users

__all__ = [
    "Inspection",
    "Problem",
    "TablesGuess",
    "config_toml",
    "given_files",
    "guess_tables",
    "ingest",
    "inspect",
    "read_additions",
    "read_given",
    "read_ids",
    "read_users",
    "source_files",
]
