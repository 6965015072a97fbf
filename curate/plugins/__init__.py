"""Finding plugins by entry point, loading each by itself and only when it is needed."""
