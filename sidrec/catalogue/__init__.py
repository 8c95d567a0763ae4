"""Corridor: the life of a catalogue whose codes a model has learned."""
