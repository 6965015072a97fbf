"""Parameters that deduplicating stages share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from curate.api import Params, Preferences, Reads, Reference, TextChoice

Normalization = Literal["nfkc", "case", "letters", "punctuation", "whitespace"]

Text = Annotated[TextChoice, Field(description="Which text of an example is compared.")]
Normalizations = Annotated[
    list[Normalization],
    Field(
        description="What is made equal before texts are compared: nfkc (Unicode's compatibility "
        "form), case, letters (all but letters and marks removed), punctuation (removed), "
        "whitespace (one space, none at the ends)."
    ),
]


CLUSTER: Mapping[str, str] = {
    "cluster": "The smallest id among the rows that it is a duplicate of, or is joined with by "
    "duplicates, itself included; null for a row that has none."
}
"""The label that every deduplicating stage writes."""


class DedupParams(Params):
    """What every deduplicating stage takes."""

    prefer: Annotated[
        Preferences,
        Field(
            description="Which copy survives, first term first: column:value, highest:column, "
            "lowest:column, longest, shortest; ties go by id.",
            default_factory=list,
        ),
    ]
    drop: Annotated[
        bool,
        Field(
            description="Drop duplicates; false only marks them, in `<id>_cluster`. Rows that are "
            "in one of `against` are dropped either way."
        ),
    ] = True
    per: Annotated[
        str | None,
        Reads("any", nulls=True),
        Field(
            description="Column whose values make groups: only rows of one group are duplicates "
            "of each other. Rows without a value are a group too."
        ),
    ] = None
    against: Annotated[
        dict[str, Reference],
        Field(
            description="Reference tables by name: rows of the pool that are in one, or near it, "
            "are dropped.",
            default_factory=dict,
        ),
    ]


class NearParams(DedupParams):
    """What stages for near-duplicates take."""

    threshold: float
    search: float
    linking: Literal["star", "chain"]
    keep: Annotated[
        int | None,
        Field(
            ge=1,
            description="Rows to keep of those asked about: the highest threshold is taken at "
            "which no more of them stay, `search` being the lowest that is tried. `threshold` "
            "then applies to `against` alone.",
        ),
    ] = None

    @model_validator(mode="after")
    def _searched(self) -> Self:
        used = self.keep is None or bool(self.against)
        if used and self.threshold < self.search:
            raise ValueError(
                f"`threshold` {self.threshold} is below `search` {self.search}, from which on "
                f"pairs are looked for: write `search: {self.threshold}` too"
            )
        if not used and "threshold" in self.model_fields_set:
            raise ValueError("`keep` finds the threshold: leave out one of `keep` and `threshold`")
        return self
