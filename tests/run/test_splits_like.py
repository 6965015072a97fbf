"""Splits over versions: families of a source, and `like`, by which rows stay where they were."""

import json

import polars as pl
import pytest
import yaml

import curate
from curate.commands import call
from curate.errors import CurateError, RecipeError
from curate.run.plan import plan
from curate.versions.locked import LockedError
from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate.versions.reproduce import reproduce
from curate.versions.verify import verify

DOUBLE = {"expand": "toys.double"}
COUNT = {"score": "core.length"}
NEAR = {"filter": "dedup.minhash", "id": "near", "with": {"drop": False, "threshold": 0.7}}
SPLITS = {"splits": {"train": 0.7, "validation": 0.3}}


@pytest.fixture
def make(tmp_path):
    def run(name, source, pipeline, output=None, **more):
        if isinstance(source, list):
            lines = "".join(json.dumps(row) + "\n" for row in source)
            (tmp_path / f"{name}.jsonl").write_text(lines)
            source = {"path": str(tmp_path / f"{name}.jsonl")}
        recipe = {
            "name": name,
            "seed": 1,
            "sources": {"mine": source},
            "pipeline": pipeline,
            "output": output or {},
        }
        return Version(run_recipe(recipe | more, out=tmp_path / "curated").path)

    return run


def placed(version):
    return {id: split for split in version.splits for id in version.frame(split)["id"]}


def rows_of(count):
    return [{"instruction": f"question {at}", "output": "yes", "of": at % 3} for at in range(count)]


def near(clusters, variants):
    """Rows of which those of one cluster are near-duplicates."""
    return [
        {"instruction": " ".join(f"w{c}x{i}" for i in range(30)) + f" tail{c}y{k}", "output": "o"}
        for c in clusters
        for k in variants
    ]


def test_families_of_rows_that_were_replaced_hold_over_two_versions(make):
    """Two siblings, each rewritten in place: only rows that are not kept join them."""
    pipeline = [
        DOUBLE | {"id": "beside", "with": {"every": 1, "children": 2, "in_place": True}},
        DOUBLE | {"id": "within", "with": {"every": 1, "children": 1, "in_place": True}},
    ]
    one = make("one", rows_of(60), pipeline)
    two = make("two", {"version": "one@v1"}, [COUNT])
    three = make("three", {"version": "two@v1"}, [COUNT], SPLITS)
    above = dict(one.ledger.select("id", "parents").iter_rows())
    families = {}
    for id, split in placed(three).items():
        ((root,),) = (above[parent] for parent in above[id])
        families.setdefault(root, []).append(split)
    assert [len(each) for each in families.values()] == [2] * 60
    assert all(len(set(each)) == 1 for each in families.values())
    assert set(placed(three).values()) == {"train", "validation"}
    for version in (two, three):
        before = pl.read_parquet(version.path / "ancestors.parquet")
        assert before.columns == ["id", "parents"]
        assert dict(before.iter_rows()) == {
            parent: above[parent] for id in version.frame()["id"] for parent in above[id]
        }
        assert verify(version.path).findings == ()
        assert not reproduce(version.path).differences
    assert not (one.path / "ancestors.parquet").exists()


def test_ancestors_are_those_of_the_ledger_and_as_they_were_published(make):
    pipeline = [DOUBLE | {"id": at, "with": {"every": 1, "in_place": True}} for at in ("a", "b")]
    make("one", rows_of(4), pipeline)
    two = make("two", {"version": "one@v1"}, [COUNT])
    file = two.path / "ancestors.parquet"
    known = pl.read_parquet(file)
    file.chmod(0o644)
    more = pl.DataFrame({"id": ["x", two.frame()["id"][0]], "parents": [["y"], ["z"]]})
    pl.concat([known, more]).write_parquet(file)
    problems = [str(finding) for finding in verify(two.path).findings]
    assert any("holds 1 rows beside those" in problem for problem in problems)
    assert any("1 of its rows are in ledger.parquet" in problem for problem in problems)
    with pytest.raises(CurateError, match=r"ancestors\.parquet is not the file that was published"):
        make("three", {"version": "two@v1"}, [COUNT], SPLITS)
    file.unlink()
    with pytest.raises(CurateError, match=r"ancestors\.parquet is missing"):
        make("three", {"version": "two@v1"}, [COUNT], SPLITS)


def test_clusters_that_grow_move_no_row_of_the_version_named(make):
    old = near(range(60), [0, 1]) + near(range(60, 80), [0])
    together = SPLITS | {"keep_together": ["near_cluster"]}
    one = make("faq", old, [NEAR], together)
    like = together | {"like": "faq@v1", "splits": {"train": 0.5, "validation": 0.5}}
    rows = old + near(range(80), [7]) + near(range(80, 120), [0, 1])
    free = placed(make("free", rows, [NEAR], together))
    assert any(free[id] != split for id, split in placed(one).items() if id in free)
    two = make("faq", rows, [NEAR], like)
    now = placed(two)
    assert {id: now[id] for id in placed(one)} == placed(one)
    assert len(now) > len(placed(one))
    labels = dict(two.scores.select("id", "near_cluster").drop_nulls().iter_rows())
    splits = {}
    for id, label in labels.items():
        splits.setdefault(label, set()).add(now[id])
    assert all(len(each) == 1 for each in splits.values())
    assert two.manifest["splits"]["like"] == {
        "version": "faq@v1",
        "digest": one.digest,
        "rows": one.splits,
    }
    assert two.manifest["stages"][-1]["params"]["like"] == "faq@v1"
    assert "of `faq@v1` stand where they stood there" in (two.path / "README.md").read_text()
    lock = yaml.safe_load((two.path / "recipe.lock.yaml").read_text())
    assert (lock["like"]["version"], lock["like"]["digest"]) == ("faq@v1", one.digest)
    assert verify(two.path).findings == ()
    assert not reproduce(two.path).differences


def test_the_version_named_is_an_input_like_any_other(make, tmp_path, capsys):
    make("base", rows_of(20), [COUNT], SPLITS)
    one = make("next", rows_of(40), [COUNT], SPLITS | {"like": "base@v1"})
    out = tmp_path / "curated"
    recipe = one.path / "recipe.yaml"
    assert run_recipe(recipe, out=out).up_to_date
    assert (
        make("next", rows_of(40), [COUNT], SPLITS | {"like": str(out / "base/v1")}).version == "v1"
    )
    assert plan(recipe, out=out).splits.like == "base@v1"
    assert call(["plan", str(recipe), "--out", str(out)]) == 0
    assert "rows of base@v1 stay" in " ".join(capsys.readouterr().out.split())
    latest = make("late", rows_of(40), [COUNT], SPLITS | {"like": "base"})
    make("base", rows_of(30), [COUNT], {"splits": {"train": 0.4, "validation": 0.6}})
    assert not reproduce(latest.path).differences  # the lock says which was the latest
    newer = make("late", rows_of(40), [COUNT], SPLITS | {"like": "base"})
    assert (newer.version, newer.digest != latest.digest) == ("v2", True)
    (tmp_path / "curated/base/v1/data/train-00000-of-00001.parquet").unlink()
    with pytest.raises(LockedError, match=r"the version of `output\.like`"):
        reproduce(one.path)


@pytest.mark.parametrize(
    ("like", "said"),
    [
        ("toy", r"the latest version of 'toy' is what this recipe makes.*Say which"),
        ("bse@v1", r"Did you mean 'base'"),
        ("base@v7", r"'base' has no version 'v7'"),
        ("plain@v1", r"'plain@v1' has no splits"),
        ("other@v1", r"'other@v1' has other splits: train, test"),
    ],
)
def test_what_is_no_version_to_be_like_is_said(make, tmp_path, monkeypatch, like, said):
    make("base", rows_of(9), [COUNT], SPLITS)
    make("plain", rows_of(9), [COUNT])
    make("other", rows_of(9), [COUNT], {"splits": {"train": 0.5, "test": 0.5}})
    monkeypatch.chdir(tmp_path)
    wrong = {
        "name": "toy",
        "sources": {"mine": {"path": "base.jsonl"}},
        "pipeline": [COUNT],
        "output": SPLITS | {"like": like},
    }
    with pytest.raises(RecipeError, match=rf"(?s)output\.like.*{said}"):
        curate.check(wrong)
    with pytest.raises(RecipeError, match="`like` says how rows are split, and there is no"):
        curate.check(wrong | {"output": {"like": like}})


def test_like_knows_what_the_rows_of_the_version_were_made_from(make):
    """A rule that changed makes all rows anew: they go where those from the same rows are."""
    before = [DOUBLE | {"id": "old", "with": {"every": 1, "in_place": True}}]
    after = [DOUBLE | {"id": "new", "with": {"every": 1, "children": 2, "in_place": True}}]
    one = make("faq", rows_of(60), before, SPLITS)
    changed = SPLITS | {"splits": {"train": 0.1, "validation": 0.9}, "like": "faq@v1"}
    two = make("faq", rows_of(60), after, changed)
    (first, second) = (
        {p: placed(v)[id] for id, (p,) in v.frame().select("id", "parents").iter_rows()}
        for v in (one, two)
    )
    assert len(two.frame()) == 120
    assert not placed(one).keys() & placed(two).keys()
    assert first == second
    assert not reproduce(two.path).differences


def test_like_knows_the_columns_of_rows_that_are_gone(make):
    def rows(variant):
        return [row | {"page": f"p{at}"} for at, row in enumerate(near(range(60), [variant]))]

    together = SPLITS | {"keep_together": ["page"]}
    one = make("faq", rows(0), [COUNT], together)
    changed = {"splits": {"train": 0.1, "validation": 0.9}, "like": "faq@v1"}
    two = make("faq", rows(7), [COUNT], together | changed)
    first, second = (
        {page: placed(v)[id] for id, page in v.frame().select("id", "page").iter_rows()}
        for v in (one, two)
    )
    assert first == second
    assert {*first.values()} == {"train", "validation"}


def test_like_knows_the_clusters_of_rows_that_are_gone(make):
    """Clusters are named by rows that the earlier version dropped, and that are back."""
    together = SPLITS | {"keep_together": ["near_cluster"]}
    marked = make("marked", near(range(60), [0, 1, 2]), [NEAR], together)
    names = sorted({*marked.scores["near_cluster"].drop_nulls()})
    back = marked.frame().filter(pl.col("id").is_in(names))
    listed = ", ".join(f"'{id}'" for id in names)
    keep = {"filter": "core.where", "with": {"keep": f"id NOT IN ({listed})"}}
    one = make("faq", near(range(60), [0, 1, 2]), [NEAR, keep], together)
    before = {}
    for id, label in one.scores.select("id", "near_cluster").iter_rows():
        before.setdefault(label, set()).update({placed(one)[id]} if id in placed(one) else {})
    changed = {"splits": {"train": 0.1, "validation": 0.9}, "like": "faq@v1"}
    rows = back.select("instruction", "output").to_dicts()
    two = make("faq", rows, [COUNT, NEAR], together | changed)
    now = placed(two)
    assert now.keys() == {*names}
    # each is alone here and names no cluster: its own group is the one that it named before
    assert {id: {now[id]} for id in names} == before
    assert {*now.values()} == {"train", "validation"}
