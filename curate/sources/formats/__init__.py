"""One module a row shape, both ways: from rows to conversations and back."""
