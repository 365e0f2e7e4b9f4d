"""Commands that tell of data, of jobs side by side, of what happened, and of expressions, against scripted answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from sankofa.commands import cli, run
from sankofa.commands.data import sparks
from sankofa.commands.exits import Exit
from tests.sankofa.conftest import Use
from tests.sankofa.fake_service import DATASET, Answer, FakeService, job_document, problem, sse

FINDINGS = {
    "digest": "sha256:0",
    "rows": 4,
    "findings": [
        {
            "code": "group_leakage",
            "severity": "error",
            "message": "2 speakers",
            "remedy": "split by group",
            "columns": [],
            "rows": [1],
            "count": 9,
        },
        {
            "code": "constant_column",
            "severity": "warning",
            "message": "x is 0",
            "remedy": "drop it",
            "columns": ["x"],
            "rows": [],
            "count": 0,
        },
    ],
}
NUMBERS = {"minimum": 0.0, "maximum": 3.0, "mean": 1.5, "histogram": {"edges": [0, 1, 2, 3], "counts": [1, 0, 8]}}
PROFILE = {
    "digest": "sha256:0",
    "columns": [
        {"name": "x", "dtype": "float32", "item_shape": [2], "rows": 4, "missing": 1, "distinct": 3, "numbers": NUMBERS, "values": None},
        {"name": "y", "dtype": "text", "item_shape": [], "rows": 4, "missing": 0, "distinct": 2, "numbers": None,
         "values": [{"value": "cat", "count": 3}, {"value": "dog", "count": 1}]},
    ],
}  # fmt: skip


def test_the_columns_of_a_file_are_described(use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n0,1\n")
    service = use(Answer(201, DATASET), Answer(200, PROFILE), Answer(200, PROFILE))
    assert run(["profile", str(tmp_path / "rows.csv")]) == Exit.DONE
    assert [request.path for request in service.requests] == ["/v1/datasets", "/v1/datasets/ds_1/profile"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["x", "float32", "2", "1", "3", "0", "1.5000", "3", "▁", "█"]
    assert "cat 3, dog 1" in lines[2]
    assert run(["profile", "ds_1", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == PROFILE


def test_a_histogram_is_a_letter_for_each_count() -> None:
    assert sparks([0, 1, 4, 8]) == " ▁▄█"
    assert sparks([]) == ""


def test_an_audit_tells_the_worst_first_and_what_to_do(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, FINDINGS))
    assert run(["audit", "ds_1", "--target", "y", "--group", "g", "--fraction", "0.2", "--seed", "3"]) == Exit.DONE
    assert service.requests[0].query == {"target": "y", "group": "g", "fraction": "0.2", "seed": "3"}
    assert capsys.readouterr().out == (
        "error: group_leakage: 2 speakers\n  split by group\n  rows 1, ...\nwarning: constant_column: x is 0\n  drop it\n"
    )
    use(Answer(200, FINDINGS))
    assert run(["audit", "ds_1", "--strict", "--json"]) == Exit.FAILED
    assert json.loads(capsys.readouterr().out) == FINDINGS
    use(Answer(200, {**FINDINGS, "findings": []}))
    assert run(["audit", "ds_1", "--strict"]) == Exit.DONE
    assert capsys.readouterr().out == "nothing found in 4 rows\n"


def test_a_job_is_audited_by_its_own_split(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, job_document()), Answer(200, FINDINGS))
    assert run(["audit", "job_1", "--group", "g"]) == Exit.DONE
    assert (service.requests[1].path, service.requests[1].query) == ("/v1/jobs/job_1/audit", {"group": "g"})
    assert run(["audit", "job_1", "--target", "y"]) == Exit.USAGE
    assert "--target: a job has its own" in capsys.readouterr().err


EVENTS = [
    {"seq": 1, "at": "2026-01-01T00:00:00Z", "type": "state", "data": {"state": "queued"}},
    {"seq": 2, "at": "2026-01-01T00:00:02Z", "type": "kernels_compiled", "data": {"seconds": 3.2}},
]


def test_what_happened_is_a_line_each(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, job_document()), Answer(200, {"data": EVENTS, "next_cursor": None}))
    assert run(["logs", "job_1"]) == Exit.DONE
    assert service.requests[1].path == "/v1/jobs/job_1/events"
    lines = [re.sub(r" +", " ", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["2026-01-01T00:00:00Z queued", "2026-01-01T00:00:02Z kernels compiled seconds 3.2"]
    report = {"step": 10, "epoch": 1, "loss": 0.5, "validation_loss": None, "metrics": {}, "at": "2026-01-01T00:00:01Z"}
    use(
        *[
            Answer(200, document)
            for document in (job_document(), {"data": EVENTS, "next_cursor": None}, {"data": [report], "next_cursor": None})
        ]
    )
    assert run(["logs", "job_1", "--metrics", "--json"]) == Exit.DONE
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["type"] for event in told] == ["state", "metrics", "kernels_compiled"], "by their time"


def test_what_was_reported_with_the_end_is_told_before_it(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    states = [
        {"seq": seq, "at": f"2026-01-01T00:00:0{seq}Z", "type": "state", "data": {"state": state}}
        for seq, state in enumerate(("queued", "running", "succeeded"))
    ]
    reports = [
        {"step": step, "epoch": step, "loss": 0.5, "validation_loss": None, "metrics": {}, "at": f"2026-01-01T00:00:0{at}Z"}
        for step, at in ((1, 1), (2, 2), (3, 3))
    ]
    use(*[Answer(200, document) for document in (job_document(), {"data": states}, {"data": reports})])
    assert run(["logs", "job_1", "--metrics"]) == Exit.DONE
    told = [line.split(maxsplit=1)[1].split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert told == ["queued", "running", "epoch 1", "epoch 2", "epoch 3", "succeeded"]


def test_what_happens_is_followed_until_the_end(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    stream = sse(
        ("1", "state", {"state": "queued"}),
        ("", "progress", {"fraction": 0.5}),
        ("1.10", "metrics", {"step": 10, "epoch": 1, "loss": 0.5, "validation_loss": None, "metrics": {}}),
        ("2", "state", {"state": "failed", "reason": "diverged"}),
    )
    use(Answer(200, job_document()), stream, Answer(204))
    assert run(["logs", "job_1", "-f", "--metrics"]) == Exit.DONE
    lines = [line[28:] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["queued", "epoch 1, step 10  loss 0.5000", "failed  reason diverged"]


def compared(**values: Any) -> dict[str, Any]:
    best = {"step": 90, "epoch": 9, "loss": 0.1, "validation_loss": 0.2, "metrics": {"accuracy": 0.975, "table": [[1]]}}
    jobs = [
        {"job": "job_1", "name": "one", "state": "succeeded", "trained_seconds": 1.25, "result": {"best": best, "last": None}},
        {"job": "job_2", "name": None, "state": "running", "trained_seconds": 0.5, "result": None},
    ]
    curves = [
        {"job": "job_1", "values": {"loss": [0.5, 0.1], "validation_loss": [0.6, 0.2]}},
        {"job": "job_2", "values": {"loss": [0.75], "validation_loss": [0.8], "learning_rate": [0.1]}},
    ]
    differences = [
        {"pointer": "/optimizer/learning_rate", "values": {"job_1": 0.01, "job_2": 0.1}},
        {"pointer": "/loss", "values": {"job_1": "x"}},
    ]
    return {
        "jobs": jobs,
        "curves": curves,
        "differences": differences,
        "axis": "epoch",
        "points": [1.0, 9.0],
        "more_differences": False,
        **values,
    }


def test_jobs_stand_side_by_side_with_what_differs(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, compared()))
    assert run(["compare", "job_1", "job_2"]) == Exit.DONE
    assert service.requests[0].path == "/v1/jobs/compare"
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["job", "name", "state", "loss", "validation", "accuracy", "seconds"]
    assert lines[1] == ["job_1", "one", "succeeded", "0.1000", "0.2000", "0.9750", "1.2"]
    assert lines[2] == ["job_2", "running", "0.7500", "0.8000", "0.5"]
    assert lines[4:] == [["differs", "in", "one", "job_2"], ["optimizer.learning_rate", "0.01", "0.1"], ["loss", "x"]]
    use(Answer(200, compared()))
    assert run(["compare", "job_1", "job_2", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == compared()


def test_in_a_terminal_their_curves_are_drawn(use: Use, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    use(Answer(200, compared(differences=[])))
    assert run(["compare", "job_1", "job_2"]) == Exit.DONE
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "━ one 0.2000  ╍ job_2 0.8000" in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("jobs", [["job_1"], ["job_1", "job_1"]])
def test_one_job_is_nothing_to_compare(use: Use, jobs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    use()
    assert run(["compare", *jobs]) == Exit.USAGE
    assert "expected two jobs or more" in capsys.readouterr().err


FOUND = {
    "stopped_because": "converged", "step": 120, "gradient_norm": 1e-7, "value": 0.0,
    "best": {"step": 119, "value": 0.0, "variables": {"x": 1.0, "y": 2.5}},
    "path": [{"step": 0, "value": 4.0, "variables": {}}, {"step": 120, "value": 0.0, "variables": {}}],
}  # fmt: skip


def test_an_expression_is_minimised(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, FOUND), Answer(200, FOUND))
    arguments = ["minimize", "(x - 1)**2 + y", "--start", "x=-1.5", "--start", "y=2"]
    assert run([*arguments, "--maximize", "--optimizer", "sgd", "--learning-rate", "0.1", "--steps", "50"]) == Exit.DONE
    assert service.requests[0].json == {
        "expression": "(x - 1)**2 + y",
        "start": {"x": -1.5, "y": 2.0},
        "goal": "maximize",
        "optimizer": {"type": "sgd", "learning_rate": 0.1},
        "steps": 50,
    }
    assert capsys.readouterr().out == "value 0 at x = 1, y = 2.5\n  converged after 120 steps; gradient 1.0e-07\n"
    assert run([*arguments, "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == FOUND
    assert run(["minimize", "x", "--start", "x=much"]) == Exit.USAGE
    assert "expected NAME=NUMBER" in capsys.readouterr().err


def test_every_command_is_listed_within_80_columns() -> None:
    context = cli.make_context("sankofa", ["jobs"], resilient_parsing=True)
    lines = cli.get_help(context).splitlines()
    listed = [line for line in lines if re.match(r"  [a-z][a-z-]* {2,}[A-Z]", line)]
    assert len(listed) == len(cli.commands)
    assert max(map(len, lines)) <= 80


HISTORY = {
    "claims": 2,
    "lost": 1,
    "seconds": {"queued": 1.25, "running": 1234.5},
    "data": [
        {"seq": 1, "state": "queued", "at": "2025-01-01T00:00:00.000Z", "until": "2025-01-01T00:00:01.250Z", "seconds": 1.25},
        {"seq": 2, "state": "succeeded", "at": "2025-01-01T00:20:00.000Z", "until": None, "seconds": None},
    ],
    "next_cursor": None,
}


def test_where_the_time_of_a_job_went(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(Answer(200, job_document()), Answer(200, HISTORY), Answer(200, job_document()), Answer(200, HISTORY))
    assert run(["jobs", "history", "job_1"]) == Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"2025-01-01T00:00:00.000Z  queued +1.250", lines[1].rstrip())
    assert re.fullmatch(r"2025-01-01T00:20:00.000Z  succeeded", lines[2].rstrip())
    assert lines[3:] == ["queued 1.2 s, running 1,234.5 s", "taken by workers 2 times, 1 of them lost"]
    assert run(["jobs", "history", "job_1", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == HISTORY
    use(Answer(200, job_document()), Answer(200, {**HISTORY, "claims": 1}))
    assert run(["jobs", "history", "job_1"]) == Exit.DONE
    assert "taken by workers once, 1 of them lost" in capsys.readouterr().out


def test_jobs_are_deleted_and_say_what_that_freed(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    gone = Answer(200, {"id": "job_1", "freed_bytes": 12_300})
    service = use(*[Answer(200, job_document("succeeded")), gone] * 3)
    assert run(["jobs", "delete", "job_1", "job_1"]) == Exit.DONE
    assert capsys.readouterr().out == "job_1 is gone: 12.3 kB freed\n" * 2
    assert run(["jobs", "delete", "job_1", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == {"id": "job_1", "freed_bytes": 12_300}
    assert [request.method for request in service.requests] == ["GET", "DELETE"] * 3


def test_what_cannot_be_deleted_is_told(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(Answer(200, job_document()), problem(409, "illegal_action", allowed_actions=["cancel"]))
    assert run(["jobs", "delete", "job_1"]) == Exit.REFUSED
    assert "because" in capsys.readouterr().err
    assert run(["jobs", "delete"]) == Exit.USAGE


def test_the_commands_of_jobs_are_completed_and_so_are_jobs(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    service = FakeService(Answer(200, {"data": [job_document()], "next_cursor": None}))
    monkeypatch.setattr("sankofa.commands.completion.Client", lambda **_: service.client())
    found = ShellComplete(cli, {}, "sankofa", "_SANKOFA_COMPLETE").get_completions(["jobs"], "")
    assert [item.value for item in found] == ["change", "delete", "history", "list", "job_1"]


class TestData:
    def test_a_file_is_uploaded_and_told(self, use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "rows.csv"
        path.write_text("x,y\n0,1\n")
        service = use(Answer(201, DATASET), Answer(201, DATASET))
        assert run(["data", "upload", str(path), "--name", "mine", "--missing", "allow"]) == Exit.DONE
        assert service.requests[0].query == {"name": "mine", "missing": "allow"}
        assert capsys.readouterr().out == "ds_1  xor  4 rows, 2 columns\n"
        assert run(["data", "upload", str(path), "--json"]) == Exit.DONE
        out, err = capsys.readouterr()
        assert (json.loads(out), err) == (DATASET, "")
        use(Answer(200, DATASET))
        assert run(["data", "upload", str(path), "--name", "other", "--json"]) == Exit.DONE
        assert capsys.readouterr().err == f"{path}: this content is there already, as ds_1 (xor); nothing new is stored\n"
        assert run(["data", "upload", str(tmp_path / "row.csv")]) == Exit.USAGE
        assert "did you mean" in capsys.readouterr().err

    def test_a_large_one_says_that_it_went_on_and_json_stays_clean(
        self, use: Use, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sankofa.datasets.PARTS_FROM_BYTES", 8)
        path = tmp_path / "rows.csv"
        path.write_text("x,y\n0,1\n")
        begun = Answer(200, {"id": "up_1", "bytes": 8, "received_bytes": 6, "part_bytes": 40})
        use(*[begun, Answer(204), Answer(201, DATASET)] * 2)
        assert run(["data", "upload", str(path)]) == Exit.DONE
        assert "rows: went on at 6 bytes of 8 bytes" in capsys.readouterr().err
        assert run(["data", "upload", str(path), "--json"]) == Exit.DONE
        out, err = capsys.readouterr()
        assert (json.loads(out), err) == (DATASET, "")

    def test_datasets_and_uploads_are_listed(self, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
        upload = {"id": "up_1", "bytes": 2_000_000, "received_bytes": 1_500_000, "dataset": None, "expires_at": "2025-01-02T00:00:00Z"}
        service = use(*[Answer(200, {"data": [each], "next_cursor": None}) for each in (DATASET, DATASET, upload, upload)], Answer(204))
        assert run(["data", "list", "--trash"]) == Exit.DONE
        assert service.requests[0].query == {"trash": "true"}
        assert re.search(r"ds_1 +xor +4 +2 +48 bytes", capsys.readouterr().out)
        assert run(["data", "list", "--json"]) == Exit.DONE
        assert json.loads(capsys.readouterr().out) == DATASET
        assert run(["data", "uploads"]) == Exit.DONE
        assert re.search(r"up_1 +1.5 MB +2.0 MB", capsys.readouterr().out)
        assert run(["data", "uploads", "--json"]) == Exit.DONE
        assert json.loads(capsys.readouterr().out) == upload
        assert run(["data", "uploads", "--drop", "up_1"]) == Exit.DONE
        assert (service.requests[-1].method, service.requests[-1].path) == ("DELETE", "/v1/uploads/up_1")

    def test_datasets_go_into_the_trash_and_out_of_it(self, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
        trashed = {**DATASET, "purged_after": "2025-02-01T00:00:00Z"}
        service = use(Answer(200, trashed), Answer(200, DATASET), Answer(200, {"id": "ds_1", "freed_bytes": 48}))
        for command, told in (("delete", "until 2025-02-01"), ("restore", "ds_1  xor"), ("purge", "48 bytes freed")):
            assert run(["data", command, "ds_1"]) == Exit.DONE
            assert told in capsys.readouterr().out
        asked = [(request.method, request.path) for request in service.requests]
        assert asked == [("DELETE", "/v1/datasets/ds_1"), ("POST", "/v1/datasets/ds_1/restore"), ("POST", "/v1/datasets/ds_1/purge")]
