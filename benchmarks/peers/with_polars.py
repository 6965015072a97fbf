"""Exact duplicates only, the floor: python with_polars.py TEXTS KEPT."""

import sys

import polars as pl

texts, kept = sys.argv[1:]
rows = pl.read_ndjson(texts).unique("text", keep="first", maintain_order=True)
rows.write_ndjson(kept)
