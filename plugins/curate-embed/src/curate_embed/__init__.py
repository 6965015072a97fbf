"""Sentence embeddings and forward passes for curate, in constant shapes."""
