"""Which rows a filter judged agrees with the books of the run, over random recipes."""

import json
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from curate.versions.judged import column_of, judged
from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate.versions.store import NothingKeptError


def count(id):
    return {"score": "toys.count", "id": id}


@st.composite
def pipelines(draw):
    """Filters by scores and by a column of the sources, among rewriting stages, of two branches."""
    stages = []

    def stage(score):
        id = f"s{len(stages)}"
        kind = draw(st.sampled_from(["top", "top", "top", "beside", "in_place", "odd"]))
        if kind == "odd":
            return {"filter": "toys.odd", "id": id}
        if kind != "top":
            params = {"every": 2} if kind == "beside" else {"every": 1, "in_place": True}
            return {"expand": "toys.double", "id": id, "with": params}
        by = draw(st.sampled_from(["grade", f"{score}_number"]))
        where = draw(st.sampled_from([None, "grade > 2", f"{score}_number > 18", "source = 'a'"]))
        made = {"filter": "core.top", "id": id, "with": {"by": by, "fraction": 0.7}}
        made["missing"] = draw(st.sampled_from(["keep", "drop"]))
        return made | ({"where": where} if where else {})

    if draw(st.booleans()):
        for source, score, name in (("a", "n", "left"), ("b", "m", "right")):
            stages.append({**count(score), "from": source})
            stages.extend([stage(score), stage(score)][: draw(st.integers(1, 2))])
            for at, each in enumerate(stages):
                if each["id"].startswith("s"):
                    each["id"] = f"s{at}"
            stages[-1]["as"] = name
        stages.append({"fuse": "core.concat", "id": "joined", "from": ["left", "right"]})
    else:
        stages.append(count("n"))
    for _ in range(draw(st.integers(2, 4))):
        stages.append(stage("n"))
    return stages


grades = st.lists(st.integers(0, 9), min_size=3, max_size=14)


def version_of(folder, a, b, pipeline, **output):
    sources = {}
    for name, values in (("a", a), ("b", b)):
        path = folder / f"{name}.jsonl"
        rows = [
            {"instruction": f"Say {name} {at}.", "output": "It is so.", "grade": grade}
            for at, grade in enumerate(values)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources[name] = {"path": str(path)}
    recipe = {"name": "random", "sources": sources, "pipeline": pipeline, "output": output}
    return Version(run_recipe(recipe, out=folder / "curated").path)


def filters(version):
    for stage in version.manifest["stages"]:
        column = column_of(version, stage) if stage["verb"] == "filter" else None
        if column is not None:
            yield stage, column


def asked(stage):
    return stage["in"] - stage["untouched"] - stage["reasons"].get("missing", 0)


@settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(grades, grades, pipelines())
def test_the_rows_judged_are_those_of_the_books(a, b, pipeline):
    folder = Path(tempfile.mkdtemp())
    try:
        version = version_of(folder, a, b, pipeline)
        brief = version_of(folder, a, b, pipeline, dropped=False)
        for (stage, column), (again, _) in zip(filters(version), filters(brief), strict=True):
            found, less = judged(version, stage, column), judged(brief, again, column)
            assert len(found.rows) == asked(stage)
            assert found.unpublished == 0
            dropped = stage["dropped"] - stage["reasons"].get("missing", 0)
            assert len(found.side(passed=False)) == dropped
            if dropped and dropped < asked(stage):
                assert found.side(passed=True).min() >= found.side(passed=False).max()
            assert less.rows.join(found.rows, on=["id", "value", "passed"], how="anti").is_empty()
            assert less.unpublished == len(found.rows) - len(less.rows)
    except NothingKeptError:
        pass
    finally:
        shutil.rmtree(folder)
