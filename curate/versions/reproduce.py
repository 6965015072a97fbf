"""A version made again from its own recipe and lock: `curate run NAME@v --locked`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.ledger import FATES
from curate.plugins.registry import get_registry
from curate.run.check import check
from curate.run.resolve import resolve
from curate.sources.hashes import home
from curate.sources.published import damaged, listed_in
from curate.versions.locked import Locked, LockedError
from curate.versions.open import Version
from curate.versions.runs import PREVIEW
from curate.versions.verify import compared, plain_files

if TYPE_CHECKING:
    import polars as pl

    from curate.run.observe import Watch
    from curate.run.outcome import Outcome


_READ = ("manifest.json", "recipe.yaml", "recipe.lock.yaml")
"""What a version is made again from, and its digest."""


@dataclass(frozen=True)
class Reproduced:
    """What came of making a version again.

    Attributes:
        path: Folder of the version.
        name: Such as `nait-alpaca@v3`.
        expected: The digest that was published.
        digest: The digest of the rows that were made now.
        differences: Where they differ, how: books of stages, rows, cuts that were close.
        warnings: Files of the version that are damaged; Python and libraries of other versions
            than then.
    """

    path: Path
    name: str
    expected: str
    digest: str
    differences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether it is the same version."""
        return self.digest == self.expected


def reproduce(
    path: Path,
    sets: Sequence[str] = (),
    *,
    engine: str = "local",
    workers: int = 1,
    watch: Watch | None = None,
) -> Reproduced:
    """Make a version again, compare the digests, and publish nothing.

    Everything is computed anew, in a folder that is removed; only answers that were paid for come
    from the journal, and nobody is asked.

    Args:
        path: Folder of the version.
        sets: Overrides that the digest does not see, such as `sources.x.path=...`.
        engine: Name of the engine.
        workers: Processes that it uses.
        watch: Told of everything that happens.

    Raises:
        LockedError: A plugin, file, model or paid answer is missing or differs.
        RecipeError: The recipe is wrong here.
        CurateError: The version's manifest, recipe or lock is damaged, or the run failed.
    """
    damage = _damage(path)
    version, registry = Version(path), get_registry()
    name = f"{version.name}@{version.version}"
    registry.point("curate.engines", engine)
    paid = home() / "memo"
    locked = Locked(path, sets, registry, paid)
    if locked.lock["run_key"] != version.manifest["run_key"]:
        raise CurateError(
            f"The lock of {name} belongs to another run than its manifest.",
            f"curate verify {name} says what is wrong.",
        )
    if found := locked.differences():
        raise LockedError(name, found)
    checked = check(locked.recipe, locked.sets, registry, out=locked.out)
    try:
        resolved = resolve(checked, registry, beside=path, commits=locked.commits, out=locked.out)
    except CurateError as error:
        if other := locked.other_model(error):
            raise LockedError(name, [other]) from error
        raise
    if found := locked.unlike(resolved):
        raise LockedError(name, found)

    from curate.memo.store import Memo
    from curate.run.observe import Watch
    from curate.run.outcome import execute
    from curate.run.tools import Tools
    from curate.versions.store import digest_of

    watch = watch or Watch()
    limit = version.manifest["limit"]
    with tempfile.TemporaryDirectory(prefix="curate-locked-") as scratch:
        tools = Tools(
            registry,
            Memo(Path(scratch)),
            registry.engine(engine, workers),
            checked.recipe.seed,
            watch,
            version.version == PREVIEW,
            paid,
        )
        with closing(tools):
            stages = checked.ids
            started = {"name": version.name, "seed": checked.recipe.seed, "stages": stages}
            tools.tell("run_started", started)
            outcome = execute(resolved, tools, limit)
        digest = digest_of(outcome)
    facts = {"version": version.version, "path": str(path), "digest": digest, "new": False}
    tools.tell("run_finished", facts | {"up_to_date": False, "same": digest == version.digest})
    differences = () if digest == version.digest else tuple(_differences(version, outcome))
    warnings = (*damage, *locked.warnings())
    return Reproduced(path, name, version.digest, digest, differences, warnings)


def _damage(path: Path) -> list[str]:
    """What is wrong with the files of the version, where these do not say how it was made.

    Raises:
        CurateError: What says it is not as SHA256SUMS says.
    """
    found = compared(path, listed_in(path), plain_files(path))
    for finding in found:
        if finding.file in _READ:
            raise damaged(path, str(finding))
    return [f"the version on disk is damaged: {finding}" for finding in found]


def _differences(version: Version, outcome: Outcome) -> list[str]:
    """In what the rows made now are not those that were published, in order of their making."""
    found = []
    stages = {stage["id"]: stage for stage in outcome.manifest["stages"]}
    for before in version.manifest["stages"]:
        if before["id"] in stages:
            found += _books(before, stages[before["id"]])
    try:
        ledger, kept = version.ledger, version.frame().select("id", "messages")
    except CurateError as error:
        return [*found, f"rows cannot be compared: {error.message}"]
    found += _rows(ledger, outcome.ledger)
    now = outcome.data.select("id", again="messages")
    texts = int(kept.join(now, on="id").select(_differ("messages", "again").sum()).item())
    if texts:
        found.append(f"{texts:,} kept rows have other messages")
    if not found:
        found.append("books, fates and messages are the same: order, columns or refs differ")
    for stage in (*version.manifest["stages"], *outcome.manifest["stages"]):
        for margin in stage["margins"]:
            line = (
                f"the cut {margin['cut']} of '{stage['id']}' was close: the nearest row stood "
                f"{margin['distance']:.2g} from it"
            )
            if margin["close"] and line not in found:
                found.append(line)
    return found


def _books(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    keys = ("in", "created", "out", *(fate for fate in FATES if fate in before))
    changed = [
        f"{key} {now[key]:,} instead of {before[key]:,}" for key in keys if before[key] != now[key]
    ]
    if not changed and before["reasons"] != now["reasons"]:
        changed = [f"reasons {now['reasons']} instead of {before['reasons']}"]
    return [f"stage '{before['id']}': {', '.join(changed)}"] if changed else []


def _rows(before: pl.DataFrame, now: pl.DataFrame) -> list[str]:
    """How many rows came or went, and how many met another fate, by the stages that decided."""
    import polars as pl

    columns = ("fate", "stage", "reason")
    then = before.select("id", *columns)
    here = now.select("id", *(pl.col(name).alias(f"{name}_now") for name in columns))
    found = []
    for count, said in (
        (len(then.join(here, on="id", how="anti")), "rows were seen then and are not now"),
        (len(here.join(then, on="id", how="anti")), "rows are seen now and were not then"),
    ):
        if count:
            found.append(f"{count:,} {said}")
    differ = pl.any_horizontal(_differ(name, f"{name}_now") for name in columns)
    changed = then.join(here, on="id").filter(differ)
    for was, at, is_, by, rows in (
        changed.group_by("fate", "stage", "fate_now", "stage_now")
        .len()
        .sort("len", "fate", "stage", "fate_now", "stage_now", descending=True)
        .iter_rows()
    ):
        found.append(f"{rows:,} rows are {_fate(is_, by)} and were {_fate(was, at)}")
    return found


def _differ(one: str, other: str) -> pl.Expr:
    import polars as pl

    return ~pl.col(one).eq_missing(pl.col(other))


def _fate(fate: str, stage: str | None) -> str:
    return f"{fate} by '{stage}'" if stage else fate
