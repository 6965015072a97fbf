"""A recipe in, a version out: what `curate run` and `curate.run` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.plugins.registry import get_registry
from curate.run.check import check
from curate.run.resolve import resolve
from curate.sources.hashes import home, make_folder
from curate.versions.runs import find_run, lost_files
from curate.versions.verify import sums_of

if TYPE_CHECKING:
    from curate.run.observe import Watch


@dataclass(frozen=True)
class RunResult:
    """Where a run ended.

    Attributes:
        path: Folder of the version.
        version: Its name, such as `v3`, or `preview`.
        digest: Its digest.
        new: Whether this run made it.
        up_to_date: Whether nothing had to be done: the run key was known.
        sums: Hex sha256 of its SHA256SUMS, which stands for all its files; `curate verify --sha256`
            compares it.
        damaged: Of an earlier version of the same run, in whose place this one was made: files
            that are not there any more.
    """

    path: Path
    version: str
    digest: str
    new: bool
    up_to_date: bool
    sums: str
    damaged: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "path": str(self.path)}


def run_recipe(
    source: str | Path | Mapping[str, Any],
    sets: Sequence[str] = (),
    *,
    out: Path = Path("curated"),
    engine: str = "local",
    workers: int = 1,
    limit: int | None = None,
    watch: Watch | None = None,
) -> RunResult:
    """Run a recipe and publish what comes out.

    Args:
        source: The recipe: a path, or its content as a mapping.
        sets: Overrides, each `a.b.c=value`.
        out: Where versions live.
        engine: Name of the engine.
        workers: Processes that it uses.
        limit: Take the first rows of each source only, and publish a preview.
        watch: Told of everything that happens; its `faults` say which observer failed.

    Raises:
        RecipeError: The recipe is wrong.
        CurateError: The run failed; nothing is published.
    """
    from curate.run.observe import Watch

    registry, watch = get_registry(), watch or Watch()
    beside = Path(source).parent if isinstance(source, str | Path) else None
    checked = check(source, sets, registry, keep_rows=limit is None, out=out, told=watch.reading)
    resolved = resolve(checked, registry, beside=beside, out=out)
    name = checked.recipe.name
    registry.point("curate.engines", engine)
    make_folder(out / name, "Say where versions are to live with --out.")
    damaged: tuple[str, ...] = ()
    if limit is None:
        known = find_run(out, name, resolved.run_key)
        if known is not None:
            path = out / name / known.version
            sums = sums_of(path)
            result = RunResult(path, known.version, known.digest, False, True, sums)
            watch.tell("run_finished", result.facts())
            return result
        damaged = lost_files(out, name, resolved.run_key)

    from curate.memo.store import Memo
    from curate.run.outcome import execute
    from curate.run.tools import Tools
    from curate.versions.store import publish, publish_preview

    seed, stages = checked.recipe.seed, checked.ids
    memo, preview = Memo(home() / "memo"), limit is not None
    started = registry.engine(engine, workers)
    with closing(Tools(registry, memo, started, seed, watch, preview)) as tools:
        try:
            watch.tell(
                "run_started",
                {"name": name, "seed": seed, "run_key": resolved.run_key, "stages": stages},
            )
            outcome = execute(resolved, tools, limit)
            published = (publish if limit is None else publish_preview)(outcome, out)
        except BaseException as error:  # told and raised again
            watch.failed(error)
            raise
    result = RunResult(
        published.path,
        published.version,
        published.digest,
        published.new,
        False,
        sums_of(published.path),
        damaged,
    )
    watch.tell("run_finished", result.facts())
    return result
