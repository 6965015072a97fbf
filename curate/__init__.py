"""Curate instruction-tuning data: recipes in, versions that account for every row out.

    >>> version = curate.run("recipe.yaml", set={"seed": 7})
    >>> version.frame()
    >>> curate.open("nait-alpaca@v1").dataset()

Importing this costs nothing; each function imports what it needs. Nothing below may import from
here: this is the top of the house, beside the commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pydantic import BaseModel

    from curate.run.plan import Plan
    from curate.run.steps import Checked
    from curate.versions.open import Version

    Source = str | Path | Mapping[str, Any] | BaseModel

__all__ = ["__version__", "check", "open", "plan", "run"]


def check(
    recipe: Source,
    *,
    set: Mapping[str, Any] | None = None,
    out: str | Path = "curated",
) -> Checked:
    """Check a recipe without loading a model or touching the network.

    Args:
        recipe: A path, a mapping, or the recipe's model.
        set: Overrides by dotted path, such as `{"seed": 7, "nait.with.model": "..."}`.
        out: Where versions live.

    Raises:
        RecipeError: Everything that is wrong with it.
    """
    from curate.plugins.registry import get_registry
    from curate.run.check import check

    return check(_source(recipe), _sets(set), get_registry(), out=Path(out))


def plan(
    recipe: Source,
    *,
    set: Mapping[str, Any] | None = None,
    limit: int | None = None,
    out: str | Path = "curated",
) -> Plan:
    """Say what a run would do, and what of it is remembered. Loads no model.

    Args:
        recipe: A path, a mapping, or the recipe's model.
        set: Overrides by dotted path.
        limit: Plan for the first rows of each source only.
        out: Where versions live.

    Raises:
        RecipeError: The recipe is wrong.
        PolicyError: A policy of the recipe cannot be met with the rows of the sources.
        CurateError: Something that it names cannot be found or read.
    """
    from curate.run.plan import plan

    return plan(_source(recipe), _sets(set), limit=limit, out=Path(out))


def open(name: str | Path, out: str | Path = "curated") -> Version:
    """Open a version: `NAME@vN`, `NAME` (its latest version), or the path of its folder.

    Args:
        name: The version.
        out: Where versions live.

    Raises:
        UsageError: There is no such version.
    """
    from curate.versions.open import open_version

    return open_version(name, out)


def _source(recipe: Source) -> str | Path | Mapping[str, Any]:
    if isinstance(recipe, str | Path | Mapping):
        return recipe
    written: Mapping[str, Any] = recipe.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return written


def _sets(given: Mapping[str, Any] | None) -> list[str]:
    """Overrides as the command line writes them; JSON is YAML."""
    import json
    import os

    if given is not None and not isinstance(given, Mapping):
        raise TypeError('set: expected a mapping such as {"seed": 7}')
    return [f"{key}={json.dumps(value, default=os.fspath)}" for key, value in (given or {}).items()]


class _Run(ModuleType):
    """The room `curate.run`, which can be called as the function that it is named for."""

    def __call__(
        self,
        recipe: Source,
        *,
        set: Mapping[str, Any] | None = None,
        out: str | Path = "curated",
        limit: int | None = None,
        engine: str = "local",
        workers: int = 1,
        observe: Sequence[str] = (),
    ) -> Version:
        """Run a recipe and open the version that comes out.

        Args:
            recipe: A path, a mapping, or the recipe's model.
            set: Overrides by dotted path, such as `{"seed": 7, "nait.with.model": "..."}`.
            out: Where versions live.
            limit: Take the first rows of each source only, and publish a preview.
            engine: Where the work is done.
            workers: Processes that score rows. They import the calling script anew, which must
                guard its own work by `if __name__ == "__main__":`.
            observe: Observers by name, each `NAME` or `NAME=TARGET`, such as `events=run.jsonl`.

        Raises:
            RecipeError: The recipe is wrong.
            PolicyError: A policy of the recipe cannot be met; nothing is published.
            CurateError: The run failed; nothing is published.
        """
        import warnings

        from curate.plugins.registry import get_registry
        from curate.run.observe import Watch, named_observers
        from curate.versions.make import run_recipe
        from curate.versions.open import Version

        watch = Watch(named=named_observers(observe, get_registry()))
        result = run_recipe(
            _source(recipe),
            _sets(set),
            out=Path(out),
            limit=limit,
            engine=engine,
            workers=workers,
            watch=watch,
        )
        for word, error in watch.faults.items():
            warnings.warn(f"The observer '{word}' failed: {error}", RuntimeWarning, stacklevel=2)
        return Version(result.path)


__version__: str
run = cast(_Run, import_module("curate.run"))
run.__class__ = _Run
run.__doc__ = _Run.__call__.__doc__


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("curate-data")
    raise AttributeError(f"module 'curate' has no attribute '{name}'")
