"""Whether the parts of a version say the same: books, ledger, rows, scores, lock, digest, card.

Imported by `verify` when a version is verified, and by nothing at start-up: it is heavy.
"""
