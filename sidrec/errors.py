"""The errors that a user can meet.

Rule for adding one: a new class only where a caller would *do* something different. Everything else is one of these
with a better sentence. A message says what was found, where (file, line, row, key), what was expected, and what to do
next. The command line prints it alone, without a traceback, and exits with ``exit_code``.
"""

from __future__ import annotations

from typing import ClassVar


class SidrecError(Exception):
    """Something the user can mend; ``str(error)`` is one clear sentence."""

    exit_code: ClassVar[int] = 1


class ConfigError(SidrecError):
    """A config file, a ``--set`` value or a command's argument is wrong."""

    exit_code: ClassVar[int] = 2


class DataError(SidrecError):
    """The user's items or interactions cannot be used as they are."""

    exit_code: ClassVar[int] = 3


class ArtifactError(SidrecError):
    """An artefact folder is missing, half-written, damaged or of another run."""

    exit_code: ClassVar[int] = 4


class QualityError(SidrecError):
    """What was made is whole, and too poor to go on with; a limit in the config says so."""

    exit_code: ClassVar[int] = 7


class BusyError(SidrecError):
    """More is asked at once than is answered in time: the same request may be sent again a little later."""

    exit_code: ClassVar[int] = 6


class MissingExtraError(SidrecError):
    """An optional dependency is not installed."""

    exit_code: ClassVar[int] = 5

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed: pip install 'sidrec[{extra}]'")
