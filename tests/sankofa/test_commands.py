"""The command line against scripted answers: what is sent, what is said where, and the exit codes."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from sankofa.commands import run
from sankofa.commands.exits import Exit
from sankofa.commands.train import foretold
from tests.sankofa.conftest import SPEC, Use
from tests.sankofa.fake_service import DATASET, Answer, job_document, problem


def test_train_uploads_queues_and_says_so(use: Use, spec: str, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(201, DATASET), Answer(202, job_document("queued")))
    assert run(["train", spec, "--data", table, "--target", "z", "--name", "mine", "--seed", "3"]) == Exit.DONE
    assert service.requests[1].json == {**SPEC, "target": "z", "name": "mine", "seed": 3, "dataset": "ds_1"}
    assert "job_1  queued" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["fork", "job_1", "--data", "{table}"], ["predict", "job_1", "--batch", "{table}"], ["data", "upload", "{table}"]],
    ids=["fork", "predict", "upload"],
)
def test_every_command_that_uploads_passes_missing_on(use: Use, table: str, arguments: list[str]) -> None:
    service = use(Answer(201, DATASET), problem(422))
    run([*(argument.format(table=table) for argument in arguments), "--missing", "allow"])
    assert service.requests[0].query == {"name": "rows", "missing": "allow"}


def test_train_says_where_the_content_is_there_already_under_another_name(
    use: Use, spec: str, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for named, told in (("xor", [f"{table}: this content is there already, as ds_1 (xor); nothing new is stored"]), ("rows", [])):
        use(Answer(200, {**DATASET, "name": named}), Answer(202, job_document("queued")))
        assert run(["train", spec, "--data", table, "--json"]) == Exit.DONE
        assert capsys.readouterr().err.splitlines() == told


def test_train_allows_missing_numbers_when_it_is_told_to(use: Use, spec: str, table: str) -> None:
    service = use(Answer(201, DATASET), Answer(202, job_document("queued")))
    assert run(["train", spec, "--data", table, "--missing", "allow"]) == Exit.DONE
    assert service.requests[0].query == {"name": "rows", "missing": "allow"}


def test_fork_says_where_it_goes_on_and_how(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    parent = {"job": "job_1", "step": 20, "epoch": 2, "continues": "exactly", "further_epochs": 5, "from_checkpoint": 10}
    service = use(Answer(202, job_document("queued", id="job_2", parent=parent)))
    changes = '{"metrics": ["f1"]}'
    assert run(["fork", "job_1", "--epochs", "5", "--step", "20", "--data", "ds_9", "--changes", changes]) == Exit.DONE
    assert service.requests[0].json == {"parent": {"job": "job_1", "step": 20}, "epochs": 5, "dataset": "ds_9", "metrics": ["f1"]}
    assert "step 20 of job_1, bit for bit, for 5 further epochs" in capsys.readouterr().out
    use(Answer(202, job_document("queued", id="job_2", parent={**parent, "continues": "parameters", "preprocessing": "kept"})))
    assert run(["fork", "job_1"]) == Exit.DONE
    assert "with the parameters found there, preprocessing kept, for" in capsys.readouterr().out


def test_a_preflight_says_what_the_job_would_be(use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    estimate = {"training_seconds": 12.4, "jobs_ahead": 2, "finish_seconds": 60.0}
    found = {"parameters": 1234, "memory_bytes": 1 << 20, "steps": 500, "estimate": estimate, "gradient_check": None}
    found |= {"baseline": {"loss": 0.69, "metrics": {"accuracy": 0.5}}, "warnings": [{"message": "Rows are few."}]}
    service = use(Answer(200, found), Answer(200, found))
    assert run(["train", spec, "--data", "ds_1", "--preflight"]) == Exit.DONE
    assert (service.requests[0].path, service.requests[0].json["dataset"]) == ("/v1/jobs/preflight", "ds_1")
    told = capsys.readouterr().out
    assert "1,234 parameters, 1.0 MiB, 500 steps" in told
    assert "about 12 s, behind 2 jobs; done in about 60 s" in told
    assert "to beat: loss 0.69, accuracy 0.5" in told
    assert "warning: Rows are few." in told
    assert run(["train", spec, "--data", "ds_1", "--preflight", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize(
    ("seconds", "jobs", "error", "told"),
    [
        (0.0432, 1, 6e-11, ["trains for about 0.043 s, behind 1 job; done in about 0.043 s", "gradients: right to 10 digits"]),
        (1234.6, 0, 0.25, ["about 1,235 s, behind 0 jobs", "gradients: 0.25 away from differences of the loss"]),
    ],
)
def test_short_times_and_small_errors_of_a_preflight_can_be_read(seconds: float, jobs: int, error: float, told: list[str]) -> None:
    estimate = {"training_seconds": seconds, "jobs_ahead": jobs, "finish_seconds": seconds}
    found = {"parameters": 1, "memory_bytes": 1, "steps": 1, "estimate": estimate, "baseline": {"loss": 1.0, "metrics": {}}, "warnings": []}
    lines = foretold(found | {"gradient_check": {"relative_error": error, "ok": error < 1e-3}})
    assert all(each in lines for each in told), lines


def test_train_with_json_says_one_document(use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    use(Answer(202, job_document("queued")))
    assert run(["train", spec, "--data", "ds_1", "--json"]) == Exit.DONE
    said = capsys.readouterr()
    assert json.loads(said.out) == job_document("queued")
    assert said.err == ""


def test_train_reads_the_spec_from_stdin(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({**SPEC, "dataset": "ds_9"})))
    service = use(Answer(202, job_document("queued")))
    assert run(["train", "-"]) == Exit.DONE
    assert service.requests[0].json["dataset"] == "ds_9"


def test_train_with_output_waits_and_writes_the_weights(use: Use, spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    use(
        Answer(202, job_document("queued")),
        Answer(200, job_document("running")),
        Answer(200, job_document("succeeded")),
        Answer(200, b"weights"),
    )
    assert run(["train", spec, "--data", "ds_1", "--output", str(tmp_path / "w.safetensors")]) == Exit.DONE
    assert (tmp_path / "w.safetensors").read_bytes() == b"weights"
    said = capsys.readouterr()
    assert "job_1  succeeded" in said.out
    assert f"weights: {tmp_path / 'w.safetensors'}" in said.out
    assert "running:  50%  epoch 5/10  loss 0.2500" in said.err


def test_train_watched_with_json_says_a_line_per_change(use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    states = ["queued", "running", "succeeded"]
    use(*[Answer(202, job_document(state)) for state in states])
    assert run(["train", spec, "--data", "ds_1", "--watch", "--json"]) == Exit.DONE
    said = capsys.readouterr()
    assert [json.loads(line)["state"] for line in said.out.splitlines()] == states
    assert said.err == ""


@pytest.mark.parametrize(
    ("state", "code"),
    [("succeeded", Exit.DONE), ("stopped", Exit.STOPPED), ("failed", Exit.FAILED), ("cancelled", Exit.CANCELLED)],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_the_end_of_a_watched_job_is_the_exit_code(
    use: Use, spec: str, state: str, code: Exit, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    document = job_document(state, reason={"code": "diverged", "message": "not finite"} if state == "failed" else None)
    use(Answer(200, document))
    assert run(["watch", "job_1", *(["--json"] if as_json else [])]) == code
    said = capsys.readouterr().out
    assert json.loads(said) == document if as_json else f"job_1  {state}" in said
    assert ("diverged" in said) == (state == "failed")
    use(Answer(202, document))
    assert run(["train", spec, "--data", "ds_1", "--watch"]) == code


def test_waiting_is_silent_and_its_code_is_that_of_the_first_that_did_not_succeed(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(*[Answer(200, job_document(state)) for state in ("succeeded", "running", "stopped", "failed")])
    assert run(["wait", "a", "b", "c"]) == Exit.STOPPED
    said = capsys.readouterr()
    assert [line.split()[1] for line in said.out.splitlines() if line.startswith("job_1")] == ["succeeded", "stopped", "failed"]
    assert said.err == ""
    use(Answer(200, job_document("succeeded")))
    assert run(["wait", "a", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["state"] == "succeeded"
    use(*[Answer(200, job_document(), {"etag": '"1"'})] * 20)
    assert run(["wait", "a", "--timeout", "0.1"]) == Exit.TIMED_OUT == 124
    assert "job_1 is running after 0.1 s, at 50%" in capsys.readouterr().err


def test_watching_ends_with_its_time(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(*[Answer(200, job_document(), {"etag": '"1"'})] * 20)
    assert run(["watch", "job_1", "--timeout", "0.1"]) == Exit.TIMED_OUT
    assert "job_1 is running after 0.1 s" in capsys.readouterr().err


def test_jobs_are_listed(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    page = {
        "data": [job_document(id="job_a", name="first"), job_document("failed", id="job_b"), job_document(id="job_c")],
        "next_cursor": "more",
    }
    service = use(Answer(200, page))
    assert run(["jobs", "--limit", "2", "--state", "running"]) == Exit.DONE
    said = capsys.readouterr().out
    assert "job_a" in said
    assert "first" in said
    assert "job_b" in said
    assert "job_c" not in said
    assert service.requests[0].query == {"state": "running"}
    use(Answer(200, {**page, "next_cursor": None}))
    assert run(["jobs", "--json"]) == Exit.DONE
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["job_a", "job_b", "job_c"]


def test_jobs_are_looked_for_by_name_and_tags(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, {"data": [], "next_cursor": None}))
    assert run(["jobs", "--name", "mine", "--tag", "lesson=1"]) == Exit.DONE
    assert service.requests[0].query == {"name": "mine", "tag": "lesson=1"}
    assert "no jobs like that" in capsys.readouterr().err


def test_no_jobs_is_an_empty_answer(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(Answer(200, {"data": [], "next_cursor": None}))
    assert run(["jobs"]) == Exit.DONE
    said = capsys.readouterr()
    assert said.out == ""
    assert "sankofa train" in said.err


def test_a_job_is_shown_in_detail(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    best = {"step": 90, "epoch": 9, "loss": 0.1, "validation_loss": 0.2, "metrics": {"accuracy": 0.975}}
    use(
        Answer(200, job_document("succeeded", result={"best": best, "last": None})),
        Answer(200, job_document("queued", queue={"jobs_ahead": 2})),
    )
    assert run(["jobs", "job_1", "job_2"]) == Exit.DONE
    said = capsys.readouterr().out
    assert "best: epoch 9, step 90  loss 0.1000  validation loss 0.2000  accuracy 0.9750" in said
    assert "you may ask it to: cancel" in said


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "stop"])
def test_requests_go_to_every_job_named(use: Use, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(202, job_document("pausing", id="a")), Answer(200, job_document("paused", id="b")))
    assert run([action, "a", "b", "--json"]) == Exit.DONE
    assert [(request.method, request.path) for request in service.requests] == [("POST", f"/v1/jobs/{job}/{action}") for job in "ab"]
    assert [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()] == ["pausing", "paused"]


def test_weights_are_written_to_a_file(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = safetensors.numpy.save({"x": np.ones(2)})
    service = use(Answer(200, job_document()), Answer(200, data))
    assert run(["weights", "job_1", "--json", "--snapshot", "last"]) == Exit.DONE
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(tmp_path / "job_1.safetensors")
    assert told["bytes"] == len(data)
    assert (tmp_path / "job_1.safetensors").read_bytes() == data
    assert service.requests[1].query == {"format": "safetensors", "snapshot": "last"}
    service = use(Answer(200, job_document()), Answer(200, b"npz"))
    assert run(["weights", "job_1", "--format", "npz"]) == Exit.DONE
    assert (tmp_path / "job_1.npz").read_bytes() == b"npz"


def test_weights_can_go_to_stdout(use: Use, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    use(Answer(200, job_document()), Answer(200, b"\x00\xffraw"))
    assert run(["weights", "job_1", "--output", "-"]) == Exit.DONE
    assert capsysbinary.readouterr().out == b"\x00\xffraw"


@pytest.mark.parametrize("packed", [False, True])
def test_predict_sends_a_file_as_it_is(use: Use, table: str, packed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    if packed:
        data = Path(table).read_bytes()
        table += ".gz"
        Path(table).write_bytes(gzip.compress(data))
    job = job_document("succeeded", spec={"inputs": ["more", "x"]})
    answer = {"outputs": [[1.0, 2.0], [3.0, 1.0]], "probabilities": [[0.25, 0.75], [0.9, 0.1]], "labels": ["no", "yes"]}
    service = use(Answer(200, job), Answer(200, answer))
    assert run(["predict", "job_1", "--data", table]) == Exit.DONE
    assert (service.requests[1].path, service.requests[1].body) == ("/v1/jobs/job_1/predict", Path(table).read_bytes())
    assert capsys.readouterr().out == "no\t0.7500\nyes\t0.9000\n"


def test_predict_takes_json_and_gives_json(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, job_document()), Answer(200, {"outputs": [[0.5]], "probabilities": None}))
    assert run(["predict", "job_1", "--inputs", '{"x": [[0, 1]]}', "--json"]) == Exit.DONE
    assert service.requests[1].json == {"inputs": {"x": [[0, 1]]}}
    assert json.loads(capsys.readouterr().out) == {"outputs": [[0.5]], "probabilities": None, "labels": None, "classes": None}


@pytest.mark.parametrize("ending", ["csv", "npz"])
def test_predict_makes_a_job_of_many_rows(use: Use, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = {"step": 3, "steps": 3, "fraction": 1.0}
    made = {**job_document("succeeded", progress=progress), "kind": "predict"}
    service = use(Answer(200, job_document()), Answer(202, made), Answer(200, b"label\r\nyes\r\n"))
    path = tmp_path / f"answers.{ending}"
    assert run(["predict", "job_1", "--batch", "ds_1", "--output", str(path)]) == Exit.DONE
    assert service.requests[1].json == {"dataset": "ds_1", "snapshot": "best"}
    assert service.requests[2].query["format"] == ending
    assert path.read_bytes() == b"label\r\nyes\r\n"
    assert "3 rows" in capsys.readouterr().err


def test_explain_ranks_columns_and_waits_for_a_job(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    columns = [
        {"column": name, "feature": None, "mean": mean, "deviation": 0.0, "drops": [mean]} for name, mean in (("a", 0.1), ("b", 0.3))
    ]
    answer = {"metric": "accuracy", "value": 0.9, "rows": 40, "columns": columns}
    service = use(Answer(200, job_document()), Answer(202, {**job_document("succeeded"), "kind": "explain"}), Answer(200, answer))
    assert run(["explain", "job_1", "--with", '{"repeats": 1}']) == Exit.DONE
    assert service.requests[1].json == {"explain": {"type": "permutation_importance", "repeats": 1}, "snapshot": "best", "run": "auto"}
    assert service.requests[2].path == "/v1/jobs/job_1/explanation"
    lines = capsys.readouterr().out.splitlines()
    assert ["accuracy 0.9000 on 40 rows" in lines[0], lines[1].split()[0], lines[2].split()[0]] == [True, "b", "a"]


def test_explain_asks_a_model_by_its_alias_and_waits_for_a_job(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"positions": [0.0], "losses": [0.5]}
    service = use(Answer(202, {**job_document("succeeded"), "kind": "explain"}), Answer(200, found))
    assert run(["explain", "digits@production", "loss_line", "--with", '{"points": 3}']) == Exit.DONE
    asked, fetched = service.requests
    assert (asked.path, asked.query, fetched.path) == (
        "/v1/models/digits/explain",
        {"alias": "production"},
        "/v1/jobs/job_1/explanation",
    )
    assert asked.json == {"explain": {"type": "loss_line", "points": 3}, "run": "auto"}
    assert json.loads(capsys.readouterr().out) == found


def test_two_classes_say_how_sure_they_are(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(Answer(200, job_document()), Answer(200, {"outputs": [[-1.0], [1.0]], "probabilities": [0.25, 0.75], "labels": [0, 1]}))
    assert run(["predict", "job_1", "--inputs", "[[0], [1]]"]) == Exit.DONE
    assert capsys.readouterr().out == "0\t0.7500\n1\t0.7500\n"
