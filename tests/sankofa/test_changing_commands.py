"""Commands that choose jobs by conditions, change one, or tell what was done and what will be deleted, against scripted answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sankofa.commands import run
from sankofa.commands.exits import Exit
from sankofa.commands.retention import span
from sankofa.commands.tables import counted
from tests.sankofa.conftest import Use
from tests.sankofa.fake_service import Answer, job_document

CONDITIONS = [
    *("--state", "queued", "--state", "running", "--kind", "train", "--name", "mine", "--dataset", "ds_1"),
    *("--cross-validation", "cv_1"),
    *("--tag", "lesson=1", "--tag", "kept", "--created-after", "2026-01-31T12:00:00+02:00", "--created-before", "2026-02-01T00:00:00Z"),
]


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)


def test_a_job_is_changed_and_its_other_tags_stay(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    job = job_document("queued", revision=3, tags={"lesson": 1, "draft": True})
    service = use(Answer(200, job), Answer(200, {**job, "name": "new"}))
    options = ["--name", "new", "--tag", "lesson=2", "--tag", "who=me", "--untag", "draft", "--priority", "5"]
    assert run(["jobs", "change", "job_1", *options, "--deadline", "2026-01-31T12:00:00Z"]) == Exit.DONE
    (_, change) = service.requests
    assert (change.method, change.path, change.headers["if-match"]) == ("PATCH", "/v1/jobs/job_1", '"3"')
    assert change.json == {
        "name": "new",
        "priority": 5,
        "deadline": "2026-01-31T12:00:00+00:00",
        "tags": {"lesson": 2, "who": "me"},
    }
    assert "job_1  queued" in capsys.readouterr().out


def test_what_is_not_named_of_a_job_is_not_sent(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    for options, body in (
        (["--priority", "0"], {"priority": 0}),
        (["--name", ""], {"name": None}),
        (["--deadline", "none"], {"deadline": None}),
    ):
        service = use(Answer(200, job_document(revision=1, tags={})), Answer(200, job_document(revision=2)))
        assert run(["jobs", "change", "job_1", *options, "--json"]) == Exit.DONE
        assert service.requests[1].json == body
        assert json.loads(capsys.readouterr().out)["revision"] == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["jobs", "change", "job_1"], "say what is to change: --name, --tag"),
        (["jobs", "change", "job_1", "--tag", "lesson"], "--tag: expected NAME=VALUE, got 'lesson'"),
        (["jobs", "change", "job_1", "--tag", "n=1e400"], "--tag: n: expected text or a finite number, got 1e400"),
        (["jobs", "change", "job_1", "--priority", "1000"], "1000 is not in the range"),
        (["jobs", "change", "job_1", "--deadline", "soon"], "expected a time as 2026-01-31"),
        (["jobs", "--created-after", "yesterday"], "expected a time as 2026-01-31 or 2026-01-31T12:00:00Z, got 'yesterday'"),
        (["cancel"], "no JOB, and no condition as --tag or --state"),
        (["cancel", "job_1", "--state", "queued"], "JOBs and conditions: give the one or the other"),
        (["cancel", "--state", "queued"], "there is no terminal to ask on; --yes says that all these jobs are to cancel"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_sent(
    use: Use, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service = use()
    assert run(arguments) == Exit.USAGE
    assert told in capsys.readouterr().err
    assert service.requests == []


def test_a_tag_that_a_job_has_not_cannot_be_taken_away(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(Answer(200, job_document(revision=1, tags={"a": 1})))
    assert run(["jobs", "change", "job_1", "--untag", "b"]) == Exit.USAGE
    assert "--untag: job_1 has no tag 'b'; it has a" in capsys.readouterr().err


def test_jobs_are_listed_by_every_condition(use: Use) -> None:
    service = use(Answer(200, {"data": [], "next_cursor": None}))
    assert run(["jobs", *CONDITIONS]) == Exit.DONE
    assert service.requests[0].query == {
        "state": "queued",  # of several this service keeps the first
        "kind": "train",
        "name": "mine",
        "dataset": "ds_1",
        "cross_validation": "cv_1",
        "tag": "lesson=1",
        "created_after": "2026-01-31T12:00:00+02:00",
        "created_before": "2026-02-01T00:00:00+00:00",
    }


@pytest.mark.parametrize("action", ["cancel", "stop", "pause", "resume"])
def test_jobs_are_asked_by_every_condition(use: Use, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, {"changed": ["job_1", "job_2"], "more": False}))
    assert run([action, *CONDITIONS, "--yes"]) == Exit.DONE
    assert service.requests[0].json == {
        "action": action,
        "state": ["queued", "running"],
        "kind": ["train"],
        "name": "mine",
        "dataset": "ds_1",
        "cross_validation": "cv_1",
        "tags": {"lesson": "1"},
        "tagged": ["kept"],
        "created_after": "2026-01-31T12:00:00+02:00",
        "created_before": "2026-02-01T00:00:00+00:00",
    }
    said = capsys.readouterr()
    assert (said.out, said.err) == ("job_1\njob_2\n", f"2 jobs asked to {action}\n")


@pytest.mark.parametrize("agreed", [True, False])
def test_on_a_terminal_a_person_is_told_how_many_and_asked(
    use: Use, agreed: bool, at_a_terminal: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text) or agreed)
    ended = job_document("succeeded", id="job_9", allowed_actions=[])
    jobs = [job_document(id=f"job_{number}", name="mine" if number == 1 else None) for number in range(1, 5)]
    service = use(Answer(200, {"data": [*jobs, ended], "next_cursor": None}), Answer(200, {"changed": ["job_1"], "more": False}))
    assert run(["cancel", "--tag", "a=b", "--json"]) == Exit.DONE
    assert asked == ["cancel 4 jobs (job_1 (mine), job_2, job_3, ...)?"]
    assert [request.method for request in service.requests] == (["GET", "POST"] if agreed else ["GET"])
    assert capsys.readouterr().out == ('{"id": "job_1"}\n' if agreed else "")


def test_where_no_job_is_like_that_nobody_is_asked(use: Use, at_a_terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    use(Answer(200, {"data": [job_document("succeeded", allowed_actions=[])], "next_cursor": None}))
    assert run(["pause", "--tag", "a=b"]) == Exit.DONE
    assert "no job like that can pause" in capsys.readouterr().err


ENTRY: dict[str, Any] = {
    "id": "audit_1",
    "at": "2026-01-31T12:00:00.000Z",
    "tenant": "default",
    "key": "key_1",
    "action": "job.change",
    "target": "job_1",
    "request_id": "req_1",
    "data": {"name": "new", "priority": 5},
}


def test_who_did_what_is_listed(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, {"data": [ENTRY] * 3, "next_cursor": "more"}))
    filters = ["--key", "key_1", "--action", "job.change", "--target", "job_1", "--tenant", "default", "--since", "2026-01-01T00:00:00Z"]
    assert run(["activity", *filters, "--limit", "2"]) == Exit.DONE
    assert service.requests[0].query == {
        "key": "key_1",
        "action": "job.change",
        "target": "job_1",
        "tenant": "default",
        "since": "2026-01-01T00:00:00+00:00",
    }
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].split() == ["2026-01-31T12:00:00.000Z", "key_1", "job.change", "job_1", "name", "new,", "priority", "5"]
    use(Answer(200, {"data": [ENTRY], "next_cursor": None}))
    assert run(["activity", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out) == ENTRY


RULE = {
    "what": "checkpoints",
    "after_seconds": 604800.0,
    "counted_from": "the end of their job",
    "setting": "SANKOFA_CHECKPOINT_RETENTION_SECONDS",
    "next_after": "2026-02-01T00:00:00.000Z",
}
LEAVING = {
    "what": "checkpoints",
    "id": "job_1",
    "webhook": None,
    "bytes": 3_000_000,
    "deleted_after": RULE["next_after"],
    "versions": ["a@1"],
}
RETENTION = {"rules": [RULE], "data": [LEAVING], "next_cursor": "more"}


def test_what_will_be_deleted_is_shown_with_its_rules(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    service = use(Answer(200, RETENTION))
    assert run(["retention", "--limit", "1"]) == Exit.DONE
    assert service.requests[0].query == {"limit": "1"}
    rules, things = capsys.readouterr().out.split("\n\n")
    assert "checkpoints  7 days" in rules
    for told in ("job_1", "3.0 MB", "the job stays for a@1", "and more after these; --limit shows them"):
        assert told in things
    service = use(Answer(200, RETENTION))
    assert run(["retention", "--what", "upload", "--json"]) == Exit.DONE
    assert service.requests[0].query["what"] == "upload"
    assert json.loads(capsys.readouterr().out) == RETENTION
    use(Answer(200, {**RETENTION, "data": [], "next_cursor": None}))
    assert run(["retention", "--what", "upload", "--what", "dataset"]) == Exit.DONE
    assert "no upload or dataset of yours is about to go" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "told"), [(604800, "7 days"), (86400, "1 day"), (5400, "90 minutes"), (61, "61 seconds"), (0.5, "0.5 seconds")]
)
def test_a_span_is_told_in_the_largest_unit_that_is_exact(seconds: float, told: str) -> None:
    assert span(seconds) == told


def test_one_is_told_as_one() -> None:
    assert (counted(1, "row"), counted(1797, "row"), counted(0, "column")) == ("1 row", "1,797 rows", "0 columns")
