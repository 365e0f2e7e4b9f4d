"""Models by the client and the command line, through the API itself."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from sankofa import Client, Conflict, InvalidInput, NotFound
from sankofa.commands import run
from sankofa.commands.exits import Exit
from service.settings import Settings
from tests.service.api.conftest import KEY, SETTINGS, Service

Typed = Callable[..., Any]
LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[")


@pytest.fixture
def service(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Service]:
    shutil.copyfile(migrated_sqlite, tmp_path / "sankofa.db")
    made = Service(Settings(data_dir=tmp_path, **SETTINGS))
    yield made
    made.context.streams.close()
    made.store.close()


@pytest.fixture
def client(service: Service) -> Client:
    return client_of(service)


def client_of(service: Service) -> Client:
    return Client("http://service.example", KEY, transport=httpx2.WSGITransport(service.app))


@pytest.fixture
def job(service: Service) -> str:
    """A job that has succeeded."""
    job = service.job(epochs=3)
    service.work()
    return job


@pytest.fixture
def typed(service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Runs a command line; answers what it wrote to stdout, as JSON where that was asked for."""
    monkeypatch.setattr("sankofa.commands.options.Client", lambda *_, **__: client_of(service))

    def run_line(*words: str, exits: Exit = Exit.DONE) -> Any:
        assert run(words) == exits
        lines = capsys.readouterr().out.splitlines(keepends=True)
        written = "".join(line for line in lines if not LOGGED.match(line))  # the API of this process logs to stdout, too
        return [json.loads(line) for line in written.splitlines()] if "--json" in words else written

    return run_line


def test_a_model_from_a_job_to_an_answer(client: Client, job: str, tmp_path: Path) -> None:
    models = client.models
    models.create("digits", "Reads digits.", tags={"team": "post"})
    assert models.add("digits", job)["version"] == 1
    assert models.add("digits", client.job(job), "last", description="Longer.")["version"] == 2
    assert [each["version"] for each in models.versions("digits")] == [2, 1]
    assert models.move("digits", "production", 1)["revision"] == 1
    assert models.get("digits")["aliases"] == {"production": 1}
    assert (models.version("digits@production")["version"], models.version("digits")["version"]) == (1, 2)
    assert models.version("digits@2")["description"] == "Longer."
    rows = [[0, 1], [1, 1]]
    answers = models.predict("digits@production", rows)
    np.testing.assert_array_equal(answers.outputs, client.job(job).predict(rows).outputs)
    weights = models.weights("digits@1")
    np.testing.assert_array_equal(weights["0.weight"], client.job(job).weights()["0.weight"])
    path = models.download("digits@production", tmp_path / "digits.npz")
    assert path.read_bytes() == models.weights_file("digits@1", "npz")
    assert [each["name"] for each in models.list()] == ["digits"]
    assert models.change("digits", revision=0, tags={})["tags"] == {}
    with pytest.raises(Conflict):
        models.change("digits", revision=0, description="late")


def test_an_alias_is_moved_once_by_each_revision(client: Client, job: str) -> None:
    models = client.models
    models.create("digits")
    models.add("digits", job)
    models.add("digits", job)
    models.move("digits", "production", 1)
    with pytest.raises(Conflict, match="is there at revision 1, and no such alias was expected") as refused:
        models.move("digits", "production", 2)
    assert "move it with revision=1" in str(refused.value)
    assert "If-Match" not in str(refused.value)
    with pytest.raises(Conflict, match="revision 7 was expected"):
        models.move("digits", "production", 2, revision=7)
    assert models.move("digits", "production", 2, revision=1)["revision"] == 2
    with pytest.raises(Conflict):
        models.delete_version("digits", 2)
    assert [each["version"] for each in models.history("digits", "production")] == [2, 1]
    models.delete_alias("digits", "production", revision=2)
    with pytest.raises(NotFound):
        models.alias("digits", "production")
    assert (models.delete_version("digits", 2), models.delete("digits")) == (0, 0)


@pytest.mark.parametrize("reference", ["", "@production", "digits@"])
def test_a_reference_that_names_nothing_is_told(client: Client, reference: str) -> None:
    with pytest.raises(InvalidInput, match="expected the name of a model"):
        client.models.predict(reference, [[0, 1]])


def test_a_model_without_versions_says_what_to_do(client: Client) -> None:
    client.models.create("digits")
    with pytest.raises(InvalidInput, match="has no version yet"):
        client.models.version("digits")


def test_the_command_line_keeps_models(typed: Typed, job: str, tmp_path: Path) -> None:
    assert "has no version yet" in typed("models", "create", "digits", "--description", "Reads digits.")
    assert "digits@1" in typed("models", "add", "digits", job)
    (second,) = typed("models", "add", "digits", job, "--step", "last", "--json")
    assert second["version"] == 2
    assert typed("models", "alias", "digits", "production", "1") == "digits@production stands for 1\n"
    assert "stands for 2; it stood for 1" in typed("models", "alias", "digits", "production", "2")
    assert typed("models", "alias", "digits", "production", "--json")[0]["revision"] == 2
    assert len(typed("models", "alias", "digits", "production", "--history").splitlines()) == 3
    assert "production 2" in typed("models", "list")
    assert [each["version"] for each in typed("models", "versions", "digits", "--json")] == [2, 1]
    assert "accuracy" in typed("models", "versions", "digits")
    table = tmp_path / "rows.npz"
    (written,) = typed("weights", "digits@production", "--output", str(table), "--json")
    assert (written["model"], written["path"]) == ("digits@production", str(table))
    assert typed("predict", "digits@1", "--inputs", "[[0, 1]]") == typed("predict", job, "--inputs", "[[0, 1]]")
    typed("models", "delete", "digits", exits=Exit.REFUSED)
    assert "stands for nothing" in typed("models", "alias", "digits", "production", "--delete")
    typed("models", "alias", "digits", "production", exits=Exit.REFUSED)
    assert "digits@1 deleted" in typed("models", "delete", "digits", "1")
    assert typed("models", "delete", "digits", "--json") == [{"deleted": "digits", "freed_bytes": 0}]


def test_the_columns_of_a_csv_are_those_that_the_version_reads(typed: Typed, service: Service, tmp_path: Path) -> None:
    dataset = service.dataset({"columns": {"a": [0, 1, 2], "b": [1, 0, 1], "y": [0, 1, 1]}})
    job = service.job(dataset=dataset, epochs=2)
    service.work()
    typed("models", "create", "rows")
    typed("models", "add", "rows", job)
    (tmp_path / "rows.csv").write_text("b,more,a\n1,x,0\n0,y,1\n")
    assert len(typed("predict", "rows", "--data", str(tmp_path / "rows.csv")).splitlines()) == 2
    assert typed("models", "alias", "rows", "a", "1", "--delete", exits=Exit.USAGE) == ""


def test_what_a_frame_or_a_file_misses_is_answered_as_training_learnt_it(client: Client, service: Service, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="no pandas")
    frame = pandas.DataFrame(
        {"size": [1.0, None, 3.0, 4.0], "plan": ["free", None, "paid", None], "new": [True, False, True, True], "y": [0, 1, 0, 1]}
    )
    frame.to_csv(tmp_path / "rows.csv", index=False)
    steps = [{"type": "impute", "columns": ["size"]}, {"type": "one_hot", "columns": ["plan"]}]
    layers = [{"type": "dense", "units": 1}]
    job = client.train(layers, frame, "y", missing="allow", preprocess=steps, epochs=2, seed=1)
    again = client.datasets.upload(tmp_path / "rows.csv", missing="allow")
    assert (again.id, again.created) == (job.document["dataset"], False), "the frame and its CSV are the same table"
    service.work()
    job = client.job(job.id)
    expected = job.predict(again).outputs.tolist()
    assert job.predict(frame).outputs.tolist() == expected
    assert job.predict(tmp_path / "rows.csv").outputs.tolist() == expected
    assert job.predict(frame.iloc[1:2]).outputs.tolist() == expected[1:2], "a row in which all is missing that may be"
    client.models.create("plans")
    client.models.add("plans", job)
    assert client.models.predict("plans@1", frame.drop(columns="y")).outputs.tolist() == expected
