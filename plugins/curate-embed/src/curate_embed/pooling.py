"""From hidden states to one vector a text, as a sentence-transformers folder says or as asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.api import CurateError, Site

if TYPE_CHECKING:
    import torch

_KNOWN = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


def pooling_of(folder: Path) -> str:
    """The pooling that a model was trained for: `mean` or `cls`; mean where it does not say.

    Raises:
        CurateError: The folder names a pooling other than these.
    """
    modules = _read(folder / "modules.json", [])
    for module in modules:
        if str(module.get("type", "")).endswith("Pooling"):
            config = _read(folder / module["path"] / "config.json", {})
            modes = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
            if len(modes) == 1 and modes[0] in _KNOWN:
                return _KNOWN[modes[0]]
            raise CurateError(
                f"The model in {folder} pools by {', '.join(modes) or 'nothing known'}.",
                "Write `pooling: mean` or `pooling: cls` to choose one of these all the same.",
            )
    return "mean"


def max_length_of(folder: Path) -> int | None:
    """The number of tokens that a sentence model was trained for, where its folder says it."""
    length = _read(folder / "sentence_bert_config.json", {}).get("max_seq_length")
    return length if isinstance(length, int) else None


class SentenceReader:
    """A reader that gives float32 [rows, width] from the final hidden state.

    Args:
        pooling: `mean` over the real tokens, or `cls`: the first token.
        normalize: Scale to length 1.
    """

    sites: frozenset[Site] = frozenset({"final"})

    def __init__(self, pooling: str, normalize: bool) -> None:
        self._pooling = pooling
        self._normalize = normalize
        self._mask: Any = None
        self._vectors: Any = None

    def start(self, mask: torch.Tensor) -> None:
        """See `curate.passes.Reader`."""
        self._mask = mask

    def see(self, site: Site, layer: int, values: torch.Tensor) -> None:  # noqa: ARG002 - it asks for one
        """See `curate.passes.Reader`."""
        if self._pooling == "cls":
            self._vectors = values[:, 0].float()
        else:
            weights = self._mask.unsqueeze(-1).float()
            self._vectors = (values.float() * weights).sum(dim=1) / weights.sum(dim=1)

    def finish(self) -> torch.Tensor:
        """See `curate.passes.Reader`."""
        import torch

        vectors: torch.Tensor = self._vectors
        return torch.nn.functional.normalize(vectors, dim=-1) if self._normalize else vectors


def _read(path: Path, default: Any) -> Any:
    if not path.is_file():
        return default
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CurateError(f"{path} is not JSON: {error}", "Fetch the model again.") from error
    if not isinstance(content, Mapping if isinstance(default, dict) else list):
        raise CurateError(f"{path} does not hold what it should.", "Fetch the model again.")
    return content
