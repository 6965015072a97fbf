"""The books balance over random chains of stages and random tables."""

import json
import shutil
import tempfile
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.versions.make import run_recipe
from curate.versions.reproduce import reproduce
from curate.versions.store import NothingKeptError
from curate.versions.verify import verify

words = st.text(alphabet="abc é\U0001f600", min_size=1, max_size=6)
row = st.fixed_dictionaries(
    {"instruction": words, "input": st.sampled_from(["", "x"]), "output": words}
)
broken = st.sampled_from(['{"instruction": 1}', "not json", '{"instruction": "a", "output": null}'])
line = st.one_of(row.map(json.dumps), row.map(json.dumps), broken)
table = st.lists(line, min_size=1, max_size=14).filter(lambda ls: any("input" in x for x in ls))

SCORES = [
    {"score": "toys.count"},
    {"score": "toys.count", "with": {"salt": "s", "fail_on": "b"}, "on_failure": {"set_aside": 99}},
    {"score": "toys.count", "with": {"raise_on": "c"}, "on_failure": {"set_aside": "100%"}},
    {"score": "core.length"},
]
OTHERS = [
    {"filter": "toys.odd"},
    {"filter": "toys.nosy", "with": {"share": 2}},
    {"filter": "core.sample", "with": {"fraction": 0.6}},
    {"expand": "toys.double"},
    {"expand": "toys.double", "with": {"every": 1, "in_place": True}},
    {
        "expand": "toys.double",
        "with": {"children": 2, "raise_on": "a"},
        "on_failure": {"set_aside": 99},
    },
    {
        "expand": "toys.double",
        "with": {"in_place": True, "fail_on": "b", "every": 1},
        "on_failure": {"set_aside": 99},
    },
    {"expand": "toys.pairs"},
    {"expand": "toys.pairs", "with": {"in_place": True}},
]
wheres = st.sampled_from(
    [
        None,
        "origin = 'human'",
        "length(instruction) > 2",
        "source = 'a' OR input = 'x'",
        "input IS NULL",
    ]
)


@st.composite
def pipelines(draw):
    """A chain, perhaps of two branches that a fuse joins, with ids made unique."""
    stages = []

    def chain(first_from=None):
        for at in range(draw(st.integers(1, 3))):
            stage = dict(draw(st.sampled_from(SCORES + OTHERS)))
            stage["id"] = f"s{len(stages)}"
            where = draw(wheres)
            if where is not None:
                stage["where"] = where
            if at == 0 and first_from is not None:
                stage["from"] = first_from
            stages.append(stage)

    if draw(st.booleans()):
        chain("a")
        stages[-1]["as"] = "left"
        chain("b")
        stages[-1]["as"] = "right"
        fuse = draw(
            st.sampled_from([{"fuse": "core.concat"}, {"fuse": "toys.pick", "with": {"most": 3}}])
        )
        stages.append({**fuse, "from": ["left", "right"], "id": "joined"})
    chain()
    if draw(st.booleans()):
        stages.append({"score": "toys.count", "id": "last"})
        stages.append(
            {"filter": "core.top", "id": "top", "with": {"by": "last_number", "fraction": 0.5}}
        )
    return stages


def version_of(folder, a, b, pipeline):
    (folder / "a.jsonl").write_text("\n".join(a) + "\n")
    (folder / "b.jsonl").write_text("\n".join(b) + "\n")
    recipe = {
        "name": "random",
        "sources": {
            "a": {
                "path": str(folder / "a.jsonl"),
                "origin": "human",
                "on_failure": {"set_aside": 99},
            },
            "b": {"path": str(folder / "b.jsonl"), "on_failure": {"set_aside": 99}},
        },
        "pipeline": pipeline,
    }
    return run_recipe(recipe, out=folder / "curated").path


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(table, table, pipelines())
def test_every_row_is_accounted_for(a, b, pipeline):
    folder = Path(tempfile.mkdtemp())
    try:
        path = version_of(folder, a, b, pipeline)
        check_version(path, a, b)
    except NothingKeptError:
        pass  # a version without rows is refused
    finally:
        shutil.rmtree(folder)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(table, table, pipelines())
def test_every_version_can_be_made_again(a, b, pipeline):
    folder = Path(tempfile.mkdtemp())
    try:
        assert reproduce(version_of(folder, a, b, pipeline)).same
    except NothingKeptError:
        pass
    finally:
        shutil.rmtree(folder)


def check_version(path, a, b):
    assert verify(path).findings == ()
    manifest = json.loads((path / "manifest.json").read_text())
    ledger = pl.read_parquet(path / "ledger.parquet")
    data = pl.read_parquet(path / "data" / "*.parquet")
    dropped = pl.read_parquet(path / "dropped.parquet")
    books = manifest["books"]
    assert books["sources"] == len(a) + len(b)
    assert books["sources"] + books["created"] == sum(
        books[fate] for fate in ("kept", "dropped", "failed", "merged")
    )
    for stage in manifest["stages"]:
        assert stage["in"] + stage["created"] == (
            stage["out"] + stage["dropped"] + stage["failed"] + stage["merged"]
        )
    assert len(ledger) == books["sources"] + books["created"]
    assert ledger["id"].n_unique() == len(ledger)
    for fate in ("kept", "dropped", "failed", "merged"):
        assert (ledger["fate"] == fate).sum() == books[fate]
    assert data["id"].to_list() == ledger.filter(pl.col("fate") == "kept")["id"].to_list()
    gone = ledger.filter(pl.col("fate") != "kept")
    assert set(dropped["id"]) <= set(gone["id"])
    assert (
        gone.filter(pl.col("fate").is_in(["dropped", "merged"]))["id"]
        .is_in(dropped["id"].implode())
        .all()
    )
    assert gone.filter(pl.col("fate") == "dropped")["reason"].null_count() == 0
    assert gone.filter(pl.col("fate") == "failed")["detail"].null_count() == 0
    known = set(ledger["id"])
    children = ledger.filter(pl.col("parents").list.len() > 0)
    assert len(children) == books["created"]
    assert {parent for parents in children["parents"] for parent in parents} <= known
    merged = set(ledger.filter(pl.col("fate") == "merged")["id"])
    assert merged <= {parent for parents in children["parents"] for parent in parents}
