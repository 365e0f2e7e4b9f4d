"""The command line against scripted answers: what is sent, what is said where, and the exit codes."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import safetensors.numpy

from sankofa.commands import cli, run
from sankofa.commands.exits import MEANINGS, Exit
from sankofa.commands.train import foretold
from tests.sankofa.conftest import Use
from tests.sankofa.fake_service import DATASET, Answer, Unplugged, job_document, problem

SPEC = {"network": {"layers": [{"type": "dense", "units": 1}]}, "target": "y", "epochs": 3}


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC))
    return str(path)


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("x,more,y\n0,a,1\n1,b,0\n")
    return str(path)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "job_1"], "--data FILE.csv or by --inputs"),
        (["predict", "job_1", "--batch", "ds_1", "--inputs", "[]"], "by --batch FILE, for a job"),
        (["predict", "job_1", "--batch", "ds_1", "--output", "a.txt"], "ends in .csv or .npz"),
        (["predict", "job_1", "--inputs", "{"], "--inputs is not JSON"),
        (["predict", "job_1", "--inputs", "[" * 100_000], "--inputs is not JSON"),
        (["train", "nowhere.json"], "nowhere.json: there is no such file"),
        (["train", "{spec}"], "names no dataset"),
        (["train", "{spec}", "--data", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["train", "{spec}", "--data", "ds_1", "--output", "w.h5"], "ends in .safetensors"),
        (["train", "{table}", "--data", "ds_1"], "is not JSON"),
        (["weights", "job_1", "--output", "-", "--json"], "both want stdout"),
        (["nonsense"], "No such command"),
        (["watch"], "Missing argument"),
        (["watch", "job_1", "--timeout", "-1"], "--timeout"),
    ],
)
def test_a_command_that_cannot_be_understood_is_code_2(
    use: Use, spec: str, table: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use(Answer(200, job_document()))
    assert (
        run([argument.format(spec=spec, table=table) if argument[:1] == "{" and len(argument) > 1 else argument for argument in arguments])
        == Exit.USAGE
    )
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_a_refusal_is_code_4_and_lists_every_fault(use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"pointer": f"/network/layers/{n}", "code": "x", "message": f"fault {n}"} for n in range(2)]
    use(problem(422, errors=errors))
    assert run(["train", spec, "--data", "ds_1", "--json"]) == Exit.REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert "/network/layers/0: fault 0\n  /network/layers/1: fault 1" in said.err


def test_a_single_fault_is_told_once_with_its_place(use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"pointer": "/epochs", "code": "x", "message": "expected at least 1, got 0"}
    use(problem(422, detail=fault["message"], errors=[fault]))
    assert run(["train", spec, "--data", "ds_1"]) == Exit.REFUSED
    assert capsys.readouterr().err == "sankofa: No\n  /epochs: expected at least 1, got 0\n"


def test_a_fault_of_a_query_parameter_is_told_as_such(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"pointer": "", "parameter": "state", "code": "x", "message": "expected queued or running, got 'ended'"}
    use(problem(422, detail=f"query parameter state: {fault['message']}", errors=[fault]))
    assert run(["jobs", "--state", "ended"]) == Exit.REFUSED
    assert capsys.readouterr().err == "sankofa: No\n  query parameter state: expected queued or running, got 'ended'\n"


def commands(group: click.Group) -> Iterator[click.Command]:
    """Every command of a group and of the groups in it."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


@pytest.mark.parametrize("command", list(commands(cli)), ids=lambda command: str(command.name))
def test_every_command_can_answer_in_json(command: click.Command) -> None:
    assert "--json" in {option for parameter in command.params for option in parameter.opts}


def test_no_service_is_code_3(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(*[Unplugged()] * 6)
    assert run(["jobs"]) == Exit.UNREACHABLE
    assert "cannot reach http://service.example" in capsys.readouterr().err


def test_every_exit_code_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(MEANINGS) == set(Exit)
    assert run(["--help"]) == Exit.DONE
    said = capsys.readouterr().out
    assert all(f"{code:>3}  {meaning}" in said for code, meaning in MEANINGS.items())


def test_the_documentation_tells_every_exit_code() -> None:
    document = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    table = document[document.index("| code | meaning |") :]
    told = {int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in cell.split(",")}
    assert told == set(Exit)


def sankofa(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as it is typed."""
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-m", "sankofa", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_itself_tells_without_a_traceback() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = sankofa("jobs", SANKOFA_URL=f"http://127.0.0.1:{free.getsockname()[1]}")
    assert answer.returncode == Exit.UNREACHABLE
    assert answer.stdout == ""
    assert "Connection refused" in answer.stderr
    assert "sankofa serve" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_settings_that_cannot_be_used_are_told_before_anything_starts(command: str, tmp_path: Path) -> None:
    answer = sankofa(command, "--data-dir", str(tmp_path / "data"), SANKOFA_LEASE_SECONDS="soon", SANKOFA_PORTT="1")
    assert answer.returncode == Exit.NOT_RUNNING
    assert "SANKOFA_LEASE_SECONDS" in answer.stderr
    assert "did you mean SANKOFA_PORT?" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("key", "told"),
    [("secr\u00e9t", "character 5 is none of these"), ("secret\n1", "character 7 is a line end"), ("my key", "3 is a space")],
)
@pytest.mark.parametrize("source", ["SANKOFA_API_KEY", "--api-key", "key"])
def test_a_key_that_no_header_can_carry_is_told_without_showing_it(source: str, key: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(key if source == "key" else "sk_good")
    environment = {"SANKOFA_DATA_DIR": str(tmp_path)} | ({source: key} if source == "SANKOFA_API_KEY" else {})
    answer = sankofa("jobs", *([source, key] if source == "--api-key" else []), "--url", "http://127.0.0.1:1", **environment)
    assert answer.returncode == Exit.USAGE
    (line,) = answer.stderr.splitlines()
    assert source in line
    assert told in line
    assert not any(part in line for part in ("secr", "my key"))


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        answer = sankofa("serve", "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert answer.returncode == Exit.NOT_RUNNING
    assert f"port {port} on 127.0.0.1 is in use" in answer.stderr
    assert "1/3" not in answer.stderr


@pytest.mark.parametrize("host", ["203.0.113.5", "nonsense.invalid", "a" * 70])
@pytest.mark.parametrize("port", ["0", "8765"])
def test_a_host_that_is_not_this_machine_is_told(host: str, port: str, tmp_path: Path) -> None:
    answer = sankofa("serve", "--data-dir", str(tmp_path / "data"), "--host", host, "--port", port)
    assert answer.returncode == Exit.NOT_RUNNING
    assert "the API cannot listen on" in answer.stderr
    assert "--host names an address of this machine" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["serve", "worker", "api", "migrate"])
@pytest.mark.parametrize(
    ("variable", "value"), [("SANKOFA_DATABASE_URL", "nonsense"), ("SANKOFA_BROKER_URL", "foo://bar"), ("SANKOFA_API_KEY", "guess-me")]
)
def test_an_address_or_a_key_that_cannot_be_used_is_told(command: str, variable: str, value: str, tmp_path: Path) -> None:
    answer = sankofa(command, "--data-dir", str(tmp_path / "data"), **{variable: value})
    assert answer.returncode == Exit.NOT_RUNNING
    assert f"{variable}: expected" in answer.stderr
    assert value not in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/sankofa.db"
    answer = sankofa("migrate", "--data-dir", str(tmp_path / "data"), SANKOFA_DATABASE_URL=url)
    assert answer.returncode == Exit.NOT_RUNNING
    assert "the database cannot be opened (unable to open database file); SANKOFA_DATABASE_URL" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_file_that_is_no_database_is_told_in_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "sankofa.db").write_text("anything but a database " * 100)
    answer = sankofa(command, "--data-dir", str(tmp_path), *(["--port", "0"] if command == "serve" else []))
    assert answer.returncode == Exit.NOT_RUNNING
    told = f"sankofa: {tmp_path}/sankofa.db cannot be read as a SQLite database (file is not a database); move that file away, "
    assert answer.stderr.splitlines()[-1].startswith(told)
    assert len(answer.stderr.splitlines()) == 2  # after the step that was not done


def test_a_server_that_refuses_connections_is_waited_for_and_that_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "SANKOFA_DATABASE_URL": f"postgresql://user:secret@127.0.0.1:{port}/jobs"}
    command = [sys.executable, "-m", "sankofa", "migrate", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.terminate()
        assert process.wait(20) == Exit.INTERRUPTED
    assert "waiting for the database for up to 120 s" in said
    assert f"127.0.0.1:{port}/jobs" in said
    assert "Connection refused" in said
    assert "secret" not in said


class TestCopyTo:
    @pytest.fixture
    def installation(self, migrated_sqlite: Path, tmp_path: Path) -> Path:
        """A data folder with a database that is not in use."""
        (tmp_path / "data").mkdir()
        shutil.copyfile(migrated_sqlite, tmp_path / "data" / "sankofa.db")
        return tmp_path / "data"

    def test_copies_and_says_what(self, installation: Path, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/copy.db"
        answer = sankofa("migrate", "--data-dir", str(installation), "--copy-to", url, "--json")
        assert answer.returncode == Exit.DONE, answer.stderr
        said = json.loads(answer.stdout)
        assert said["source"] == f"sqlite:///{installation}/sankofa.db"
        assert said["target"] == url
        assert {name: count for name, count in said["rows"].items() if count} == {"installation": 1, "tenant": 1}
        assert (said["blobs"], said["blob_bytes"], said["damaged"]) == (0, 0, [])
        assert said["seconds"] > 0
        assert "copy the database" in answer.stderr
        assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600

    def test_tells_a_person_what_to_do_next(self, installation: Path, tmp_path: Path) -> None:
        answer = sankofa("migrate", "--data-dir", str(installation), "--copy-to", f"sqlite:///{tmp_path}/copy.db")
        assert (
            answer.stdout
            == f"sqlite:///{tmp_path}/copy.db holds the installation. Set SANKOFA_DATABASE_URL to it, and start the service.\n"
        )

    def test_says_why_it_did_not_and_what_to_do(self, installation: Path, tmp_path: Path) -> None:
        with sqlite3.connect(installation / "sankofa.db") as other:
            other.execute("SELECT * FROM tenant").fetchone()
            answer = sankofa("migrate", "--data-dir", str(installation), "--copy-to", f"sqlite:///{tmp_path}/copy.db", "--json")
        other.close()
        assert (answer.returncode, answer.stdout) == (Exit.NOT_RUNNING, "")
        assert f"sankofa: Another process has {installation}/sankofa.db open. Stop the service first" in answer.stderr
        assert "Traceback" not in answer.stderr

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("nonsense", "--copy-to: expected a URL that begins with"),
            ("postgresql://u:secret@127.0.0.1:1/x", "Nothing was copied: "),
            ("sqlite:////nowhere/at/all.db", "Nothing was copied: unable to open database file"),
        ],
    )
    def test_an_address_that_cannot_be_used_is_told(self, installation: Path, url: str, told: str) -> None:
        answer = sankofa("migrate", "--data-dir", str(installation), "--copy-to", url)
        assert answer.returncode == Exit.NOT_RUNNING
        assert told in answer.stderr
        assert "secret" not in answer.stderr
        assert "Traceback" not in answer.stderr

    @pytest.mark.parametrize("arguments", [["--copy-to", ""], ["--with-damaged"]])
    def test_options_that_say_nothing_are_refused(self, arguments: list[str], installation: Path) -> None:
        assert sankofa("migrate", "--data-dir", str(installation), *arguments).returncode == Exit.USAGE


@pytest.mark.parametrize("command", ["serve", "worker", "api", "migrate"])
def test_an_empty_data_folder_is_refused(command: str) -> None:
    answer = sankofa(command, "--data-dir", "")
    assert answer.returncode == Exit.USAGE
    assert "--data-dir': expected a folder, got an empty text" in answer.stderr


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = sankofa("serve", "--data-dir", str(tmp_path / "file" / "data"), "--port", "0")
    assert answer.returncode == Exit.NOT_RUNNING
    assert "the data folder cannot be used (Not a directory); --data-dir names another" in answer.stderr


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_data_folder_in_use_is_refused(command: str, tmp_path: Path) -> None:
    from sankofa.installation import Installation

    with Installation.find(data_dir=tmp_path / "data", port=0).lock():
        answer = sankofa(command, "--data-dir", str(tmp_path / "data"), *(["--port", "0"] if command == "serve" else []))
    assert answer.returncode == Exit.NOT_RUNNING
    assert f"{tmp_path / 'data'} is in use by a service that runs already (pid {os.getpid()}, http://127.0.0.1:" in answer.stderr
