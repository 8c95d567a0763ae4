"""``python -m sidrec``."""

from sidrec.cli import main

main()
