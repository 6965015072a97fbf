"""What a run publishes: immutable, numbered versions of a dataset, and how to open them."""
