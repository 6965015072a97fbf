"""Costly things that stages share."""
