"""LIFT (arXiv 2312.11508) for curate: expand, then choose by variety and quality."""
