"""What the folder of a model with a classification head says of its classes.

Nothing here imports torch: columns are known before a model is loaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curate.api import CurateError

Task = Literal["single_label", "multi_label", "regression"]

_TASKS: dict[str, Task] = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}


@dataclass(frozen=True)
class Classes:
    """What a model tells apart.

    Args:
        labels: In the order of its logits.
        task: One of the labels holds, or each may, or they are numbers to be predicted.
    """

    labels: tuple[str, ...]
    task: Task


def classes_of(path: Path) -> Classes:
    """Read `config.json`.

    Without `id2label` the classes are LABEL_0, LABEL_1, ..., as many as `num_labels` says; without
    that two, which transformers leaves out. A model with one label predicts a number, unless its
    `problem_type` says otherwise.

    Raises:
        CurateError: The model was saved without a classification head, or with odd labels.
    """
    config = json.loads((path / "config.json").read_text("utf-8"))
    saved = config.get("architectures") or []
    if saved and not any(name.endswith("ForSequenceClassification") for name in saved):
        raise CurateError(
            f"The model in {path} has no classification head: it was saved as {', '.join(saved)}.",
            "Use a model that was trained to classify texts (...ForSequenceClassification).",
        )
    count = config.get("num_labels") or 2
    named = config.get("id2label") or {str(at): f"LABEL_{at}" for at in range(count)}
    labels = tuple(str(named.get(str(at))) for at in range(len(named)))
    if set(named) != set(map(str, range(len(named)))) or len(set(labels)) < len(labels):
        raise CurateError(
            f"The model in {path} has labels that are no list of different names: {named}.",
            "Mend `id2label` in its config.json, or write `labels` in the recipe.",
        )
    kind = config.get("problem_type")
    task = _TASKS.get(kind) if kind else "regression" if len(labels) == 1 else "single_label"
    if task is None:
        raise CurateError(
            f"The model in {path} has the `problem_type` '{kind}', which is not known.",
            f"Write `task` in the recipe: {', '.join(_TASKS.values())}.",
        )
    return Classes(labels, task)
