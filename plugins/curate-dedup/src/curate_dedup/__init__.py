"""Exact and semantic deduplication for curate."""
