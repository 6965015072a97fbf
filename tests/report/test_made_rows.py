"""A version with rows that stages made, beside and in place of others, and losses after its cut."""

import base64
import gzip
import io
import json
from collections import Counter

import pytest
from rich.console import Console

from curate.report import rows as rows_module
from curate.report.charts import charts
from curate.report.closing import show
from curate.report.cuts import lines
from curate.report.headline import headline
from curate.report.near import near
from curate.report.page import write
from curate.report.rows import table
from curate.report.spread_charts import score_chart
from curate.report.spreads import of_scores
from curate.versions.lineage import Lineage
from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate.versions.rows import table as rows_of


@pytest.fixture
def run(tmp_path):
    """Runs a pipeline over rows with a column `stars`; a line `{` cannot be read."""

    def run(*pipeline, rows=40, broken=0, first=0, **more):
        lines = [
            json.dumps(
                {"instruction": f"Say {n}.", "output": f"It is {n}.", "stars": first + n % 20}
            )
            for n in range(rows)
        ]
        (tmp_path / "pool.jsonl").write_text("\n".join([*lines, *["{"] * broken]) + "\n")
        source = {
            "path": str(tmp_path / "pool.jsonl"),
            **({"on_failure": {"set_aside": 10}} if broken else {}),
        }
        recipe = {"name": "made", "sources": {"pool": source | more}, "pipeline": list(pipeline)}
        return Version(run_recipe(recipe, out=tmp_path / "curated").path)

    return run


def unpacked(packed):
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def double(id, **params):
    return {"expand": "toys.double", "id": id, "with": {"every": 2, **params}}


def where(id, keep):
    return {"filter": "core.where", "id": id, "with": {"keep": keep}}


def screen(version):
    file = io.StringIO()
    show(version, Console(file=file, width=120))
    return file.getvalue()


def test_what_is_rewritten_in_place_did_not_fall(run):
    version = run(double("again", in_place=True))
    assert headline(version.manifest) == [
        "40 examples kept, of 40 from the sources and 26 that stages made.",
        "26 gave way to what was made of them.",
    ]
    assert "40 examples kept, of 40 from the sources and 26 that stages made\n" in screen(version)
    drawn = charts(version).funnel
    assert drawn.rows[1][2:] == (66, 40, 0, 26, "26 created, 26 merged")
    bars = {bar["what"]: bar["rows"] for bar in bars_of(drawn) if bar["stage"] == "again"}
    assert bars == {"kept": 40, "replaced": 26, "fell": 0}


def bars_of(drawing):
    (bars,) = (rows for rows in drawing.spec["datasets"].values() if "what" in rows[0])
    return bars


def test_the_stage_where_most_fell_is_one_that_lost_rows(run):
    version = run(double("again", in_place=True), where("enough", "stars >= 2"))
    fell = len(version.ledger.filter(fate="dropped", stage="enough"))
    said = " ".join(headline(version.manifest))
    assert 0 < fell < 20
    assert f"Most fell at enough: {fell} of 40 (" in said


def test_rows_that_could_not_be_read_did_not_fail(run):
    version = run(where("enough", "stars >= 2"), broken=3)
    assert "3 could not be read." in headline(version.manifest)
    assert "failed" not in " ".join(headline(version.manifest))
    assert "! 3 rows of the sources could not be read and went no further." in screen(version)
    assert "a rerun" not in screen(version)


def test_shares_that_are_the_same_are_said_to_be(run):
    version = run({"score": "core.length", "id": "size"})
    version.manifest["shares"]["origin"] = {
        "before": {"human": 20, "synthetic": 20}, "after": {"human": 5, "synthetic": 5},
    }  # fmt: skip
    (drawn,) = charts(version).shares
    assert drawn.says == "The same shares of the source rows and of the kept rows."
    version.manifest["shares"]["origin"]["after"] = {"human": 6, "synthetic": 4}
    (drawn,) = charts(version).shares
    assert drawn.says.startswith("human changed most: 50.0% of the source rows, 60.0%")


def test_unknown_is_one_value_whether_said_or_not(run):
    version = run({"score": "core.length", "id": "size"})
    version.manifest["shares"]["origin"] = {
        "before": {"": 20, "unknown": 10, "human": 10}, "after": {"": 5, "human": 5},
    }  # fmt: skip
    (drawn,) = charts(version).shares
    assert [(row[0], row[1], row[3]) for row in drawn.rows] == [
        ("unknown", 30, 5),
        ("human", 10, 5),
    ]


def test_a_row_names_its_children_though_they_are_not_on_the_page(run, monkeypatch):
    version = run(double("again", children=3), rows=10)
    born = Counter(parent for ids in version.ledger["parents"].to_list() for parent in ids)
    monkeypatch.setattr(rows_module, "MOST", 4)
    monkeypatch.setattr(rows_module, "_CHILDREN", 2)
    parent = next(iter(born))
    rows = unpacked(table(version, [parent]).packed)["rows"]
    assert rows["born"] == [born[id] for id in rows["id"]]
    assert [len(ids) for ids in rows["children"]] == [min(born[id], 2) for id in rows["id"]]
    at = rows["id"].index(parent)
    of = version.ledger.filter(parents=[parent])["id"].to_list()
    assert rows["children"][at] == of[:2]


def test_whole_numbers_keep_their_digits(run):
    version = run(where("enough", "stars >= 2"), first=2**53)
    found = unpacked(table(version, also=["stars"]).packed)
    (at,) = (place for place, name in enumerate(found["scores"]) if name == "stars")
    numbers = [row[at] for row in found["rows"]["numbers"]]
    assert set(numbers) == {2**53, *(str(2**53 + n) for n in range(1, 20))}


def test_the_page_has_the_numbers_of_a_source_that_a_filter_cut_by(run):
    version = run({"filter": "core.top", "id": "best", "with": {"by": "stars", "count": 10}})
    page = write(version).path.read_text()
    assert 'data-score="stars"' in page
    packed = page.split('id="data">')[1].split("<")[0]
    assert unpacked(packed)["scores"] == ["stars"]
    assert charts(version).scores[0].title == "stars"


def test_a_cut_is_of_the_rows_that_the_filter_judged(run):
    """Not of rows outside its `where:`, nor of children made later; losses later shift nothing."""
    version = run(
        {
            "filter": "core.top", "id": "best", "where": "stars >= 5",
            "with": {"by": "stars", "count": 8},
        },
        double("again"),
        where("not_twelve", "stars <> 12 or stars is null"),
        rows=20,
    )  # fmt: skip
    assert len(version.ledger.filter(stage="not_twelve")) > 0
    stars = dict(rows_of(version, ["stars"]).iter_rows())
    made = {id for ids in Lineage(version).children.values() for id in ids}
    (line,) = lines(version)
    assert (line.stage, line.at) == ("best", 11.5)
    drawn = {one.column: one for one in of_scores(version)}["stars"]
    assert drawn.drawn == (("best", 11.5),)
    kept = set(version.frame()["id"])
    assert made
    assert made <= kept
    assert drawn.all.rows == sum(value is not None for value in stars.values()) == 20
    assert drawn.kept.rows == len(kept - made)
    found = near(version, 3)
    assert [row.number for row in found.kept] == [13, 14, 15]
    assert [row.number for row in found.dropped] == [11, 10, 9]
    assert not made & {row.id for row in (*found.kept, *found.dropped)}
    shown = screen(version)
    assert "around the cut of best, by stars" in shown
    said = score_chart(drawn).says
    assert "Cut of best: passed from 12 up." in said
    assert said.endswith(f"Without it: {len(made)} rows.")


def test_rows_without_a_number_are_counted_without_a_reason(run):
    version = run(where("enough", "stars >= 2"), {"score": "core.length", "id": "size"}, rows=20)
    found = {one.column: score_chart(one).says for one in of_scores(version)}
    assert found["size_words"].endswith("kept: 18. Without it: 2 rows.")
