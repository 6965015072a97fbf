"""What a folder of sentence-transformers says beside its weights: pooling, scaling, prompts.

A folder without `modules.json` says nothing, as a plain Hugging Face model does. Reads JSON alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.api import CurateError, nearest

_MODES = {
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "lasttoken": "last",
    "weightedmean": "weighted",
}
"""Value of `pooling_mode` > our name."""

_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
"""Key with true or false, as folders had it before > value of `pooling_mode`."""

_SETTINGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
"""Names that the settings of the transformer have had."""

_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}


@dataclass(frozen=True)
class SentenceFolder:
    """What a model's folder says of sentences.

    Args:
        pooling: `mean`, `cls`, `max`, `mean_sqrt_len`, `last` or `weighted`; `mean` where it does
            not say.
        include_prompt: Whether the tokens of a prompt are pooled too.
        normalize: Whether it scales vectors to length 1.
        prompts: Name > text.
        default_prompt: Name of the prompt to use where none is asked for.
    """

    pooling: str = "mean"
    include_prompt: bool = True
    normalize: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None


def sentence_folder(folder: Path, *, follow: bool = True) -> SentenceFolder:
    """Read what a model's folder says.

    Args:
        folder: The model.
        follow: Whether its pooling is to be followed. Where a recipe chooses one, modules and
            settings that are not known here do not matter.

    Raises:
        CurateError: It says something that is not known here, or is not what it should be.
    """
    modules = [_module(folder, entry) for entry in _read(folder / "modules.json", [])]
    said = _read(folder / "config_sentence_transformers.json", {})
    if follow:
        _check(folder, [kind for kind, _ in modules], said)
    path = dict(reversed(modules)).get("Pooling")
    config = _read(folder / path / "config.json", {}) if path else {}
    return SentenceFolder(
        pooling=_pooling(folder, config) if follow else "mean",
        include_prompt=bool(config.get("include_prompt", True)),
        normalize="Normalize" in dict(modules),
        prompts={name: text or "" for name, text in (said.get("prompts") or {}).items()},
        default_prompt=said.get("default_prompt_name"),
    )


def prompt_text(folder: Path, asked: str) -> str:
    """The text of a prompt, given its name or the text itself.

    Raises:
        CurateError: It is a single word and not the name of a prompt.
    """
    prompts = sentence_folder(folder, follow=False).prompts
    if asked in prompts or not re.fullmatch(r"[\w.-]+", asked):
        return prompts.get(asked, asked)
    raise CurateError(
        f"The model in {folder} has no prompt named '{asked}'.",
        f"{nearest(asked, sorted(prompts))} A text of one word ends in a colon or a space: "
        f"`prompt: '{asked}: '`.".strip(),
    )


def max_length_of(folder: Path) -> int | None:
    """The number of tokens that a sentence model was trained for, where its folder says it."""
    length = _settings(folder).get("max_seq_length")
    return length if isinstance(length, int) else None


def lowers_case(folder: Path) -> bool:
    """Whether texts are put into lower case before they become tokens."""
    return bool(_settings(folder).get("do_lower_case"))


def _module(folder: Path, entry: Any) -> tuple[str, str]:
    """The kind of a module, and its folder inside the model's."""
    kind, path = entry.get("type"), entry.get("path")
    if isinstance(kind, str) and isinstance(path, str) and ".." not in Path(path).parts:
        return kind.rpartition(".")[2], path.lstrip("/")
    raise CurateError(f"{folder / 'modules.json'} does not hold what it should.", _FETCH)


def _check(folder: Path, kinds: list[str], said: Mapping[str, Any]) -> None:
    """Refuse what would be computed in another way."""
    known = ["Transformer", "Pooling", "Normalize"]
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise _not_done(folder, f"has a module {unknown[0]}")
    if kinds not in ([], known[:2], known):
        raise _not_done(folder, f"is made of {', '.join(kinds)}")
    if said.get("truncate_dim") is not None:
        raise _not_done(folder, f"shortens its vectors to {said['truncate_dim']} values")
    settings = _settings(folder)
    text = settings.get("modality_config", {"text": _TEXT}).get("text")
    task = settings.get("transformer_task", "feature-extraction")
    if text != _TEXT or task != "feature-extraction":
        raise _not_done(folder, "does not pool its final hidden state")


def _pooling(folder: Path, config: Mapping[str, Any]) -> str:
    modes = config.get("pooling_mode")
    if modes is None:
        flags = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
        modes = [_FLAGS.get(name, name) for name in flags] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) == 1 and modes[0] in _MODES:
        return _MODES[modes[0]]
    raise _not_done(folder, f"pools by {' and '.join(modes)}")


def _not_done(folder: Path, what: str) -> CurateError:
    return CurateError(
        f"The model in {folder} {what}, which embed.sentence does not do.",
        f"Choose one of {', '.join(f'`pooling: {name}`' for name in _MODES.values())} to have the "
        "final hidden state of its transformer pooled so and nothing more, or use another model.",
    )


def _settings(folder: Path) -> Mapping[str, Any]:
    for name in _SETTINGS:
        if (folder / name).is_file():
            return dict(_read(folder / name, {}))
    return {}


_FETCH = "Fetch the model again."


def _read(path: Path, default: Any) -> Any:
    if not path.is_file():
        return default
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CurateError(f"{path} is not JSON: {error}", _FETCH) from error
    if not isinstance(content, type(default)):
        raise CurateError(f"{path} does not hold what it should.", _FETCH)
    return content
