"""The observer `mlflow`: parameters, metrics and artifacts of a run, for the tracking server.

MLflow is imported when a run starts, not before: a run that is up to date costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.api import CurateError, hookimpl

CURATE_API = 1

EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_BOOKS = ("in", "created", "out", "dropped", "failed", "merged", "seconds")
_LONGEST = {"param": 6000, "tag": 5000}
"""Characters that MLflow keeps of a value."""

_ARTIFACTS = ("manifest.json", "README.md", "recipe.yaml", "recipe.lock.yaml")


class MlflowObserver:
    """Writes one MLflow run for each run that works.

    Args:
        target: Tracking URI; empty: what MLflow takes by itself (`MLFLOW_TRACKING_URI`).
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._client: Any = None
        self._run = ""

    def run_started(self, facts: Mapping[str, Any]) -> None:
        """Begin an MLflow run.

        Raises:
            CurateError: MLflow is not installed, or its store cannot be reached.
        """
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise CurateError(
                f"The observer 'mlflow' needs MLflow: {error}", "pip install mlflow"
            ) from error
        name = os.environ.get(EXPERIMENT, "curate")
        try:
            with _impatient():
                client = MlflowClient(self._target or None)
                found = client.get_experiment_by_name(name)
                experiment = found.experiment_id if found else client.create_experiment(name)
                tags = {"curate.name": facts["name"], "curate.run_key": facts["run_key"]}
                run = client.create_run(experiment, run_name=facts["name"], tags=tags)
        except Exception as error:  # MLflow, its databases and its HTTP client raise of all kinds
            where = self._target or os.environ.get("MLFLOW_TRACKING_URI") or "its default store"
            raise CurateError(
                f"MLflow cannot begin a run at {where}: {error}",
                "Nothing was done yet. Name a tracking URI: --observe mlflow=sqlite:///mlflow.db "
                "or mlflow=https://...; a database needs all of mlflow (pip install mlflow).",
            ) from error
        self._client, self._run = client, run.info.run_id
        self._params({"recipe/seed": facts["seed"], "recipe/stages": facts["stages"]})

    def source_advanced(self, facts: Mapping[str, Any]) -> None:
        """How far a source is, is not written."""

    def stage_started(self, facts: Mapping[str, Any]) -> None:
        """A stage is written when it has finished."""

    def stage_advanced(self, facts: Mapping[str, Any]) -> None:
        """How far a stage is, is not written."""

    def stage_finished(self, facts: Mapping[str, Any]) -> None:
        """Write the stage's parameters, and its books as metrics."""
        id = facts["id"]
        stage = f"{facts['verb']}: {facts['stage']}, version {facts['version']}"
        params = {f"{id}.{name}": value for name, value in facts["params"].items()}
        self._params({id: stage, **params})
        self._metrics({f"{id}.{name}": facts[name] for name in _BOOKS})

    def run_finished(self, facts: Mapping[str, Any]) -> None:
        """Write which version came out, its books, manifest, card, recipe and lock."""
        if self._client is None:  # the run was up to date
            return
        folder = Path(facts["path"])
        for name in ("version", "digest", "path", "new"):
            self._client.set_tag(self._run, f"curate.{name}", str(facts[name]))
        books = json.loads((folder / "manifest.json").read_bytes())["books"]
        self._metrics({f"books.{name}": count for name, count in books.items()})
        for name in _ARTIFACTS:
            if (folder / name).exists():
                self._client.log_artifact(self._run, str(folder / name))
        self._client.set_terminated(self._run, "FINISHED")

    def run_failed(self, facts: Mapping[str, Any]) -> None:
        """Write why the run ended."""
        if self._client is None:  # it ended before it began here
            return
        interrupted = facts["error"] == "interrupted"
        self._client.set_tag(self._run, "curate.error", facts["error"][: _LONGEST["tag"]])
        self._client.set_terminated(self._run, "KILLED" if interrupted else "FAILED")

    def _params(self, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(name, _value(value)) for name, value in values.items()]
        self._client.log_batch(self._run, params=params)

    def _metrics(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value)


def _value(value: Any) -> str:
    """A parameter as text; of what is too long its hash, for it stands in the recipe."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) <= _LONGEST["param"]:
        return text
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()}, see recipe.yaml"


@contextmanager
def _impatient() -> Iterator[None]:
    """Few attempts for the first contact: MLflow takes minutes to say that nobody is there."""
    if _RETRIES in os.environ:
        yield
        return
    os.environ[_RETRIES] = "1"
    try:
        yield
    finally:
        del os.environ[_RETRIES]


@hookimpl
def register_observers(register: Callable[[Callable[[str], MlflowObserver]], None]) -> None:
    """Offer the observer."""
    register(MlflowObserver)
