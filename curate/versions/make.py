"""A recipe in, a version out: what `curate run` and `curate.run` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.plugins.registry import get_registry
from curate.run.check import check
from curate.run.resolve import resolve
from curate.sources.hashes import home, make_folder
from curate.versions.runs import find_run

if TYPE_CHECKING:
    from curate.run.observe import Observer


@dataclass(frozen=True)
class RunResult:
    """Where a run ended.

    Attributes:
        path: Folder of the version.
        version: Its name, such as `v3`, or `preview`.
        digest: Its digest.
        new: Whether this run made it.
        up_to_date: Whether nothing had to be done: the run key was known.
    """

    path: Path
    version: str
    digest: str
    new: bool
    up_to_date: bool


def run_recipe(
    source: str | Path | Mapping[str, Any],
    sets: Sequence[str] = (),
    *,
    out: Path = Path("curated"),
    engine: str = "local",
    workers: int = 1,
    limit: int | None = None,
    observers: Sequence[Observer] = (),
) -> RunResult:
    """Run a recipe and publish what comes out.

    Args:
        source: The recipe: a path, or its content as a mapping.
        sets: Overrides, each `a.b.c=value`.
        out: Where versions live.
        engine: Name of the engine.
        workers: Processes that it uses.
        limit: Take the first rows of each source only, and publish a preview.
        observers: Told of everything that happens.

    Raises:
        RecipeError: The recipe is wrong.
        CurateError: The run failed; nothing is published.
    """
    registry = get_registry()
    beside = Path(source).parent if isinstance(source, str | Path) else None
    checked = check(source, sets, registry, keep_rows=limit is None, out=out)
    resolved = resolve(checked, registry, beside=beside, out=out)
    name = checked.recipe.name
    registry.point("curate.engines", engine)
    make_folder(out / name, "Say where versions are to live with --out.")
    if limit is None:
        known = find_run(out, name, resolved.run_key)
        if known is not None:
            return RunResult(out / name / known.version, known.version, known.digest, False, True)

    from curate.memo.store import Memo
    from curate.run.outcome import execute
    from curate.run.tools import Tools
    from curate.versions.store import publish, publish_preview

    watching = [*observers, *registry.observers()]
    seed, stages = checked.recipe.seed, [step.id for step in checked.steps]
    memo, preview = Memo(home() / "memo"), limit is not None
    started = registry.engine(engine, workers)
    with closing(Tools(registry, memo, started, seed, watching, preview)) as tools:
        tools.tell("run_started", {"name": name, "seed": seed, "stages": stages})
        outcome = execute(resolved, tools, limit)
    published = (publish if limit is None else publish_preview)(outcome, out)
    result = RunResult(published.path, published.version, published.digest, published.new, False)
    tools.tell(
        "run_finished",
        {
            "version": result.version,
            "path": str(result.path),
            "digest": result.digest,
            "new": result.new,
        },
    )
    return result
