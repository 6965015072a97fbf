"""Selectors that a new one should be compared with, as stages of curate."""
