"""Against MLflow's sqlite store, in an environment of its own; elsewhere these are skipped."""

import json

import pytest

import curate
from curate.errors import CurateError

pytest.importorskip("mlflow", reason="MLflow has an environment of its own: see README.md")
pytestmark = pytest.mark.filterwarnings("default")  # MLflow's own warnings are not ours


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A store with its tables: making them takes seconds."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def store(empty, tmp_path, monkeypatch):
    """A tracking URI, and a working folder in which artifacts are put."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    (tmp_path / "mlflow.db").write_bytes(empty.read_bytes())
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def recipe(tmp_path):
    rows = [{"instruction": f"Say {n}.", "output": "word " * n} for n in range(20)]
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def make(*more):
        return {
            "name": "watched",
            "seed": 7,
            "sources": {"pool": {"path": str(pool)}},
            "pipeline": [
                {"score": "core.length", "with": {"text": "response"}},
                {"filter": "core.top", "with": {"by": "core_length_words", "count": 5}},
                *more,
            ],
        }

    return make


def runs(store, experiment="curate"):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store)
    found = client.get_experiment_by_name(experiment)
    return client, client.search_runs([found.experiment_id]) if found else []


def test_a_run_is_there_with_its_facts(store, recipe):
    version = curate.run(recipe(), observe=[f"mlflow={store}"])
    client, (run,) = runs(store)
    assert (run.info.run_name, run.info.status) == ("watched", "FINISHED")
    assert run.data.params["recipe/seed"] == "7"
    assert run.data.params["core_top"] == "filter: core.top, version 1"
    assert run.data.params["core_top.count"] == "5"
    assert run.data.params["core_top.by"] == "core_length_words"
    metrics = run.data.metrics
    assert (metrics["core_top.in"], metrics["core_top.out"], metrics["core_top.dropped"]) == (
        20,
        5,
        15,
    )
    assert metrics["core_length.seconds"] > 0
    assert {name: metrics[f"books.{name}"] for name in version.manifest["books"]} == dict(
        version.manifest["books"]
    )
    assert run.data.tags["curate.digest"] == version.digest
    assert run.data.tags["curate.version"] == "v1"
    assert run.data.tags["curate.run_key"] == version.manifest["run_key"]
    names = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert names == {"manifest.json", "README.md", "recipe.yaml", "recipe.lock.yaml"}
    path = client.download_artifacts(run.info.run_id, "manifest.json")
    with open(path) as file:
        assert json.load(file)["digest"] == version.digest


def test_a_run_that_is_up_to_date_writes_nothing(store, recipe):
    curate.run(recipe())
    curate.run(recipe(), observe=[f"mlflow={store}"])
    assert runs(store)[1] == []


def test_the_experiment_can_be_named_and_long_values_are_hashed(store, recipe, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    long = " OR ".join(f"core_length_words = {n}" for n in range(300))
    curate.run(recipe({"filter": "core.where", "with": {"keep": long}}), observe=["mlflow"])
    (run,) = runs(store, "mine")[1]
    assert run.data.params["core_where.keep"].startswith("sha256 ")


def test_a_run_that_fails_while_it_works_is_failed(store, recipe, monkeypatch):
    from curate.stages.length import Length

    def broken(self, rows, ctx):
        raise ValueError("no words today")

    monkeypatch.setattr(Length, "score", broken)
    with pytest.raises(CurateError, match="no words today"):
        curate.run(recipe(), observe=[f"mlflow={store}"])
    (run,) = runs(store)[1]
    assert run.info.status == "FAILED"
    assert "no words today" in run.data.tags["curate.error"]


@pytest.mark.parametrize("uri", ["foo://nobody", "http://127.0.0.1:9", "./mlruns"])
def test_a_store_that_cannot_be_reached_stops_before_any_work(store, recipe, tmp_path, uri):
    with pytest.raises(CurateError, match="MLflow cannot begin a run") as caught:
        curate.run(recipe(), observe=[f"mlflow={uri}"])
    assert "Nothing was done yet" in caught.value.remedy
    assert not list((tmp_path / "home").rglob("part-*"))
    assert not (tmp_path / "curated" / "watched" / "v1").exists()


def test_a_store_that_is_lost_later_costs_no_version(store, recipe, monkeypatch):
    from mlflow.tracking import MlflowClient

    def gone(*_, **__):
        raise OSError("connection lost")

    monkeypatch.setattr(MlflowClient, "log_artifact", gone)
    with pytest.warns(RuntimeWarning, match="connection lost"):
        version = curate.run(recipe(), observe=[f"mlflow={store}"])
    assert version.version == "v1"
