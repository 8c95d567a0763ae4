"""Corridor: recommend to everybody, in parts that workers share."""
