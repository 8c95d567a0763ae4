"""The command line; ``app.py`` has the entry point."""
