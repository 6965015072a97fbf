"""Features as files, `curate nait`, and runs in which several stages share one pass."""

import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from safetensors import safe_open

import curate
from curate.api import CurateError
from curate.commands import call

MATH = [
    "What is 3 plus 4?\n3 + 4 = 7.",
    "Add 12 and 30.\n12 + 30 = 42.",
    "A pen costs 2 euros. What do 5 pens cost?\n5 * 2 = 10 euros.",
    "Half of 18 is what?\n18 / 2 = 9.",
    "How many minutes are 3 hours?\n3 * 60 = 180 minutes.",
]
CODE = [
    "Write a function that doubles a number.\ndef double(n):\n    return 2 * n",
    "Reverse a string in Python.\ndef reverse(text):\n    return text[::-1]",
    "Print the numbers to ten.\nfor n in range(1, 11):\n    print(n)",
    "Read a file.\nwith open(path) as file:\n    text = file.read()",
]
OTHER = [
    "Name a colour.\nBlue.",
    "Describe the sea in autumn.\nGrey and loud, with long waves.",
    "Who wrote Faust?\nGoethe.",
    "Tell a short tale.\nA fox met a crow and both went home.",
]


def write(path, texts):
    pairs = (text.split("\n", 1) for text in texts)
    rows = [json.dumps({"instruction": first, "output": rest}) for first, rest in pairs]
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with targets and a pool, and a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    write(tmp_path / "math.jsonl", MATH)
    write(tmp_path / "code.jsonl", CODE)
    write(tmp_path / "pool.jsonl", [*MATH[3:], *CODE[2:], *OTHER])
    return tmp_path


def recipe(*stages, name="pool"):
    return {"name": name, "sources": {"pool": {"path": "pool.jsonl"}}, "pipeline": list(stages)}


def nait(**params):
    return {"score": "nait.alignment", "id": "nait", "with": params}


def targets(*names):
    return {name: f"{name}.jsonl" for name in names}


def stage_of(version, id):
    return next(stage for stage in version.manifest["stages"] if stage["id"] == id)


def extract(*arguments):
    return call(["nait", "extract", *arguments])


def both(out="features", *more):
    given = ("--target", "math=math.jsonl", "--target", "code=code.jsonl")
    assert extract(*given, "--out", out, *more) == 0


def features(*names):
    return {name: f"features/{name}.safetensors" for name in names}


def test_features_of_another_process_give_the_same_bits(place):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "curate",
            "nait",
            "extract",
            "--target",
            "math=math.jsonl",
            "--target",
            "code=code.jsonl",
            "--out",
            "features",
        ],
        env={**os.environ, "CURATE_HOME": str(place / "elsewhere")},
        check=True,
        capture_output=True,
    )
    made = curate.run(recipe(nait(targets=targets("math", "code"))))
    reused = curate.run(recipe(nait(features=features("math", "code")), name="reused"))
    assert made.scores.equals(reused.scores)
    assert stage_of(reused, "nait")["memo"]["computed"] == 8
    assert made.scores["nait_math"].n_unique() == 8
    mixed = nait(targets=targets("code"), features=features("math"))
    again = curate.run(recipe(mixed, name="mixed"))
    assert again.scores.select(made.scores.columns).equals(made.scores)
    assert "pass.rows" not in stage_of(again, "nait")["counts"]  # every value is known by now


def test_a_feature_says_what_it_was_made_from(place, capsys):
    both("features", "--with", "preset=paper", "--with", "max_length=64")
    assert "features/math.safetensors: 5 examples, 6 layers" in capsys.readouterr().out
    with safe_open("features/math.safetensors", framework="numpy") as file:
        meta = json.loads(file.metadata()["feature"])
        assert set(file.keys()) == {
            "directions", "mean", "explained",
            "centre_dot", "spread_dot", "centre_cosine", "spread_cosine",
            "size_dot",
            "size_cosine",
        }  # fmt: skip
        directions = file.get_tensor("directions")
    assert directions.shape == (6, 1, 384)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=2), 1, atol=1e-6)
    options = meta["options"]
    assert (options["hook"], options["pool"], options["baseline"]) == (
        "block_output", "last", "first",
    )  # fmt: skip
    assert (options["max_length"], options["center"]) == (64, False)
    assert options["dtype"] in ("float32", "bfloat16")  # resolved, not auto
    model, samples = meta["model"], meta["samples"]
    assert model["name"] == "builtin:minilm"
    assert len(model["digest"]) == 64
    assert len(samples) == 5 == len(set(samples))
    assert all(len(each) == 32 for each in samples)
    assert set(meta["fingerprints"]) == {"tokenizer", "template"}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"hook": "block_output"}, 'hook: "mlp_neurons", not "block_output"'),
        ({"template": "alpaca"}, 'template: "plain", not "alpaca"'),
        ({"center": True}, "center: false, not true"),
        ({"text": "instruction"}, 'text: "both", not "instruction"'),
        ({"max_length": 32}, "max_length: null, not 32"),
    ],
)
def test_a_feature_of_other_options_is_refused_before_any_work(place, capsys, params, said):
    both()
    with pytest.raises(CurateError, match=r"'math' .* was made with") as error:
        curate.run(recipe(nait(features=features("math"), **params)))
    assert said in str(error.value)
    assert "curate nait extract" in str(error.value)


def test_a_feature_of_another_model_is_refused(place, tmp_path):
    import shutil

    from curate_embed.builtin import minilm

    other = shutil.copytree(minilm(), tmp_path / "other")
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    both()
    with pytest.raises(CurateError, match=r"made with model builtin:minilm \(.*not .*other"):
        curate.run(recipe(nait(model=str(other), features=features("math"))))


def test_a_file_that_is_no_feature_is_refused(place):
    with pytest.raises(CurateError, match="chooses no layers"):
        curate.check(recipe(nait(targets=targets("math"), layers="5..2")))
    with pytest.raises(CurateError, match="no such file"):
        curate.check(recipe(nait(features={"math": "features/math.safetensors"})))
    with pytest.raises(CurateError, match="cannot be read as a feature"):
        curate.run(recipe(nait(features={"math": "math.jsonl"})))
    both()
    with pytest.raises(CurateError, match="is that of 'code'"):
        curate.run(recipe(nait(features={"math": "features/code.safetensors"})))
    with pytest.raises(CurateError, match="name it once"):
        curate.check(recipe(nait(targets=targets("math"), features={"math": "math.jsonl"})))


def test_another_file_is_never_overwritten(place, capsys):
    both()
    before = (place / "features/math.safetensors").read_bytes()
    both()  # the very same: fine
    assert extract("--target", "math=math.jsonl", "--with", "pool=mean", "--out", "features") == 1
    assert "holds another feature" in capsys.readouterr().err
    assert (place / "features/math.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "math=nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["--target", "math"], "not NAME=VALUE"),
        (["--target", "math=math.jsonl", "--target", "math=code.jsonl"], "given twice"),
        (["--target", "math=math.jsonl", "--with", "poool=mean"], "Did you mean 'pool'?"),
        (["--target", "math=math.jsonl", "--with", "preset=best"], "preset"),
        (["--target", "math=math.jsonl", "--with", "model=/nowhere"], "has no effect here"),
        (["--target", "math=math.jsonl", "--with", "layers=2..3"], "has no effect here"),
        (["--target", "math=math.jsonl", "--with", "center=[1"], "is no YAML"),
        (["--target", "math={path: x"], "is no YAML"),
        (["--target", "math=math.jsonl", "--sample", "0"], "--sample"),
        (["--target", "math=math.jsonl", "--model", "no/such/folder"], "no/such/folder"),
    ],
)
def test_mistakes_on_the_command_line(place, capsys, arguments, said):
    assert extract(*arguments, "--out", "features") in (1, 2)
    assert said in capsys.readouterr().err
    assert not (place / "features").exists()


def test_targets_with_columns_of_their_own_and_a_sample(place, capsys):
    rows = [{"question": f"What is {n} and {n}?", "answer": str(n + n)} for n in range(30)]
    (place / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = "{path: own.jsonl, columns: {instruction: question, output: answer}}"
    assert extract("--target", f"sums={table}", "--sample", "12", "--out", "features") == 0
    said = capsys.readouterr()
    assert "12 examples" in said.out
    assert "12 examples are few: take 16 or more" in said.err


def test_compare_as_table_json_and_picture(place, capsys):
    both()
    files = ["features/math.safetensors", "features/code.safetensors"]
    capsys.readouterr()
    assert call(["nait", "compare", *files, "--pool", "pool.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["capabilities"] == ["math", "code"]
    arrays = {}
    for name in ("math", "code"):
        with safe_open(f"features/{name}.safetensors", framework="numpy") as file:
            arrays[name] = file.get_tensor("directions")[:, 0].astype(float)
    by_layer = (arrays["math"] * arrays["code"]).sum(axis=1)
    np.testing.assert_allclose([m[0][1] for m in found["cosine_by_layer"]], by_layer, atol=1e-9)
    np.testing.assert_allclose(found["cosine"][0][1], by_layer.mean(), atol=1e-9)
    scores = curate.run(recipe(nait(targets=targets("math", "code")))).scores
    ranks = [scores[name].rank() for name in ("nait_math", "nait_code")]
    expected = np.corrcoef(ranks[0].to_numpy(), ranks[1].to_numpy())[0, 1]
    assert found["rank_correlation"][0][1] == pytest.approx(expected)
    assert call(["nait", "compare", *files, "--png", "heat/map.png"]) == 0
    assert "cosine of directions" in capsys.readouterr().out
    assert (place / "heat/map.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_what_cannot_be_compared(place, capsys):
    both()
    both("paper", "--with", "preset=paper")
    assert call(["nait", "compare", "features/math.safetensors"]) == 1
    assert call(["nait", "compare", "features/math.safetensors", "paper/code.safetensors"]) == 1
    said = capsys.readouterr().err
    assert "two files or more" in said
    assert 'hook: "block_output", not "mlp_neurons"' in said
    write(place / "math.jsonl", MATH[1:])
    both("later")
    capsys.readouterr()
    files = ["features/math.safetensors", "later/math.safetensors"]
    assert call(["nait", "compare", *files]) == 0
    assert "features/math and later/math" in capsys.readouterr().out
    assert call(["nait", "compare", *files, "--pool", "pool.jsonl"]) == 2
    assert call(["nait", "compare", *files, "--png", "map.jpeg"]) == 2
    said = capsys.readouterr().err
    assert "names of their own" in said
    assert "does not end in .png" in said


EMBED = {"score": "embed.sentence", "id": "embed"}
NEAR = {"filter": "dedup.semantic", "with": {"threshold": 0.99}}


def test_embed_and_nait_make_one_pass(place):
    alone = curate.run(recipe(nait(targets=targets("math", "code")), name="alone"))
    version = curate.run(recipe(EMBED, NEAR, nait(targets=targets("math", "code"))))
    # the memo knows the scores already, so a fresh home shows the sharing
    os.environ["CURATE_HOME"] = str(place / "fresh")
    shared = curate.run(recipe(EMBED, NEAR, nait(targets=targets("math", "code")), name="shared"))
    host, guest = stage_of(shared, "embed"), stage_of(shared, "nait")
    assert host["counts"]["pass.rows"] == 8
    assert guest["counts"]["pass.rows"] == len(MATH) + len(CODE)  # the targets, no row of the pool
    assert guest["shares_pass_of"] == "embed"
    assert guest["memo"] == {"distinct": 8, "hits": 8, "computed": 0}
    assert guest["fits"] == {"math": "computed", "code": "computed"}
    assert stage_of(version, "nait")["shares_pass_of"] is None
    columns = ["id", "nait_math", "nait_code", "nait_truncated"]
    assert shared.scores.select(columns).equals(alone.scores.select(columns))
    assert shared.frame().equals(version.frame())


@pytest.mark.parametrize(
    "change",
    [{"template": "alpaca"}, {"max_length": 32}, {"dtype": "float32"}, {"text": "response"}],
)
def test_passes_that_differ_are_not_shared(place, change):
    other = "bfloat16" if change == {"dtype": "float32"} else "float32"
    embed = {**EMBED, "with": {"dtype": other if "dtype" in change else "float32"}}
    stage = nait(targets=targets("math"), **{"dtype": "float32", **change})
    version = curate.run(recipe(embed, stage))
    assert stage_of(version, "nait")["shares_pass_of"] is None
    assert stage_of(version, "nait")["memo"]["computed"] == 8


@pytest.mark.parametrize("fault", [ValueError, CurateError])
def test_a_guest_that_fails_does_not_fail_its_host(place, monkeypatch, fault):
    from curate_nait.alignment import Alignment

    honest = Alignment.columns

    def breaking(self, values, ctx):
        raise fault("not now")

    monkeypatch.setattr(Alignment, "columns", breaking)
    with pytest.raises(CurateError, match="not now"):
        curate.run(recipe(EMBED, nait(targets=targets("math"))))
    memo = place / "home/memo/embed.sentence"
    parts = [pl.read_parquet(part) for part in memo.glob("embedding-*/part-*.parquet")]
    assert pl.concat(parts)["id"].n_unique() == 8  # the host went on alone
    monkeypatch.setattr(Alignment, "columns", honest)
    version = curate.run(recipe(EMBED, nait(targets=targets("math"))))
    assert stage_of(version, "embed")["memo"]["hits"] == 8
    assert stage_of(version, "nait")["memo"]["computed"] == 8


def test_one_pass_is_shared_among_workers_too(place):
    write(
        place / "pool.jsonl", [f"Say {n}.\n{n} it is, {'very ' * (n % 7)}well." for n in range(150)]
    )
    stages = (EMBED, nait(targets=targets("math", "code"), keep_layers=True))
    one = curate.run(recipe(*stages))
    os.environ["CURATE_HOME"] = str(place / "fresh")
    two = curate.run(recipe(*stages, name="two"), workers=2)
    assert two.scores.equals(one.scores)
    assert stage_of(two, "embed")["counts"]["pass.rows"] == 150
    assert stage_of(two, "nait")["memo"] == {"distinct": 150, "hits": 150, "computed": 0}
    assert stage_of(two, "nait")["counts"]["pass.shared"] == 150


def test_targets_that_are_cut_are_counted(place, capsys):
    write(place / "math.jsonl", [*MATH, "Count.\n" + "one two three " * 200])
    version = curate.run(recipe(nait(targets=targets("math"))))
    assert stage_of(version, "nait")["counts"]["target.truncated"] == 1
    assert extract("--target", "math=math.jsonl", "--with", "text=instruction", "--out", "f") == 0
    assert "cut" not in capsys.readouterr().err
    given = ("--with", "max_length=8", "--out", "g")
    assert extract("--target", "math=math.jsonl", *given) == 0
    assert "6 texts were cut" in capsys.readouterr().err


def test_a_feature_that_changes_while_it_is_read_is_not_remembered(place, monkeypatch):
    from curate_nait import stages

    both()
    honest = stages.Alignment.fit

    def swapping(self, part, rows, ctx):
        found = honest(self, part, rows, ctx)
        path = place / "features/math.safetensors"
        path.write_bytes(path.read_bytes() + b" ")
        return found

    monkeypatch.setattr(stages.Alignment, "fit", swapping)
    with pytest.raises(CurateError, match="changed while it was read"):
        curate.run(recipe(nait(features=features("math"))))
    assert not list((place / "home/memo").glob("nait.alignment/fit-math-*/arrays.npz"))[1:]


def test_an_up_to_date_run_with_features_imports_no_numpy(place):
    both()
    (place / "r.yaml").write_text(json.dumps(recipe(nait(features=features("math")))))
    assert call(["run", "r.yaml"]) == 0
    code = "import sys; from curate.commands import call; code = call(['run', 'r.yaml']); "
    code += "print(code, sorted({'numpy', 'polars', 'torch', 'safetensors'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "up to date" in done.stdout
    assert done.stdout.endswith("0 []\n")


def test_a_cut_behind_combined_scores_may_be_close(place):
    combine = {"score": "nait.combine", "id": "c", "with": {"columns": ["nait_math", "nait_code"]}}
    top = {"filter": "core.top", "with": {"by": "c_combined", "count": 3}}
    version = curate.run(recipe(nait(targets=targets("math", "code")), combine, top))
    (margin,) = stage_of(version, "core_top")["margins"]
    assert margin["tolerance"] is None
    assert margin["close"]


def test_a_further_capability_costs_itself_alone(place):
    curate.run(recipe(nait(targets=targets("math"))))
    version = curate.run(recipe(nait(targets=targets("math", "code"))))
    stage = stage_of(version, "nait")
    assert stage["fits"] == {"math": "memo", "code": "computed"}
    assert stage["memo"]["computed"] == 8
    assert stage["remembered"] == {"math": 8, "code": 0, "truncated": 8}
    memo = place / "home/memo/nait.alignment"
    for folder in memo.glob("math-*"):
        ids = pl.concat([pl.read_parquet(part)["id"] for part in folder.glob("part-*.parquet")])
        assert len(ids) == 8 == ids.n_unique()
    apart = curate.run(recipe(nait(targets=targets("code")), name="apart"))
    assert apart.scores["nait_code"].equals(version.scores["nait_code"])


def test_kept_layers_serve_other_layers_without_a_pass(place):
    kept = {"targets": targets("math"), "keep_layers": True}
    first = curate.run(recipe(nait(**kept)))
    later = [stage for name in ("2..4", [1, -1]) for stage in [nait(**kept, layers=name)]]
    for stage in [*later, nait(**kept, layer_scale="none")]:
        version = curate.run(recipe(stage))
        found = stage_of(version, "nait")
        assert found["counts"] == {"recalled": 8}
        assert found["fits"] == {"math": "memo"}
        assert not version.scores["nait_math"].equals(first.scores["nait_math"])
        plain = nait(targets=targets("math"), **{
            name: stage["with"][name] for name in ("layers", "layer_scale") if name in stage["with"]
        })  # fmt: skip
        os.environ["CURATE_HOME"] = str(place / "fresh")
        fresh = curate.run(recipe(plain, name="fresh"))
        os.environ["CURATE_HOME"] = str(place / "home")
        assert fresh.scores["nait_math"].equals(version.scores["nait_math"])


def test_truncated_rows_are_counted_by_source(place):
    write(place / "long.jsonl", ["Count.\n" + "one two three " * 20, *OTHER[:2]])
    given = recipe(nait(targets=targets("math"), max_length=16))
    given["sources"]["long"] = {"path": "long.jsonl"}
    stage = stage_of(curate.run(given), "nait")
    assert stage["flags"]["truncated"] == sum(stage["flags_by_source"]["truncated"].values())
    assert stage["flags_by_source"]["truncated"]["long"] == 1


def test_the_lock_says_what_auto_meant(place):
    version = curate.run(recipe(nait(targets=targets("math"))))
    import yaml

    lock = yaml.safe_load((version.path / "recipe.lock.yaml").read_text())
    assert lock["stages"]["nait"]["auto"]["dtype"] in ("float32", "bfloat16")


def test_presets_are_shown_and_filled_in(place, capsys):
    assert call(["plugins", "show", "nait.alignment"]) == 0
    shown = capsys.readouterr().out
    assert "paper-centred" in shown
    assert "2603.13201" in shown
    paper = curate.run(recipe(nait(targets=targets("math"), preset="paper")))
    spelt = {"hook": "block_output", "similarity": "dot", "layer_scale": "none"}
    same = curate.run(recipe(nait(targets=targets("math"), **spelt)))
    assert same.digest == paper.digest
    mine = curate.run(recipe(nait(targets=targets("math"), preset="paper", similarity="cosine")))
    assert mine.digest != paper.digest


def test_a_grown_pool_and_another_cut(place):
    three = {"math": "math.jsonl", "code": "code.jsonl", "all": "pool.jsonl"}
    top = {"filter": "core.top", "with": {"by": "nait_math", "fraction": 0.5}}
    curate.run(recipe(EMBED, nait(targets=three), top))
    more = ["Add 5 and 6.\n5 + 6 = 11.", "Sort a list.\nxs.sort()", "Name a bird.\nA wren."]
    write(place / "targets.jsonl", [*MATH[3:], *CODE[2:], *OTHER])
    write(place / "pool.jsonl", [*MATH[3:], *CODE[2:], *OTHER, *more])
    three["all"] = "targets.jsonl"  # the rows that the pool had before
    grown = curate.run(recipe(EMBED, nait(targets=three), top))
    for id in ("embed", "nait"):
        assert stage_of(grown, id)["memo"]["hits"] == (8 if id == "embed" else 11)
    assert stage_of(grown, "embed")["counts"]["pass.rows"] == 3
    assert stage_of(grown, "nait")["counts"] == {"pass.shared": 3}
    cut = {**top, "with": {"by": "nait_code", "fraction": 0.3}}
    again = curate.run(recipe(EMBED, nait(targets=three), cut))
    assert [stage_of(again, id)["memo"]["computed"] for id in ("embed", "nait")] == [0, 0]
    os.environ["CURATE_HOME"] = str(place / "fresh")
    fresh = curate.run(recipe(EMBED, nait(targets=three), top, name="fresh"))
    assert fresh.scores.equals(grown.scores)
    assert fresh.frame().equals(grown.frame())
