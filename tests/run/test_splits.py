"""Versions with splits: what they hold and say, and rows that come later move none."""

import json

import polars as pl
import pytest

import curate
from curate.commands import call
from curate.errors import CurateError, RecipeError, UsageError
from curate.report.clusters import duplicates
from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate.versions.reproduce import reproduce
from curate.versions.verify import verify


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows_of(count, start=0):
    return [
        {"instruction": f"question {at}", "output": "yes", "doc": f"d{at // 5}", "of": "ab"[at % 2]}
        for at in range(start, start + count)
    ]


def recipe(path, output, pipeline=None):
    return {
        "name": "toy",
        "seed": 1,
        "sources": {"mine": {"path": path}},
        "pipeline": pipeline or [{"expand": "toys.double", "with": {"every": 2}}],
        "output": {"splits": {"train": 0.7, "validation": 0.3}, **output},
    }


def run(tmp_path, output, rows, **more):
    path = write(tmp_path / "in.jsonl", rows)
    return Version(run_recipe(recipe(path, output, **more), out=tmp_path / "curated").path)


def placed(version):
    return {id: split for split in version.splits for id in version.frame(split)["id"]}


def test_a_version_with_splits_says_what_it_holds(tmp_path):
    version = run(tmp_path, {"shards": 2, "shuffle": True}, rows_of(60))
    assert sorted(path.name for path in (version.path / "data").iterdir()) == [
        f"{split}-0000{at}-of-00002.parquet" for split in ("train", "validation") for at in (0, 1)
    ]
    assert verify(version.path).findings == ()
    rows = version.manifest["splits"]["shares"]
    assert {name: said["rows"] for name, said in rows.items()} == version.splits
    assert rows["validation"]["asked"] == "0.3"
    assert rows["train"]["share"] == version.splits["train"] / sum(version.splits.values())
    assert version.frame()["id"].to_list() == [
        *version.frame("train")["id"],
        *version.frame("validation")["id"],
    ]
    where = placed(version)
    for id, parents in version.frame().select("id", "parents").iter_rows():
        assert all(where[parent] == where[id] for parent in parents)
    id = version.frame("validation")["id"][0]
    life = version.explain(id)
    assert life["split"] == "validation"
    assert life["stages"][-1]["outcome"] == "stayed"
    with pytest.raises(UsageError, match="no split 'test'"):
        version.frame("test")
    with pytest.raises(UsageError, match="splits train, validation"):
        version.export(tmp_path / "all.jsonl", "messages")
    out = version.export(f"{tmp_path}/out/", "messages", split="train")
    assert out.path.name == "toy-v1-train.jsonl"
    assert out.rows == version.splits["train"]
    again = run_recipe(version.path / "recipe.yaml", out=tmp_path / "curated")
    assert again.up_to_date
    assert not reproduce(version.path).differences


def test_rows_that_bridge_splits_are_dropped_and_counted(tmp_path):
    pipeline = [{"expand": "toys.pairs"}]
    version = run(tmp_path, {}, rows_of(60), pipeline=pipeline)
    gone = version.ledger.filter(stage="output")
    assert gone["fate"].unique().to_list() == ["dropped"]
    assert gone["reason"].unique().to_list() == ["bridges_splits"]
    entry = version.manifest["stages"][-1]
    assert (entry["id"], entry["verb"]) == ("output", "split")
    assert entry["dropped"] == len(gone) == entry["reasons"]["bridges_splits"]
    assert entry["in"] == entry["out"] + len(gone)
    where = placed(version)
    for id, parents in gone.select("id", "parents").iter_rows():
        assert len({where[parent] for parent in parents}) == 2
        assert version.explain(id)["stages"][-1]["outcome"] == "dropped"
    joined = version.frame().filter(pl.col("parents").list.len() == 2)
    assert len(joined)
    assert all(len({where[p] for p in parents}) == 1 for parents in joined["parents"])
    assert verify(version.path).findings == ()


def test_parents_that_were_replaced_hold_their_children_together(tmp_path):
    pipeline = [
        {"expand": "toys.double", "with": {"every": 1, "children": 3, "in_place": True}},
    ]
    version = run(tmp_path, {}, rows_of(30), pipeline=pipeline)
    where, parents = placed(version), dict(version.frame().select("id", "parents").iter_rows())
    families = {}
    for id, (parent,) in parents.items():
        families.setdefault(parent, set()).add(where[id])
    assert len(families) == 30
    assert all(len(splits) == 1 for splits in families.values())
    assert set(where.values()) == {"train", "validation"}


def test_values_of_a_column_stay_together_and_later_rows_move_none(tmp_path):
    before = run(tmp_path, {"keep_together": ["doc"]}, rows_of(100))
    docs = before.frame().with_columns(split=pl.col("id").replace_strict(placed(before)))
    whole = docs.drop_nulls("doc").group_by("doc").agg(pl.col("split").n_unique())
    assert whole["split"].to_list() == [1] * 20
    after = run(tmp_path, {"keep_together": ["doc"]}, [*rows_of(120, 40), *rows_of(40)])
    now = placed(after)
    assert len(now) > len(placed(before))
    assert {id: now[id] for id in placed(before)} == placed(before)


def test_clusters_of_near_duplicates_stay_together(tmp_path):
    rows = [
        {"instruction": " ".join(f"{word}{n}" for n in [*range(20), 20 + at]), "output": word}
        for word in "abcdefghijklmnop"
        for at in range(3)
    ] + [{"instruction": f"alone {at}", "output": f"y{at}"} for at in range(10)]
    near = {"filter": "dedup.minhash", "id": "near", "with": {"drop": False, "threshold": 0.7}}
    output = {"keep_together": ["near_cluster"]}
    version = run(tmp_path, output, rows, pipeline=[near])
    kept = version.frame().join(version.scores, on="id")
    assert len(kept) == 58
    assert kept["near_cluster"].null_count() == 10
    split = pl.Series("split", [placed(version)[id] for id in kept["id"]])
    clusters = kept.with_columns(split).drop_nulls("near_cluster").group_by("near_cluster")
    assert clusters.agg(pl.col("split").n_unique())["split"].to_list() == [1] * 16
    assert set(placed(version).values()) == {"train", "validation"}
    cluster = kept["near_cluster"].drop_nulls()[0]
    assert kept.filter(near_cluster=cluster)["id"].min() == cluster
    shown = version.explain(cluster)
    assert shown["scores"]["near_cluster"] == cluster
    (found,) = duplicates(version)
    assert (found.stage, found.marked, found.rows, found.clusters) == ("near", True, 32, 16)
    assert found.sizes == ((3, 16),)
    assert {each.survivor for each in found.largest} <= {*kept["near_cluster"].drop_nulls()}


def test_the_shares_hold_within_each_value(tmp_path):
    version = run(tmp_path, {"stratify": "of"}, rows_of(200), pipeline=[{"score": "core.length"}])
    assert version.manifest["splits"]["strata"] == {
        "a": {"train": 70, "validation": 30},
        "b": {"train": 70, "validation": 30},
    }
    readme = (version.path / "README.md").read_text()
    assert "| of | train | validation |" in readme
    assert "| validation | 0.3 | 60 | 30.00 % |" in readme
    assert verify(version.path).findings == ()


def test_an_empty_split_is_a_file_without_rows_and_said(tmp_path):
    datasets = pytest.importorskip("datasets")
    version = run(tmp_path, {"splits": {"train": 0.999, "test": 0.001}}, rows_of(4))
    assert version.splits["test"] == 0
    assert "The split test is empty" in (version.path / "README.md").read_text()
    assert version.frame("test").columns == version.frame("train").columns
    assert verify(version.path).findings == ()
    loaded = datasets.load_dataset(str(version.path), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": len(version.frame())}
    with pytest.raises(CurateError, match="The split test of toy@v1 is empty"):
        version.dataset("test")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"splits": {"train": 0.9, "validation": 0.05}}, "make 0.95 together"),
        ({"splits": {"train": 1.0, "all": 0}}, "all splits together"),
        ({"keep_together": ["nothing"]}, "no column 'nothing'"),
        ({"stratify": "messages"}, "column 'messages' holds nested values"),
        ({"splits": None, "stratify": "of"}, "there is no `splits`"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, output, said):
    path = write(tmp_path / "in.jsonl", rows_of(4))
    wrong = recipe(path, output)
    if wrong["output"]["splits"] is None:
        del wrong["output"]["splits"]
    with pytest.raises(RecipeError, match=said) as error:
        curate.check(wrong)
    assert "output" in str(error.value)


def test_the_order_of_splits_counts_and_a_moved_bound_is_found(tmp_path):
    one = run(tmp_path, {}, rows_of(40))
    other = run(tmp_path, {"splits": {"validation": 0.3, "train": 0.7}}, rows_of(40))
    assert (one.version, other.version) == ("v1", "v2")
    assert one.digest != other.digest
    train = one.path / "data" / "train-00000-of-00001.parquet"
    held = one.path / "data" / "validation-00000-of-00001.parquet"
    rows, more = pl.read_parquet(train), pl.read_parquet(held)
    for file in (train, held):
        file.chmod(0o644)
    rows[:-1].write_parquet(train)
    pl.concat([rows[-1:], more]).write_parquet(held)
    problems = [finding.problem for finding in verify(one.path).findings]
    assert any("the digest" in problem for problem in problems)
    assert any("rows of the split train" in problem for problem in problems)


def test_the_command_exports_one_split(tmp_path, capsys):
    version = run(tmp_path, {}, rows_of(20))
    out = ["--out", str(tmp_path / "curated")]
    to = tmp_path / "held.jsonl"
    command = ["export", "toy", "--format", "messages", "--to", str(to), *out]
    assert call(command) == 2
    assert "--split train" in capsys.readouterr().err
    assert call([*command, "--split", "validation"]) == 0
    assert len(to.read_text().splitlines()) == version.splits["validation"]
    both = tmp_path / "both.jsonl"
    command[5] = str(both)
    assert call([*command, "--split", "train", "--split", "validation"]) == 0
    assert len(both.read_text().splitlines()) == sum(version.splits.values())


def test_shares_that_were_not_met_are_told_everywhere(tmp_path, capsys):
    pytest.importorskip("jinja2")
    rows = [
        row | {"of": "\x1b[31m<xmp>" if at < 70 else "c"} for at, row in enumerate(rows_of(100))
    ]
    output = {"keep_together": ["of"], "stratify": "doc"}
    path = write(tmp_path / "in.jsonl", rows)
    toy = tmp_path / "toy.json"
    pipeline = [{"score": "core.length"}]
    toy.write_text(json.dumps(recipe(path, output, pipeline)))
    out = ["--out", str(tmp_path / "curated")]
    assert call(["run", str(toy), *out]) == 0
    ran = " ".join(capsys.readouterr().out.split())
    assert call(["show", "toy", *out]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    version = Version(tmp_path / "curated/toy/v1")
    got = version.manifest["splits"]["uneven"]["got"]
    where = next(name for name, count in got.items() if count >= 70)
    shares = ", ".join(
        f"{n} {got[n]:.2f} % ({a} asked)" for n, a in (("train", 70), ("validation", 30))
    )
    said = f"Of 100 rows there are {shares}: the largest group, 70 with of"
    for text in (ran, shown):
        assert f"! {said}" in text
        assert f"is in {where}." in text
    for text in (ran, shown, (version.path / "README.md").read_text()):
        assert "\x1b[31m" not in text
    assert "there are train" in (version.path / "README.md").read_text()
    page = " ".join(page_of(version).split())
    assert said in page
    assert "<xmp>" not in page
    assert "Shares asked and got" in page
    assert "Rows of each value by split" in page
    assert "<td>d3</td>" in page


def page_of(version):
    from curate.report.page import write as write_page  # needs an extra

    return write_page(version).path.read_text(encoding="utf-8")


def test_a_row_that_bridged_splits_is_explained_by_its_groups(tmp_path, capsys):
    version = run(
        tmp_path, {"keep_together": ["doc"]}, rows_of(60), pipeline=[{"expand": "toys.pairs"}]
    )
    gone = version.ledger.filter(stage="output")
    docs = dict(version.frame().select("id", "doc").iter_rows())
    where = placed(version)
    for id, parents, detail in gone.select("id", "parents", "detail").iter_rows():
        for parent in parents:
            assert f"doc '{docs[parent]}' in {where[parent]}" in detail
        assert version.explain(id)["stages"][-1]["reads"] == {}
    assert call(["explain", "toy", gone["id"][0], "--out", str(tmp_path / "curated")]) == 0
    shown = capsys.readouterr().out
    assert gone["detail"][0] in shown
    assert "doc None" not in shown
    report = page_of(version)
    assert "Shares asked and got" in report
    assert "Rows of each value by split" not in report
