"""What handled errors suggest."""

import pytest

from curate.errors import nearest

KNOWN = ["ability", "id", "instruction", "language", "links", "meta", "threshold", "input"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("instuction", "instruction"),
        ("langauge", "language"),
        ("lang", "language"),
        ("nistruction", "instruction"),
        ("clean_links_mapper", "links"),
        ("jaccard_threshold", "threshold"),
    ],
)
def test_what_was_meant_is_suggested(typed, meant):
    assert nearest(typed, KNOWN) == f"Did you mean '{meant}'?"


@pytest.mark.parametrize("typed", ["quality", "kind", "output", "unicode", "tokenization", ""])
def test_what_only_shares_some_letters_is_not(typed):
    assert nearest(typed, KNOWN) == f"Known: {', '.join(sorted(KNOWN))}."
