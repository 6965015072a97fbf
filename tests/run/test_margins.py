"""Which cuts are called close."""

import pytest

from curate.contract.results import Margin
from curate.run.facts import StageFacts

KNOWN = {"exact": 0.0, "vector": 1e-3, "unknown": None}


@pytest.mark.parametrize(
    ("margin", "tolerance", "close"),
    [
        (Margin("c", 0.0), 0.0, False),
        (Margin("c", 1e-3, "vector"), 1e-3, True),
        (Margin("c", 3e-3, "vector"), 1e-3, False),
        (Margin("c", 3e-3, "vector", factor=2.0), 2e-3, True),
        (Margin("c", 9.0, "unknown"), None, True),
        # what an error makes of the value cannot be said
        (Margin("c", 9.0, "vector", factor=None), None, True),
        (Margin("c", 9.0, "unknown", factor=None), None, True),
        (Margin("c", 0.0, "exact", factor=None), 0.0, False),
        (Margin("c", 0.0, "of a source", factor=None), 0.0, False),
    ],
)
def test_close(margin, tolerance, close):
    facts = StageFacts()
    facts.note_margins([margin], KNOWN)
    assert facts.margins == [
        {"cut": "c", "distance": margin.distance, "tolerance": tolerance, "close": close}
    ]
