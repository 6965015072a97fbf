"""`hf.classifier` against transformers' own pipeline, and in every company."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

import curate
from curate.api import Context, CurateError, ModelFiles, Pass
from curate_embed.classes_folder import classes_of
from curate_embed.classifier import Classifier, ClassifierParams
from curate_embed.forward import ForwardService

LABELS = {0: "1 star", 1: "2 stars", 2: "Best!"}
WORDS = ["the", "cat", "dog", "runs", "over", "red", "house", "tree", "and", "then"]


@pytest.fixture(scope="session")
def saved(tokenizer, tmp_path_factory):
    """Saves a classifier: a kind (bert, llama, gpt2, roberta), and more of its configuration."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        BertConfig,
        GPT2Config,
        LlamaConfig,
        RobertaConfig,
    )

    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 64, "initializer_range": 0.5}
    wide = {"vocab_size": 32, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64}
    kinds = {
        "bert": (BertConfig, sizes),
        "roberta": (RobertaConfig, sizes | {"pad_token_id": 0, "max_position_embeddings": 66}),
        "llama": (LlamaConfig, sizes | {"pad_token_id": 0}),
        "gpt2": (GPT2Config, wide | {"pad_token_id": 0, "initializer_range": 0.5}),
    }

    def save(kind, tokens=None, **more):
        torch.manual_seed(1)
        config, options = kinds[kind]
        ends = {"bos_token_id": None, "eos_token_id": None}
        model = AutoModelForSequenceClassification.from_config(
            config(**(options | ends | {"id2label": LABELS} | more))
        )
        for parameter in model.parameters():  # biases are zero by default
            torch.nn.init.normal_(parameter, std=0.5)
        folder = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folder)
        tokens = tokens or ("bert" if kind in ("bert", "roberta") else "padded")
        if tokens == "padded":
            from copy import deepcopy

            padded = deepcopy(tokenizer["llama"])
            padded.pad_token = "[PAD]"
            padded.save_pretrained(folder)
        else:
            tokenizer[tokens].save_pretrained(folder)
        return folder

    return save


def texts(count=70):
    draw = random.Random(3)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 55))) for _ in range(count)]


def classify(folder, rows, **given):
    service, models = ForwardService(), {"model": ModelFiles("m", folder, None, str(folder))}
    given = {"model": str(folder), "dtype": "float32"} | given
    told = {"labels": list(classes_of(folder).labels), "task": classes_of(folder).task}
    stage = Classifier(ClassifierParams(**(told | given)), "c")
    stage.check_files()
    stage.prepare(models, lambda _: service)
    context = Context(0, models, {}, tuple(stage.outputs()), lambda _: service)
    frame = pl.DataFrame({"id": [f"{at:06}" for at in range(len(rows))], "@both": rows})
    return pl.concat(stage.stream(frame, context)).sort("id")


def pipeline(folder, rows):
    """Score by label, a row each, as transformers itself gives it, one text at a time."""
    from transformers import pipeline as made

    classifier = made("text-classification", model=str(folder), device="cpu")
    found = [classifier(text, top_k=None, truncation=True, max_length=64) for text in rows]
    return [{each["label"]: each["score"] for each in row} for row in found]


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "gpt2"])
def test_probabilities_are_those_of_the_pipeline(saved, kind):
    folder, rows = saved(kind), texts(40)
    expected = pipeline(folder, rows)
    values = {"1 star": 1.0, "2 stars": 2.0, "Best!": 10.0}
    found = classify(folder, rows, values=values)
    assert found.columns == [
        *("id", "label", "p_1_star", "p_2_stars", "p_best", "expectation", "truncated")
    ]
    columns = dict(zip(LABELS.values(), ("p_1_star", "p_2_stars", "p_best"), strict=True))
    assert found["p_best"].n_unique() > len(rows) // 2
    assert kind != "bert" or found["label"].n_unique() > 1
    for row, whole in zip(found.iter_rows(named=True), expected, strict=True):
        for label, column in columns.items():
            assert row[column] == pytest.approx(whole[label], abs=2e-6)
        assert row["label"] == max(whole, key=whole.get)
        longhand = sum(whole[label] * value for label, value in values.items())
        assert row["expectation"] == pytest.approx(longhand, abs=2e-5)
        assert sum(row[column] for column in columns.values()) == pytest.approx(1, abs=1e-6)


def test_texts_beyond_the_reach_are_cut_and_counted(saved):
    folder = saved("bert")
    rows = ["cat " * 10, "dog " * 62, "dog " * 63, "tree " * 300]
    found = classify(folder, rows)
    assert found["truncated"].to_list() == [False, False, True, True]
    assert classify(folder, rows, max_length=8)["truncated"].to_list() == [True] * 4
    expected = pipeline(folder, rows)
    assert found["p_best"].to_list() == pytest.approx([e["Best!"] for e in expected], abs=2e-6)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_row_has_the_same_bits_in_every_company(saved, kind):
    folder, rows = saved(kind), texts(90)
    whole = classify(folder, rows).drop("id")
    order = random.Random(5).sample(range(90), 90)
    mixed = classify(folder, [rows[at] for at in order]).drop("id")
    assert mixed.equals(whole[order])
    alone = pl.concat([classify(folder, [rows[at]]).drop("id") for at in (0, 7, 33)])
    assert alone.equals(whole[[0, 7, 33]])


def test_several_labels_a_text_are_sigmoids(saved):
    folder, rows = saved("bert", problem_type="multi_label_classification"), texts(12)
    found = classify(folder, rows)
    assert found.columns == ["id", "p_1_star", "p_2_stars", "p_best", "truncated"]
    expected = pipeline(folder, rows)
    for row, whole in zip(found.iter_rows(named=True), expected, strict=True):
        assert row["p_2_stars"] == pytest.approx(whole["2 stars"], abs=2e-6)
    with pytest.raises(CurateError, match="one label a text"):
        classify(folder, rows, values={"1 star": 1.0})


def test_a_regression_gives_its_number(saved):
    folder, rows = saved("bert", id2label={0: "LABEL_0"}, problem_type="regression"), texts(12)
    found = classify(folder, rows)
    assert found.columns == ["id", "value", "truncated"]
    expected = [each["LABEL_0"] for each in pipeline(folder, rows)]
    assert found["value"].to_list() == pytest.approx(expected, abs=2e-5)
    several = saved("bert", problem_type="regression")
    assert classify(several, rows).columns == [
        *("id", "value_1_star", "value_2_stars", "value_best", "truncated")
    ]


def test_two_classes_without_names_have_those_of_transformers(saved):
    folder = saved("bert", id2label=None, num_labels=2)
    assert "id2label" not in json.loads((folder / "config.json").read_text())
    assert classes_of(folder).labels == ("LABEL_0", "LABEL_1")
    assert classify(folder, texts(3)).columns[1:4] == ["label", "p_label_0", "p_label_1"]
    own = classify(folder, texts(3), labels=["bad", "good"])
    assert own.columns[1:4] == ["label", "p_bad", "p_good"]
    assert set(own["label"]) <= {"bad", "good"}


def test_classes_without_names_are_as_many_as_the_model_says(saved):
    folder = saved("bert")
    config = json.loads((folder / "config.json").read_text())
    del config["id2label"], config["label2id"]
    (folder / "config.json").write_text(json.dumps(config | {"num_labels": 3}))
    assert classes_of(folder).labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    found = classify(folder, texts(3))
    assert found.columns[2:5] == ["p_label_0", "p_label_1", "p_label_2"]
    for row, whole in zip(found.iter_rows(named=True), pipeline(folder, texts(3)), strict=True):
        assert row["p_label_2"] == pytest.approx(whole["LABEL_2"], abs=2e-6)


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        (["good", "Good!", "--"], ["p_0", "p_1", "p_2"]),
        (["C", "c", "1"], ["p_0", "p_1", "p_2"]),
        (["1", "!!", "2"], ["p_0", "p_1", "p_2"]),
        (["积极", "消极", "Émotion"], ["p_积极", "p_消极", "p_émotion"]),
    ],
)
def test_every_label_has_a_column_of_its_own(saved, labels, columns):
    folder, rows = saved("bert", id2label=dict(enumerate(labels))), texts(3)
    found = classify(folder, rows)
    assert found.columns == ["id", "label", *columns, "truncated"]
    for row, whole in zip(found.iter_rows(named=True), pipeline(folder, rows), strict=True):
        assert [row[name] for name in columns] == pytest.approx(
            [whole[label] for label in labels], abs=2e-6
        )


@pytest.mark.parametrize(
    "other", [{"labels": ["Best!", "2 stars", "1 star"]}, {"task": "multi_label"}]
)
def test_other_labels_or_another_task_take_no_column_from_the_memo(saved, place, other):
    told = {"labels": list(LABELS.values()), "task": "single_label", "dtype": "float32"}
    folder, scores = saved("bert"), {}
    for name, given in (("first", told), ("second", told | other)):
        recipe = {
            "name": name,
            "sources": {"pool": {"path": "pool.jsonl"}},
            "pipeline": [
                {"score": "hf.classifier", "id": "c", "with": {"model": str(folder), **given}}
            ],
        }
        scores[name] = curate.run(recipe).scores.sort("id")
    first, second = scores["first"], scores["second"]
    if "labels" in other:
        turned = dict(zip(LABELS.values(), other["labels"], strict=True))
        assert second["c_label"].to_list() == [turned[label] for label in first["c_label"]]
        assert second["c_p_1_star"].to_list() == first["c_p_best"].to_list()
    else:
        assert "c_label" not in second.columns
        both = second.select(pl.sum_horizontal("c_p_1_star", "c_p_2_stars", "c_p_best"))
        assert (both.to_series() - 1).abs().max() > 0.01


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"labels": ["a", "b"]}, "`labels` names 2 classes, and the model m has 3"),
        ({"values": {"1 star": 1.0}}, "no number for the label '2 stars'"),
        ({"values": {"3 stars": 1.0}}, "'3 stars', which the model does not have"),
    ],
)
def test_labels_and_values_that_are_not_the_model_s(saved, given, why):
    with pytest.raises(CurateError, match=why):
        classify(saved("bert"), ["cat"], **given)


def test_models_that_are_no_classifiers_are_refused(saved, tiny, tmp_path):
    with pytest.raises(CurateError, match="no classification head: it was saved as BertModel"):
        classes_of(tiny["bert"])
    folder = saved("bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"problem_type": "guessing"}))
    with pytest.raises(CurateError, match="'guessing', which is not known"):
        classes_of(folder)


def test_weights_of_a_head_are_never_made_up(tiny, tmp_path):
    folder = tmp_path / "headless"
    folder.mkdir()
    for file in tiny["bert"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    saved_as = {"architectures": ["BertForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps(config | saved_as))
    with pytest.raises(CurateError, match="lacks 2 weights"):
        classify(folder, ["cat"])


def test_a_decoder_that_does_not_know_its_padding_is_refused(saved):
    folder = saved("llama", tokens="llama", pad_token_id=None)
    with pytest.raises(CurateError, match="says which token that is"):
        classify(folder, ["cat"])


def test_classes_are_asked_of_passes_that_predict_them_alone(saved, passing, collect):
    from curate_embed.pooling import SentenceReader
    from curate_embed.probabilities import ClassReader

    folder = saved("bert")
    with pytest.raises(CurateError, match="predicts none"):
        collect(passing(folder), ["cat"], ClassReader("single_label"))
    both = passing(folder, predicts="classes")
    (_, vectors), _ = collect(
        both, ["cat"], ClassReader("regression"), SentenceReader("cls", False)
    )
    assert vectors.shape == (1, 16)
    (plain,), _ = collect(passing(folder), ["cat"], SentenceReader("cls", False))
    assert np.array_equal(vectors, plain)
    assert Pass(ModelFiles("m", folder, None, "d")) != Pass(
        ModelFiles("m", folder, None, "d"), predicts="classes"
    )


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    rows = [{"instruction": text, "output": "red"} for text in texts(12)]
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def recipe(folder, **given):
    return {
        "name": "classified",
        "sources": {"pool": {"path": "pool.jsonl"}},
        "pipeline": [
            {"score": "hf.classifier", "id": "c", "with": {"model": str(folder), **given}},
            {"filter": "core.where", "with": {"keep": "c_p_best > 0.1 and c_label != '1 star'"}},
        ],
    }


def test_columns_are_known_when_a_recipe_is_checked(saved, place):
    folder = saved("bert")
    version = curate.run(recipe(folder, dtype="float32"))
    automatic = yaml.safe_load((version.path / "recipe.lock.yaml").read_text())["stages"]["c"][
        "auto"
    ]
    assert automatic == {"labels": list(LABELS.values()), "task": "single_label"}
    scores = version.scores
    kept = scores.filter(pl.col("id").is_in(version.frame()["id"].to_list()))
    assert 0 < len(kept) < 12
    assert (kept["c_p_best"] > 0.1).all()
    wrong = recipe(folder)
    wrong["pipeline"][1]["with"]["keep"] = "c_p_worst > 0.1"
    with pytest.raises(CurateError, match="no column 'c_p_worst'"):
        curate.check(wrong)


def test_checking_a_recipe_imports_no_torch(saved, place):
    Path("r.yaml").write_text(json.dumps(recipe(saved("bert"))))
    code = (
        "import sys\nfrom curate.commands import call\n"
        "assert call(['check', 'r.yaml']) == 0\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_model_that_is_not_here_has_no_columns_yet(place, monkeypatch):
    given = recipe("nobody/nothing")
    with pytest.raises(CurateError, match="`labels` and `task` cannot be told before the model"):
        curate.check(given)
    given["pipeline"][0]["with"] |= {"labels": ["1 star", "best"], "task": "single_label"}
    curate.check(given)


def test_every_parameter_and_default_is_in_the_table_of_the_readme():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    section = readme.split("## hf.classifier\n")[1].split("\n## ")[0]
    table = section.split("| parameter |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.MULTILINE))
    assert set(rows) == set(ClassifierParams.model_fields)
    for name, field in ClassifierParams.model_fields.items():
        if not field.is_required() and field.default is not None:
            assert rows[name].strip(" `") == str(field.default).lower()
    (block,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    ClassifierParams.model_validate(yaml.safe_load(block)[0]["with"])


def test_a_locked_run_computes_the_same(saved, place):
    version = curate.run(recipe(saved("bert"), dtype="float32"))
    done = subprocess.run(
        [sys.executable, "-m", "curate", "run", f"classified@{version.version}", "--locked"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
