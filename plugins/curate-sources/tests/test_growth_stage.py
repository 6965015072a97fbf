"""The stage `sources.growth`: which rows it takes, what it says of them, what it refuses."""

import random

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import curate
from curate.api import Context, CurateError, PolicyError
from curate.commands import call
from curate_sources.growth import stage as growth_stage
from curate_sources.growth.saturation import fit_curves
from curate_sources.growth.stage import Growth, GrowthParams


def stage(**params):
    return Growth(GrowthParams.model_validate(params), "growth")


def table(abilities, start=0, **columns):
    """Rows of these abilities, with ids from `start` on."""
    ids = [f"{start + at:032x}" for at in range(len(abilities))]
    return pl.DataFrame(
        {"id": ids, "ability": abilities, **columns},
        schema_overrides={"id": pl.String, "ability": pl.String},
    )


def fuse(made, *tables, seed=13, preview=False):
    context = Context(seed, {}, {}, (), lambda name: None, preview=preview)
    return made.fuse({f"t{at}": each for at, each in enumerate(tables)}, context)


def refusal(call):
    """What a PolicyError says; None where there is none."""
    try:
        call()
    except PolicyError as error:
        return str(error)
    return None


def kept(decisions):
    return set(decisions.rows.filter("keep")["id"])


NAMES = ["code", "ethics", "math", "talk"]
POOL = [*["code"] * 30, *["ethics"] * 10, *["math"] * 20, *["talk"] * 12]
TABLE = {
    "ethics": "token",
    "talk": "saturates at 5",
    "code": "responsive",
    "math": "responsive",
}


def test_certificate_facts_and_reasons():
    decisions = fuse(stage(growth=TABLE, token=4, size=40), table([*POOL, None]).head(72))
    assert [
        (c.name, c.asked, c.rows, c.of, c.state, c.slack, c.available)
        for c in decisions.certificate
    ] == [
        ("growth.ethics", "token 4", 4, 40, "binding", 0, 10),
        ("growth.talk", "saturates at 5", 5, 40, "binding", 0, 12),
        ("growth.code", "even, 15 and a spare row", 16, 40, "binding", 0, 30),
        ("growth.math", "even, 15", 15, 40, "binding", 0, 20),
        ("size", "40", 40, 40, "binding", 0, 59),
    ]
    assert decisions.facts == {
        "abilities": {
            "ethics": {"pace": "token", "available": 10, "taken": 4},
            "talk": {"pace": "saturates at 5", "available": 12, "taken": 5},
            "code": {"pace": "responsive", "available": 30, "taken": 16},
            "math": {"pace": "responsive", "available": 20, "taken": 15},
        },
        "level": 15,
    }
    assert decisions.notes == ("4 abilities", "responsive ones filled to 15")
    assert decisions.rows.filter("keep")["reason"].null_count() == 40
    assert set(decisions.rows.filter(~pl.col("keep"))["reason"]) == {"surplus"}


def test_without_a_size_responsive_abilities_give_all():
    decisions = fuse(stage(growth=TABLE), table(POOL))
    assert {c.name: (c.asked, c.rows, c.state, c.slack) for c in decisions.certificate} == {
        "growth.ethics": ("token 64", 10, "slack", 54),
        "growth.talk": ("saturates at 5", 5, "binding", 0),
        "growth.code": ("all", 30, "binding", 0),
        "growth.math": ("all", 20, "binding", 0),
    }


def test_rows_are_taken_by_preference_then_rank_then_hash():
    rows = table(["a"] * 6, origin=["human", "synthetic"] * 3, score=[1, 9, 3, 8, 2, 7])
    made = stage(growth={"a": "saturates at 4"}, prefer="human", rank_by="score")
    ids = [rows["id"][at] for at in (0, 2, 4, 1)]
    assert kept(fuse(made, rows)) == set(ids)
    lowest = stage(growth={"a": "saturates at 2"}, rank_by="score", rank="lowest")
    decisions = fuse(lowest, rows)
    assert kept(decisions) == {rows["id"][0], rows["id"][4]}
    (margin,) = decisions.margins
    assert (margin.distance, margin.column) == (1.0, "score")
    by_hash = stage(growth={"a": "saturates at 3"})
    assert len({frozenset(kept(fuse(by_hash, rows, seed=seed))) for seed in range(9)}) > 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=60),
    st.permutations(NAMES),
    st.lists(st.sampled_from(["token", "saturates at 3", "responsive"]), min_size=4, max_size=4),
    st.integers(1, 40) | st.none(),
    st.randoms(use_true_random=False),
)
def test_order_of_rows_and_tables_changes_nothing(abilities, names, paces, size, rng):
    growth = {n: p for n, p in zip(names, paces, strict=True) if n in abilities}
    made = stage(growth=growth, token=2, size=size)
    rows = table(abilities)
    cut = rng.randint(0, len(rows))
    refused = refusal(lambda: fuse(made, rows))
    parts = rows.tail(len(rows) - cut), rows.head(cut)
    assert refusal(lambda: fuse(made, *parts)) == refused
    if refused:
        return
    first = fuse(made, rows)
    shuffled = rows.sample(fraction=1, shuffle=True, seed=rng.randint(0, 999))
    second = fuse(made, shuffled.tail(len(rows) - cut), shuffled.head(cut))
    assert kept(second) == kept(first)
    assert (second.certificate, second.facts) == (first.certificate, first.facts)
    assert size is None or len(kept(first)) == size
    taken = rows.filter(pl.col("id").is_in(list(kept(first))))["ability"].to_list()
    for name, pace in growth.items():
        most = {"token": 2, "saturates at 3": 3}.get(pace, len(rows))
        assert taken.count(name) <= min(most, abilities.count(name))


def test_other_abilities_are_an_error_that_counts_them():
    with pytest.raises(PolicyError) as caught:
        fuse(stage(growth={"code": "token"}), table(["code", "codee", "codee", None]))
    assert caught.value.message == (
        "3 rows have abilities that are not in the growth table: codee (2), unknown (1)."
    )
    assert "Did you mean 'code'?" in caught.value.remedy
    assert "others: drop" in caught.value.remedy


def test_other_abilities_dropped_and_unknown_in_the_table():
    rows = table(["code", "x", "x", None])
    decisions = fuse(stage(growth={"code": "token"}, others="drop"), rows)
    assert decisions.rows["reason"].to_list() == [None, *["other_ability"] * 3]
    assert decisions.facts["others"] == {"unknown": 1, "x": 2}
    blank = table(["code", "", " \n", None])
    counted = fuse(stage(growth={"code": "token"}, others="drop"), blank)
    assert counted.facts["others"] == {"unknown": 3}
    assert counted.rows["reason"].to_list() == [None, *["other_ability"] * 3]
    named = stage(growth={"code": "token", "unknown": "token"}, others="drop")
    assert len(kept(fuse(named, blank))) == 4
    assert kept(fuse(named, rows)) == {rows["id"][0], rows["id"][3]}


def test_an_ability_without_rows_is_refused():
    with pytest.raises(PolicyError) as caught:
        fuse(
            stage(growth={"code": "token", "maths": "token"}, others="drop"),
            table(["code", "math"]),
        )
    assert "'maths: token', and no row has this in 'ability'" in caught.value.message
    assert caught.value.remedy == "Did you mean 'math'? Leave it out of the table, or give it rows."


def test_a_preview_passes_over_what_it_does_not_see_and_takes_the_size_for_the_most():
    made = stage(growth={**TABLE, "maths": "responsive"}, token=4, size=400, others="drop")
    with pytest.raises(PolicyError, match="'maths: responsive'"):
        fuse(made, table(POOL))
    decisions = fuse(made, table(POOL), preview=True)
    # min(10, 4) + min(12, 5) + all of code and math
    assert len(kept(decisions)) == 4 + 5 + 30 + 20
    assert decisions.notes == (
        "4 abilities",
        "responsive ones filled to 30",
        "no rows of maths in this preview",
        "59 of 400 rows in this preview",
    )
    size = decisions.certificate[-1]
    assert (size.asked, size.rows, size.state, size.slack) == ("400", 59, "relaxed", -341)
    assert "growth.maths" not in [clause.name for clause in decisions.certificate]


def test_a_preview_that_can_be_filled_is_as_any_run():
    made = stage(growth=TABLE, token=4, size=40)
    assert fuse(made, table(POOL), preview=True).notes == fuse(made, table(POOL)).notes
    assert kept(fuse(made, table(POOL), preview=True)) == kept(fuse(made, table(POOL)))
    # more rows never make less of what does not depend on the size, and strange names stay strange
    for params in ({"growth": TABLE, "size": 8}, {"growth": {"code": "token"}}):
        assert refusal(lambda params=params: fuse(stage(**params), table(POOL), preview=True))
    nothing = fuse(stage(growth={"x": "token"}, others="drop"), table(POOL), preview=True)
    assert not kept(nothing)


def test_rows_without_a_rank():
    rows = table(["a"] * 4, score=[1.0, None, float("nan"), 2.0])
    with pytest.raises(CurateError, match="by 'score', in which 2 of 4 have no number"):
        fuse(stage(growth={"a": "token"}, rank_by="score"), rows)
    dropped = fuse(stage(growth={"a": "token"}, rank_by="score", missing="drop"), rows)
    assert dropped.rows["reason"].to_list() == [None, "unranked", "unranked", None]
    last = fuse(stage(growth={"a": "saturates at 3"}, rank_by="score", missing="last"), rows)
    assert {rows["id"][0], rows["id"][3]} < kept(last)


def test_foresight_refuses_only_what_fewer_rows_cannot_mend():
    pool = {"pool": table([*["a"] * 100, *["b"] * 100, "c"])}

    def refused(exact, **params):
        try:
            stage(**params).foresee(pool, exact=exact)
        except PolicyError as error:
            return error.message
        return None

    both = {"a": "token", "b": "responsive"}
    others = {"growth": both}
    assert "c (1)" in refused(True, **others)
    assert refused(False, **others) is None
    reach = {"growth": both, "size": 165, "others": "drop"}
    assert refused(True, **reach) == refused(False, **reach)
    assert "164 rows at most" in refused(False, **reach)
    over = {"growth": both, "size": 60, "others": "drop"}
    assert "responsive abilities left out" in refused(True, **over)
    assert refused(False, **over) is None
    empty = {"growth": {**both, "d": "token"}, "others": "drop"}
    assert "'d: token'" in refused(True, **empty)
    assert refused(False, **empty) == refused(True, **empty)
    drops = {**over, "rank_by": "score", "missing": "drop"}
    assert refused(True, **drops) is None
    assert stage(growth=both, column="kind").foresees() == ("kind",)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
    st.lists(st.sampled_from(["token", "saturates at 3", "responsive"]), min_size=2, max_size=2),
    st.integers(1, 30),
    st.integers(0, 2**30),
)
def test_what_foresight_refuses_no_part_of_the_pool_can_give(abilities, paces, size, seed):
    made = stage(growth=dict(zip("ab", paces, strict=True)), token=2, size=size, others="drop")
    rows = table(abilities)
    if refusal(lambda: made.foresee({"pool": rows}, exact=False)):
        rng = random.Random(seed)
        some = rows.filter(pl.Series([rng.random() < 0.7 for _ in abilities]))
        with pytest.raises(PolicyError):
            fuse(made, some)
    refused = refusal(lambda: fuse(made, rows))
    assert refusal(lambda: made.foresee({"pool": rows}, exact=True)) == refused
    assert refused or len(kept(fuse(made, rows))) == size


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "neither is there"),
        ({"preset": "doit-maximum", "curves": "c.csv"}, "both are there (a preset is a `growth`)"),
        (
            {"preset": "doit-baseline", "growth": {"a": "token"}, "size": 3},
            "`preset: doit-baseline` has no effect beside `growth` and `size`: it says nothing else",
        ),
        (
            {"preset": "doit-maximum", "growth": {"a": "token"}},
            "`preset: doit-maximum` has no effect beside `growth`",
        ),
        (
            {"preset": "doit-baseline", "growth": None},
            "`growth: null` takes away the table of `preset: doit-baseline`",
        ),
        ({"preset": "doit-basline"}, "'doit-baseline', 'doit-reconstruct' or 'doit-maximum'"),
        ({"growth": {"a": "token"}, "fit": {"flat": 1.0}}, "`fit` has no effect without `curves`"),
        ({"growth": {}}, "at least 1 item"),
        ({"growth": {"a": "tokens"}}, "'tokens' is no pace; write token, saturates at N or"),
        ({"growth": {"a": 1000}}, "'1000' is no pace; write token, saturates at 1000 or"),
        ({"growth": {"a": "saturates at 1,000"}}, "write token, saturates at 1000 or responsive"),
        ({"growth": {"a": "saturates at 0"}}, "write token, saturates at N or responsive"),
        ({"growth": {"a": None}}, "'None' is no pace"),
        ({"growth": {"a": "token", "": "token"}}, "at least 1 character"),
        ({"growth": {True: "token"}}, "valid string"),
        ({"growth": {"a": "token"}, "size": 0}, "greater than or equal to 1"),
        ({"growth": {"a": "token"}, "size": True}, "valid integer"),
        ({"growth": ["a"]}, "valid dictionary"),
    ],
)
def test_mistakes_in_parameters(params, message):
    with pytest.raises(ValidationError) as caught:
        stage(**params)
    assert message in str(caught.value)


def test_what_is_written_besides_a_preset_wins():
    params = GrowthParams.model_validate(
        {"preset": "doit-reconstruct", "growth": {"b": "responsive", "a": "token"}}
    )
    assert list(params.growth) == [("b", "responsive"), ("a", "token")]
    assert params.size == 10_000
    assert params.model_dump()["growth"] == {"b": "responsive", "a": "token"}
    assert GrowthParams.model_validate({"preset": "doit-maximum", "size": 9}).size == 9


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    for name, abilities in (("one", POOL[:40]), ("two", POOL[40:])):
        pl.DataFrame(
            {
                "instruction": [f"{name} {at}" for at in range(len(abilities))],
                "output": ["Well."] * len(abilities),
                "ability": abilities,
            }
        ).write_ndjson(tmp_path / f"{name}.jsonl")
    return tmp_path


def recipe(**params):
    return {
        "name": "grown",
        "sources": {name: {"path": f"{name}.jsonl"} for name in ("one", "two")},
        "pipeline": [{"fuse": "sources.growth", "from": ["one", "two"], "with": params}],
    }


def test_a_run_and_the_order_of_its_table(place):
    version = curate.run(recipe(growth=TABLE, token=4, size=40))
    assert version.frame()["ability"].value_counts().sort("ability").rows() == [
        ("code", 16),
        ("ethics", 4),
        ("math", 15),
        ("talk", 5),
    ]
    assert version.manifest["stages"][0]["facts"]["level"] == 15
    turned = dict(reversed(TABLE.items()))
    other = curate.run(recipe(growth=turned, token=4, size=40))
    assert dict(other.frame()["ability"].value_counts().iter_rows())["math"] == 16
    assert (
        curate.run(recipe(growth=TABLE, token=4, size=40)).manifest["digest"]
        == (version.manifest["digest"])
    )


def test_curves_are_fitted_once_in_a_run(place, monkeypatch):
    runs = [(a, n, n**0.5) for a in ("code", "ethics", "math", "talk") for n in (8, 16, 32, 64)]
    lines = ["ability,rows,metric", *(f"{a},{n},{m}" for a, n, m in runs)]
    (place / "c.csv").write_text("\n".join(lines) + "\n")
    fitted = []
    monkeypatch.setattr(
        growth_stage, "fit_curves", lambda *args: fitted.append(args) or fit_curves(*args)
    )
    version = curate.run(recipe(curves="c.csv", size=20))
    assert (len(version.frame()), len(fitted)) == (20, 1)


def test_a_limited_run(place):
    (place / "r.yaml").write_text(yaml.safe_dump(recipe(growth=TABLE, size=40), sort_keys=False))
    assert call(["run", "r.yaml", "--limit", "5"]) == 0
    preview = curate.open("grown@preview")
    assert len(preview.frame()) == 10
    assert preview.manifest["stages"][0]["notes"][2:] == [
        "no rows of ethics, talk in this preview",
        "10 of 40 rows in this preview",
    ]


def test_a_mistake_is_named_at_its_row(place, capsys):
    text = yaml.safe_dump(recipe(growth={**TABLE, "math": 1000}), sort_keys=False)
    (place / "r.yaml").write_text(text)
    assert call(["check", "r.yaml"]) == 2
    line = next(at for at, each in enumerate(text.splitlines(), 1) if "math" in each)
    said = capsys.readouterr().err
    assert f"r.yaml:{line}:13: '1000' is no pace; write token, saturates at 1000" in said


def test_the_table_in_the_schema_of_recipes(capsys):
    assert call(["schema"]) == 0
    assert '"^(token|responsive|saturates at [1-9][0-9]*)$"' in capsys.readouterr().out


def test_exit_code_3_where_the_pool_cannot_give_it(place, capsys):
    (place / "r.yaml").write_text(yaml.safe_dump(recipe(growth=TABLE, size=400), sort_keys=False))
    assert call(["check", "r.yaml"]) == 0
    assert call(["run", "r.yaml"]) == 3
    assert "gives 65 rows at most" in capsys.readouterr().err
