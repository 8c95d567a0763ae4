"""Corridor: ask a finished run, for one shopper."""
