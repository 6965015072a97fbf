"""The compositions of DoIT (arXiv 2310.19651, v1 section 5 and its make_data.py), as data.

Abilities are named as the authors' files are, and stand in the order in which their counts are
given, which decides who gets spare rows. The paper took the first rows of its files; a stage takes
rows by its own order.
"""

from __future__ import annotations

from curate.api import Preset

_RESERVED = {
    "ethics": "token",
    "role_play": "token",
    "creative_writing": "saturates at 1000",
}
_RESPONSIVE = dict.fromkeys(
    ("biology", "chinese", "history", "code", "understanding", "reasoning", "math"), "responsive"
)

PRESETS = {
    "doit-baseline": Preset(
        {"growth": dict.fromkeys((*_RESERVED, *_RESPONSIVE), "saturates at 1000"), "size": 10_000},
        "arXiv 2310.19651 v1, `curated-10000`: 1,000 rows of each of ten abilities; what the other "
        "two are compared with, no finding that all saturate there",
    ),
    "doit-reconstruct": Preset(
        {"growth": {**_RESERVED, **_RESPONSIVE}, "size": 10_000},
        "arXiv 2310.19651 v1, `reconstruct`: 64 rows of abilities that do not respond, 1,000 of "
        "creative writing, the rest of 10,000 evenly over those that do",
    ),
    "doit-maximum": Preset(
        {"growth": {**_RESERVED, **_RESPONSIVE}},
        "arXiv 2310.19651 v1, `maximum`: as reconstruct, with all rows of abilities that respond",
    ),
}
