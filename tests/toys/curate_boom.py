"""A plugin that cannot be imported."""

raise RuntimeError("boom at import")
