"""`curate plugins`: the list and the explanations, for people and for programs."""

import json

from curate.commands import call


def test_list_names_the_broken_with_error_and_remedy(capsys):
    assert call(["plugins", "list"]) == 0
    said = capsys.readouterr().out
    assert "core.concat, core.length, core.sample, core.top," in said  # a table: lines break
    assert "engines: local" in said
    # The toys' second entry point raises at import; the first is well.
    assert "toys.count" in said
    assert "boom at import" in said
    assert "pip uninstall curate-toys" in said


def test_list_as_json(capsys):
    assert call(["plugins", "list", "--json"]) == 0
    found = {plugin["name"]: plugin for plugin in json.loads(capsys.readouterr().out)}
    core = found["curate-data"]
    assert core["well"]
    (stages,) = [f["stages"] for f in core["findings"] if f["group"] == "curate"]
    assert {key: value for key, value in stages[3].items() if key != "summary"} == {
        "name": "core.top",
        "verb": "filter",
        "version": 1,
    }
    assert not found["curate-toys"]["well"]


def test_show_explains_a_stage(capsys):
    assert call(["plugins", "show", "core.top"]) == 0
    said = capsys.readouterr().out
    for part in ("filter: core.top", "curate-data", "required", "Column of numbers", "below_cut"):
        assert part in said


def test_show_as_json_has_every_parameter(capsys):
    assert call(["plugins", "show", "core.top", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["verb"], facts["scope"], facts["uses_seed"]) == ("filter", "pool", False)
    parameters = {parameter["name"]: parameter for parameter in facts["parameters"]}
    assert set(parameters) == {"by", "count", "fraction", "per", "lowest"}
    assert parameters["by"]["required"]
    assert parameters["by"]["marks"] == ["names a column"]
    assert parameters["count"]["type"] == "whole number"
    assert parameters["lowest"]["default"] is False
    assert facts["reasons"] == {"below_cut": "other rows stand higher"}


def test_show_tells_outputs_and_choices(capsys):
    assert call(["plugins", "show", "core.length", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["outputs"] == {"<id>_characters": "integer", "<id>_words": "integer"}
    assert facts["parameters"][0]["type"] == "instruction | response | both"


def test_show_of_a_prefix_lists_its_stages(capsys):
    assert call(["plugins", "show", "core"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("core: curate-data")
    assert "fuse: core.concat" in said
    assert call(["plugins", "show", "core", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["stages"]) == 5


def test_show_of_nothing_names_the_nearest(capsys):
    assert call(["plugins", "show", "core.tpo"]) == 1
    assert "Did you mean 'core.top'?" in capsys.readouterr().err
    assert call(["plugins", "show", "boom"]) == 1
    assert "boom at import" in capsys.readouterr().err
