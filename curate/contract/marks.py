"""What a parameter means: marks on fields of a Params model, `by: Annotated[str, Reads("number")]`.

Those that say what a stage reads (Reads, ReadsText, Prefers, Condition) may also stand on fields of
Params inside Params, a list of them included; the others stand on a stage's own parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Reads:
    """The parameter names a column that the stage reads, or several: a list, or a mapping's keys.

    Args:
        kind: What the column must hold; `any` takes every kind, `plain` all but vectors and nested
            values.
        nulls: The stage itself says what a null means; otherwise `missing:` does.
    """

    kind: Literal["string", "number", "vector", "plain", "any"] = "any"
    nulls: bool = False


@dataclass(frozen=True)
class ReadsText:
    """The parameter chooses which text of an example the stage reads."""


@dataclass(frozen=True)
class Prefers:
    """The parameter is an order of preference among rows; see `curate.prefer`."""


@dataclass(frozen=True)
class Condition:
    """The parameter is a row-wise SQL condition like `where:`; the columns it names are read.

    The runner evaluates it: a stage receives the boolean column `@<parameter>`, null where the
    condition is neither true nor false. Inside other parameters it is named by its whole place,
    such as `@rules.0.where`.
    """


@dataclass(frozen=True)
class Neutral:
    """The parameter changes no result by more than the stage's tolerance: it is in no key.

    May stand on fields of Params inside Params too.
    """


@dataclass(frozen=True)
class ModelName:
    """The parameter names a model; keys hold the digest of the model's files in its place.

    Args:
        tokenizer: Only its tokenizer is needed: weights need not be there, and do not count.
    """

    tokenizer: bool = False


@dataclass(frozen=True)
class InputFile:
    """The parameter is the path of a file; keys hold the hash of its content in its place."""


@dataclass(frozen=True)
class Auto:
    """The parameter may say `auto`: a service says what that is on this machine, for this model.

    The stage, keys and lock get the service's answer in its place.

    Args:
        service: Its `auto(name, params, models)` gives the value for the parameter of this name,
            without loading anything.
        early: The value decides which columns the stage writes: it is asked for when a recipe is
            checked, of models whose files are on this machine (their digests are not known then).
    """

    service: str
    early: bool = False


@dataclass(frozen=True)
class Served:
    """The parameter says what a service is to do for the stage alone, as `llm:` whom it asks.

    `ctx.service(...)` gives the stage the service made for it, for one run; keys hold what the
    service says of the parameter.

    Args:
        service: Its name.
    """

    service: str


def marker(params: type[BaseModel], name: str, kind: type[Any]) -> Any | None:
    """The marker of class `kind` on field `name`, or None."""
    for mark in params.model_fields[name].metadata:
        if isinstance(mark, kind):
            return mark
    return None
