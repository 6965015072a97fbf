"""What a recipe may say. Rules that span several keys are in `curate.recipe.rules`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from curate.contract.parameters import Share
from curate.recipe.names import VERBS, Verb, default_id

_CREDENTIALS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s]*:[^/\s]*@")


def _named(pattern: str, kind: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"'{value}' is no name: {kind}")
        return value

    return check


def check_url(path: str) -> str:
    """Refuse a URL that holds a password: recipes and versions are shared."""
    if _CREDENTIALS.match(path):
        raise ValueError(
            "the URL holds a password, which would end up in the version; "
            "give credentials through the environment"
        )
    return path


def _check_requirement(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ValueError(f"'{text}' is no requirement; write curate-nait>=0.1") from None
    if requirement.url or requirement.marker or requirement.extras:
        raise ValueError(f"'{text}': a requirement is a name and versions, as in curate-nait>=0.1")
    return text


_SHARE = re.compile(r"(\d+(?:\.\d+)?)%")


def _check_set_aside(value: object) -> object:
    if isinstance(value, str):
        share = _SHARE.fullmatch(value)
        fits = share is not None and Decimal(share[1]) <= 100
    else:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not fits:
        raise ValueError("expected a number of rows, or a percentage of them such as 2%")
    return value


def _check_splits(shares: dict[str, Decimal]) -> dict[str, Decimal]:
    total = sum(shares.values())
    if total != 1:
        raise ValueError(f"the shares make {total} together, and have to make 1")
    return shares


def _check_split(name: str) -> str:
    if name == "all":
        raise ValueError("'all' is what `datasets` calls all splits together; choose another name")
    return name


_OPERATOR = re.compile(r"[a-z0-9_]+_(?:filter|mapper|deduplicator|selector)")


def _check_stage(name: str) -> str:
    if not re.fullmatch(_STAGE_NAME, name):
        message = f"'{name}' is no name: a stage is `plugin.stage`, such as core.top"
        if _OPERATOR.fullmatch(name):
            message += (
                "\nIf it is an operator of data-juicer: docs/from-data-juicer.md has its line."
            )
        raise ValueError(message)
    return name


_RECIPE_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
_LANGUAGE = r"[a-z]{2,3}"
_TABLE_NAME = r"[a-z0-9_]+"
_STAGE_ID = r"[a-z][a-z0-9_]*"
_SPLIT = r"[a-z][a-z0-9_]*"
_STAGE_NAME = r"[a-z][a-z0-9_-]*\.[a-z][a-z0-9_-]*"

RecipeName = Annotated[
    str, AfterValidator(_named(_RECIPE_NAME, "use a-z, 0-9 and single hyphens between them"))
]
TableName = Annotated[str, AfterValidator(_named(_TABLE_NAME, "use a-z, 0-9 and underscores"))]
StageId = Annotated[
    str, AfterValidator(_named(_STAGE_ID, "use a-z, 0-9 and underscores, a letter first"))
]
StageName = Annotated[str, AfterValidator(_check_stage)]
SplitName = Annotated[
    str,
    AfterValidator(_named(_SPLIT, "use a-z, 0-9 and underscores, a letter first")),
    AfterValidator(_check_split),
]
DataPath = Annotated[str, Field(min_length=1), AfterValidator(check_url)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OnFailure(_Part):
    """How many rows may fail before the run stops."""

    set_aside: Annotated[
        Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$")],
        BeforeValidator(_check_set_aside),
    ] = Field(description="Rows that may leave with fate `failed`: a count, or a share like 2%.")

    def allowed(self, rows: int) -> int:
        """How many of `rows` may fail; a share is rounded down."""
        if isinstance(self.set_aside, int):
            return self.set_aside
        return int(Decimal(self.set_aside[:-1]) * rows / 100)


class Source(_Part):
    """Where examples come from: files (`path`), a dataset or a published version."""

    path: DataPath | list[DataPath] | None = Field(
        None, description="A file, a glob, a URL (hf://, s3://, https://), or several of them."
    )
    dataset: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A dataset on the Hugging Face Hub, `owner/name`, or a local folder."
    )
    split: str | None = Field(None, description="Of `dataset`; needed where it has several.")
    revision: str | None = Field(None, description="Of `dataset`: a branch, tag or commit.")
    version: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A published version, `name@v3`, `name` (its latest), or its folder."
    )
    format: str = Field("auto", description="The shape of the rows, such as alpaca or messages.")
    columns: dict[str, str] = Field(
        default_factory=dict, description="The format's field: the file's column."
    )
    types: dict[str, Literal["string", "json"]] = Field(
        default_factory=dict, description="Columns whose values are to be read as text."
    )
    origin: Literal["human", "synthetic", "mixed", "unknown"] | None = Field(
        None, description="Who wrote the examples; unknown if neither this nor a column says so."
    )
    generator: str | None = Field(None, description="The model that wrote them.")
    license: str | None = Field(None, description="Their licence, such as cc-by-nc-4.0.")
    ability: str | None = Field(None, description="What they teach.")
    on_failure: OnFailure | None = None


class StageSpec(_Part):
    """One stage of the pipeline. Exactly one of the four verbs names it."""

    expand: StageName | None = None
    score: StageName | None = None
    filter: StageName | None = None
    fuse: StageName | None = None
    id: StageId | None = Field(None, description="Default: the name with underscores.")
    with_: dict[str, Any] = Field(
        default_factory=dict, alias="with", description="The stage's parameters."
    )
    where: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A SQL condition; rows outside it pass untouched."
    )
    missing: Literal["error", "keep", "drop"] = Field(
        "error", description="What becomes of rows where a column that is read is null."
    )
    on_failure: OnFailure | None = None
    from_: TableName | list[TableName] | None = Field(
        None, alias="from", description="Sources or earlier `as:` names, in place of the previous."
    )
    as_: TableName | None = Field(None, alias="as", description="A name for the result.")

    @property
    def verbs(self) -> tuple[Verb, ...]:
        """The verbs that the recipe uses: one, as `load_recipe` checks."""
        return tuple(verb for verb in VERBS if getattr(self, verb) is not None)

    @property
    def verb(self) -> Verb:
        """The verb that the recipe uses."""
        return self.verbs[0]

    @property
    def stage(self) -> str:
        """The name of the stage, `prefix.word`."""
        return str(getattr(self, self.verb))

    @property
    def stage_id(self) -> str:
        """Its id, given or by default."""
        return self.id or default_id(self.stage)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tables that `from:` names."""
        if self.from_ is None:
            return ()
        return (self.from_,) if isinstance(self.from_, str) else tuple(self.from_)


class Output(_Part):
    """How the version is written."""

    shards: Annotated[int, Field(ge=1)] = Field(
        1, description="Files that the data is cut into, each split by itself."
    )
    shuffle: bool = Field(False, description="Order rows by a seeded hash.")
    dropped: bool = Field(True, description="Write rows not kept to dropped.parquet.")
    vectors: bool = Field(False, description="Write vector columns to scores.parquet too.")
    language: list[
        Annotated[str, AfterValidator(_named(_LANGUAGE, "a language is en, zh, yue"))]
    ] = Field(default_factory=list, description="Languages of the texts, for the card: en, zh, ...")
    splits: Annotated[
        dict[SplitName, Annotated[Share, Field(gt=0)]],
        Field(min_length=1),
        AfterValidator(_check_splits),
    ] = Field(
        default_factory=lambda: {"train": Decimal(1)},
        description="Splits with their shares, which make 1: train: 0.95, validation: 0.05.",
    )
    keep_together: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="Columns: rows with the same value in one come to the same split.",
    )
    stratify: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A column: the shares hold among the rows of each of its values."
    )
    like: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="An earlier version with the same splits, whose rows stay in theirs: name@v3.",
    )

    @model_validator(mode="before")
    @classmethod
    def _check_divided(cls, given: object) -> object:
        if isinstance(given, Mapping) and given.get("splits") is None:
            for name in ("keep_together", "stratify", "like"):
                if given.get(name):
                    raise ValueError(f"`{name}` says how rows are split, and there is no `splits`")
        return given

    @property
    def divided(self) -> bool:
        """Whether the recipe names splits."""
        return "splits" in self.model_fields_set

    @property
    def asked_shares(self) -> dict[str, str]:
        """Split > its share as text, which is exact."""
        return {name: str(share) for name, share in self.splits.items()}

    def identity(self) -> dict[str, Any]:
        """What the digest covers; what the card alone says, and splits, only where they are said.

        The splits in their order, which says where the bounds between them are. For `like` stands
        the content of that version, which is not known here.
        """
        said = self.model_dump(exclude={"language", "splits", "keep_together", "stratify", "like"})
        if self.language:
            said["language"] = self.language
        if self.divided:
            said["splits"] = [list(pair) for pair in self.asked_shares.items()]
            said["keep_together"], said["stratify"] = self.keep_together, self.stratify
        return said


class Recipe(_Part):
    """A recipe: sources, a pipeline of stages, and how the result is written."""

    name: RecipeName = Field(description="Also the folder of its versions.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="For everything random.")
    requires: list[Annotated[str, AfterValidator(_check_requirement)]] = Field(
        default_factory=list, description="Plugins and their versions, such as curate-nait>=0.1."
    )
    sources: Annotated[dict[TableName, Source], Field(min_length=1)]
    pipeline: Annotated[list[StageSpec], Field(min_length=1)]
    output: Output = Field(default_factory=Output)
