"""All that a plugin may import from core."""

from curate.answers import (
    Answer,
    AnswerError,
    Backend,
    BackendKind,
    Call,
    Llm,
    Messages,
    UnreceivedError,
    Usage,
)
from curate.asking import Budget, LlmExpandStage, LlmParams, LlmScoreStage, LlmSettings, Prices
from curate.contract import API_VERSION
from curate.contract.columns import ASKED, REJECTED, SEAM, TEXTS, Kind
from curate.contract.context import Context, ModelFiles
from curate.contract.marks import (
    Auto,
    Condition,
    InputFile,
    ModelName,
    Neutral,
    Reads,
    ReadsText,
    Served,
)
from curate.contract.pairs import common_start
from curate.contract.parameters import (
    Artifact,
    Params,
    Preferences,
    Preset,
    Reference,
    Share,
    TextChoice,
)
from curate.contract.results import STILL_IN, Child, Clause, Decisions, Depends, Margin, Output
from curate.contract.stages import POOL, ExpandStage, FilterStage, FuseStage, ScoreStage, Stage
from curate.errors import CurateError, PolicyError, UsageError, nearest
from curate.hookspecs import hookimpl
from curate.host import Apart, Host, OpenVersion, RecipeStage
from curate.passes import (
    PASS,
    TRUNCATED,
    Forward,
    ForwardStage,
    LoadedModel,
    ModelParams,
    Pass,
    PassParams,
    Predicts,
    Reader,
    Site,
    Template,
    columns_of,
)
from curate.prefer import columns_of as preferred_columns
from curate.prefer import rank
from curate.printing import counted, one_line, printable
from curate.prompts import Prompt
from curate.provenance import alternatives, licenses_in
from curate.vectors import vectors_of

__all__ = [
    "API_VERSION",
    "ASKED",
    "PASS",
    "POOL",
    "REJECTED",
    "SEAM",
    "STILL_IN",
    "TEXTS",
    "TRUNCATED",
    "Answer",
    "AnswerError",
    "Apart",
    "Artifact",
    "Auto",
    "Backend",
    "BackendKind",
    "Budget",
    "Call",
    "Child",
    "Clause",
    "Condition",
    "Context",
    "CurateError",
    "Decisions",
    "Depends",
    "ExpandStage",
    "FilterStage",
    "Forward",
    "ForwardStage",
    "FuseStage",
    "Host",
    "InputFile",
    "Kind",
    "Llm",
    "LlmExpandStage",
    "LlmParams",
    "LlmScoreStage",
    "LlmSettings",
    "LoadedModel",
    "Margin",
    "Messages",
    "ModelFiles",
    "ModelName",
    "ModelParams",
    "Neutral",
    "OpenVersion",
    "Output",
    "Params",
    "Pass",
    "PassParams",
    "PolicyError",
    "Predicts",
    "Preferences",
    "Preset",
    "Prices",
    "Prompt",
    "Reader",
    "Reads",
    "ReadsText",
    "RecipeStage",
    "Reference",
    "ScoreStage",
    "Served",
    "Share",
    "Site",
    "Stage",
    "Template",
    "TextChoice",
    "UnreceivedError",
    "Usage",
    "UsageError",
    "alternatives",
    "columns_of",
    "common_start",
    "counted",
    "hookimpl",
    "licenses_in",
    "nearest",
    "one_line",
    "preferred_columns",
    "printable",
    "rank",
    "vectors_of",
]
