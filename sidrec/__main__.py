"""``python -m sidrec``."""

from sidrec.cli.app import main

main()
