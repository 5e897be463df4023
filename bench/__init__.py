"""Measurements: `scripts/bench`. Nothing here is a test; nothing here asserts a time."""
