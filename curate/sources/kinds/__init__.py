"""One module a kind of file: from bytes to rows with their line numbers."""
