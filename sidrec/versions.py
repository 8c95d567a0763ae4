"""The software that a result was made with."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from sidrec import __version__

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "polars")


def versions() -> dict[str, str]:
    """Name -> version of sidrec, Python, the platform and the packages whose version may change a result."""
    found = {"sidrec": __version__, "python": platform.python_version(), "platform": sys.platform}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
