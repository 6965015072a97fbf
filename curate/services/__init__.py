"""Finds costly things that stages share: the files of a model."""
