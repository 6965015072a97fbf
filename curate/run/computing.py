"""Running a score stage over contents: results checked, bad rows found, everything kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl

from curate.contract.results import Output
from curate.engines.base import Engine, Work
from curate.errors import CurateError, PluginError
from curate.run.failures import describe

FLUSH_SECONDS = 5.0
DTYPES: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "string": pl.String,
    "integer": pl.Int64,
    "number": pl.Float64,
    "boolean": pl.Boolean,
}


def compute(
    engine: Engine,
    work: Work,
    rows: pl.DataFrame,
    outputs: Mapping[str, Output],
    keep: Callable[[pl.DataFrame], None],
    fail: Callable[[str, str], None],
    took: Callable[[int], None],
) -> None:
    """Compute `outputs` for `rows`, handing results on at least every five seconds.

    Where the work raises, the rows that are still without a result are halved until those that
    cannot be computed stand alone: one bad row costs itself and nothing else.

    Args:
        engine: Runs the work.
        work: The stage with its context.
        rows: `id` (unique) and the stage's inputs.
        outputs: What is wanted, by name.
        keep: Takes checked results: `id`, the outputs and, unchecked, those of guests.
        fail: Takes the id of a row that could not be computed, and its error.
        took: Takes the number of rows that came, before they are handed on.

    Raises:
        PluginError: The stage broke its contract.
    """
    batch = _Batch(work.stage.name, rows["id"].to_list(), outputs, work.extra, keep, fail, took)
    try:
        _attempt(engine, work, rows, batch)
    finally:
        batch.flush()


class _Batch:
    def __init__(
        self,
        stage: str,
        ids: list[str],
        outputs: Mapping[str, Output],
        extra: list[str],
        keep: Callable[[pl.DataFrame], None],
        fail: Callable[[str, str], None],
        took: Callable[[int], None],
    ) -> None:
        self.stage = stage
        self.open = set(ids)
        self.outputs = outputs
        self.extra = extra
        self.keep = keep
        self.fail = fail
        self.took = took
        self.waiting: list[pl.DataFrame] = []
        self.flushed = time.monotonic()

    def take(self, result: pl.DataFrame) -> None:
        good, errors = check_scores(self.stage, result, self.open, self.outputs, self.extra)
        self.open.difference_update(result["id"])
        self.waiting.append(good)
        self.took(len(result))
        if time.monotonic() - self.flushed >= FLUSH_SECONDS:
            self.flush()
        for id, error in errors.items():
            self.fail(id, error)

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        if waiting:
            self.keep(pl.concat(waiting, how="diagonal"))
        self.flushed = time.monotonic()


def _attempt(engine: Engine, work: Work, rows: pl.DataFrame, batch: _Batch) -> None:
    results = _results(engine, work, rows)
    while True:
        # only the work itself is inside: what goes wrong in keeping its results is no row's fault
        try:
            result = next(results, None)
        except CurateError:
            if not work.guests:
                raise
            left = rows.filter(pl.col("id").is_in(list(batch.open)))
            _attempt(engine, work.alone(), left, batch)  # perhaps it was a guest's
            return
        except Exception as error:  # a plugin may raise anything; the row is found and carries it
            left = rows.filter(pl.col("id").is_in(list(batch.open)))
            if left.is_empty():
                raise
            if work.guests:  # whose fault it is shows when the stage works alone
                _attempt(engine, work.alone(), left, batch)
                return
            described = describe(error)
            break
        if result is None:
            missing = [id for id in rows["id"] if id in batch.open]
            if missing:
                raise broken(
                    batch.stage,
                    f"it returned {len(rows) - len(missing)} of {len(rows)} rows; "
                    f"missing for instance {missing[0]}",
                )
            return
        batch.take(result)
    if len(left) == 1:
        batch.open.discard(left["id"][0])
        batch.fail(left["id"][0], described)
        return
    middle = len(left) // 2
    _attempt(engine, work, left[:middle], batch)
    _attempt(engine, work, left[middle:], batch)


def _results(engine: Engine, work: Work, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    yield from work(rows) if work.here else engine.run(work, rows)


def check_scores(
    stage: str,
    result: pl.DataFrame,
    asked: set[str],
    outputs: Mapping[str, Output],
    extra: Sequence[str] = (),
    *,
    whole: bool = False,
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Check what a score stage returned.

    Args:
        stage: Its name.
        result: What it returned.
        asked: The ids that it may return.
        outputs: What it was to compute.
        extra: Further columns that may be there; they are handed on as they are.
        whole: Whether every id asked must be there.

    Returns:
        The rows with values (`id` and the outputs, in declared dtypes), and id > error of others.

    Raises:
        PluginError: Wrong columns, ids that were not asked for or came twice, wrong types.
    """
    check_columns(stage, result, ["id", *outputs], optional=["error", *extra])
    check_ids(stage, result["id"], asked)
    if whole and len(result) != len(asked):
        raise broken(stage, f"it returned {len(result)} of {len(asked)} rows")
    result = result.with_columns(_typed(stage, result[name], out) for name, out in outputs.items())
    errors: dict[str, str] = {}
    if "error" in result.columns:
        failed = result.filter(pl.col("error").is_not_null())
        errors = dict(zip(failed["id"], failed["error"], strict=True))
        result = result.filter(pl.col("error").is_null()).drop("error")
    for name, output in outputs.items():
        values = result[name]
        bad = values.is_null()
        if output.kind == "number":
            bad = bad | ~values.is_finite().fill_null(False)
        elif output.kind == "vector":
            bad = bad | ~values.arr.eval(pl.element().is_finite()).arr.all().fill_null(False)
        for id, value in result.filter(bad).select("id", name).iter_rows():
            shown = "a vector that is not finite" if output.kind == "vector" and value else value
            errors.setdefault(id, f"'{stage}' returned {shown} for '{name}'")
        result = result.filter(~bad)
    handed_on = [name for name in extra if name in result.columns]
    return result.select("id", *outputs, *handed_on), errors


def check_columns(stage: str, result: object, needed: list[str], optional: list[str]) -> None:
    """Raise PluginError unless `result` is a frame with the needed and no unknown columns."""
    if not isinstance(result, pl.DataFrame):
        raise broken(stage, f"it returned {type(result).__name__}, not a polars DataFrame")
    missing = [name for name in needed if name not in result.columns]
    unknown = [name for name in result.columns if name not in (*needed, *optional)]
    if missing or unknown:
        said = [f"without the columns {missing}"] * bool(missing)
        said += [f"with unknown columns {unknown}"] * bool(unknown)
        raise broken(stage, f"it returned a table {' and '.join(said)}")


def check_ids(stage: str, ids: pl.Series, asked: set[str]) -> None:
    """Raise PluginError where an id is null, was not asked for, or comes twice."""
    given = ids.to_list()
    strange = next((id for id in given if id not in asked), None) if set(given) - asked else None
    if strange is not None or ids.null_count():
        raise broken(stage, f"it returned the id {strange}, which is none of those asked (or done)")
    if ids.n_unique() != len(ids):
        twice = ids.filter(ids.is_duplicated())[0]
        raise broken(stage, f"it returned the id {twice} twice")


def broken(stage: str, what: str) -> PluginError:
    """The error of a stage that broke its contract."""
    return PluginError(
        f"Stage '{stage}' broke its contract: {what}.", "Report this to the plugin's authors."
    )


def _typed(stage: str, values: pl.Series, output: Output) -> pl.Series:
    try:
        if output.kind == "vector":
            if isinstance(values.dtype, pl.Array):
                return values.cast(pl.Array(pl.Float32, values.dtype.size))
            width = values.list.len().max()
            return values.cast(pl.Array(pl.Float32, width if isinstance(width, int) else 0))
        if values.dtype == pl.String and output.kind != "string":
            raise broken(stage, f"'{values.name}' is text, declared {output.kind}")
        typed = values.cast(DTYPES[output.kind], strict=True)
        if output.kind == "integer" and values.dtype.is_float() and (typed != values).any():
            raise broken(stage, f"'{values.name}' holds fractions, declared integer")
        return typed
    except pl.exceptions.PolarsError as error:
        raise broken(stage, f"'{values.name}' is not {output.kind}: {error}") from error
