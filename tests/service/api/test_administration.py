"""Keys, tenants, use, webhooks and the audit log by the client and by the command line, against the real API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from sankofa import Busy, Client, Conflict, NotAllowed, NotFound
from sankofa.commands import run
from sankofa.commands.exits import Exit
from tests.service.api.conftest import KEY, XOR, Service

Run = Callable[..., Any]
HOOK = "https://93.184.215.14/hook"


def connect(service: Service, key: str = KEY) -> Client:
    client = Client("http://service.example", key, transport=httpx2.WSGITransport(app=service.app))
    client._connection._sleep = lambda seconds: None
    return client


@pytest.fixture
def client(service: Service) -> Client:
    return connect(service)


@pytest.fixture
def sankofa(service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line with --json; answers what it wrote, a document a line. expected: its exit code."""
    monkeypatch.setattr("sankofa.commands.options.Client", lambda url, api_key, profile, retries: connect(service, api_key or KEY))
    monkeypatch.setattr("service.api.access_log.logger.info", lambda *_, **__: None)

    def command(*arguments: str, expected: Exit = Exit.DONE, as_json: bool = True) -> Any:
        capsys.readouterr()
        assert run([*arguments, *(["--json"] if as_json else [])]) == expected, capsys.readouterr().err
        said = capsys.readouterr()
        return [json.loads(line) for line in said.out.splitlines()] if as_json else said

    return command


class TestClient:
    def test_makes_rotates_and_revokes_keys(self, service: Service, client: Client) -> None:
        made = client.keys.create("build", ["read"], expires_after_seconds=60, requests_per_minute=100)
        assert connect(service, made["key"]).usage()["key"]["id"] == made["id"]
        rotated = client.keys.rotate(made["id"], overlap_seconds=0)
        assert rotated["replaces"] == made["id"]
        with pytest.raises(NotAllowed, match="has expired") as refused:
            connect(service, made["key"]).usage()
        assert "not one of this service's" not in str(refused.value)
        client.keys.revoke(rotated["id"])
        assert client.keys.get(rotated["id"])["state"] == "revoked"
        assert [key["id"] for key in client.keys.list(state="revoked")] == [rotated["id"]]
        with pytest.raises(Conflict):
            client.keys.revoke(client.usage()["key"]["id"])
        with pytest.raises(NotFound):
            client.keys.get("key_none")

    def test_a_key_is_made_once_though_the_answer_is_asked_for_twice(self, client: Client) -> None:
        first, again = (client.keys.create("build", idempotency_key="once") for _ in range(2))
        assert (again["id"], again["key"]) == (first["id"], None)

    def test_adds_and_limits_tenants(self, service: Service, client: Client) -> None:
        client.tenants.create("acme", quotas={"queued_jobs": 0})
        theirs = connect(service, client.keys.create("first", tenant="acme")["key"])
        dataset = theirs.datasets.upload(XOR["columns"])
        with pytest.raises(Busy, match="0 jobs of tenant acme are queued or paused") as refused:
            theirs.train([{"type": "dense", "units": 1}], dataset, "y")
        assert refused.value.problem.document["quota"] == "queued_jobs"
        changed = client.tenants.change("acme", name="Acme", quotas={"queued_jobs": None, "parameters": 2})
        assert (changed["name"], changed["quotas"]["queued_jobs"], changed["quotas"]["parameters"]) == ("Acme", None, 2)
        with pytest.raises(NotAllowed, match="The network has 3 parameters; tenant acme may train networks of up to 2"):
            theirs.train([{"type": "dense", "units": 1}], dataset, "y")
        assert client.tenants.get("acme") == changed
        assert [tenant["id"] for tenant in client.tenants.list()] == ["acme", "default"]
        assert client.usage("acme")["quotas"]["stored_bytes"]["used"] > 0
        with pytest.raises(NotFound):
            theirs.usage("default")

    def test_waits_for_its_turn_when_it_sends_too_much(self, service: Service, client: Client) -> None:
        slept: list[float] = []
        made = client.keys.create("build", requests_per_minute=2)
        limited = connect(service, made["key"])
        limited._connection._sleep = slept.append
        limited.usage()
        limited.usage()
        with pytest.raises(Busy, match="2 requests a minute"):
            limited.usage()
        assert all(29 <= seconds <= 31 for seconds in slept)

    def test_makes_changes_tries_and_deletes_webhooks(self, client: Client) -> None:
        made, again = (client.webhooks.create(HOOK, ["job.failed"], tags={"lesson": 1}, idempotency_key="once") for _ in range(2))
        assert (made["secret"].startswith("whsec_"), again["secret"], again["id"]) == (True, None, made["id"])
        assert client.webhooks.change(made["id"], name="mine")["tags"] == {"lesson": 1}
        assert [one["name"] for one in client.webhooks.list()] == ["mine"]
        assert client.webhooks.rotate(made["id"], overlap_seconds=60)["secret"] != made["secret"]
        tried = client.webhooks.test(made["id"])
        assert [one["id"] for one in client.webhooks.deliveries(made["id"], state="pending")] == [tried["id"]]
        assert client.webhooks.redeliver(made["id"], tried["id"])["id"] == tried["id"]
        client.webhooks.change(made["id"], enabled=False)
        with pytest.raises(Conflict, match="is disabled"):
            client.webhooks.test(made["id"])
        client.webhooks.delete(made["id"])
        with pytest.raises(NotFound):
            client.webhooks.get(made["id"])

    def test_reads_the_log_and_what_will_be_deleted(self, service: Service, client: Client) -> None:
        client.tenants.create("acme")
        client.keys.create("first", tenant="acme")
        assert [entry["action"] for entry in client.audit(tenant="acme")] == ["key.create", "tenant.create"]
        assert client.retention()["rules"]
        uploads = [service.api.post("/v1/uploads", json={"bytes": 10}).json["id"] for _ in range(2)]
        first = client.retention(["upload"], limit=1)
        rest = client.retention(["upload"], limit=1, cursor=first["next_cursor"])
        assert [each["id"] for each in (*first["data"], *rest["data"])] == uploads
        assert client.retention(["dataset", "delivery"])["data"] == []


class TestCommands:
    def test_a_key_goes_to_stdout_and_all_else_to_stderr(self, service: Service, sankofa: Run) -> None:
        said = sankofa("keys", "create", "laptop", as_json=False)
        assert connect(service, said.out.strip()).usage()["key"]["scopes"] == ["read", "write"]
        assert "read, write of tenant default, for ever" in said.err

    def test_keys_are_made_listed_rotated_and_revoked(self, sankofa: Run) -> None:
        (made,) = sankofa("keys", "create", "ci", "--scope", "read", "--expires-after", "7d", "--requests-per-minute", "60")
        assert (made["scopes"], made["requests_per_minute"]) == (["read"], 60)
        (rotated,) = sankofa("keys", "rotate", made["id"], "--overlap", "0")
        assert rotated["replaces"] == made["id"]
        assert [key["id"] for key in sankofa("keys", "list", "--state", "expired")] == [made["id"]]
        (revoked,) = sankofa("keys", "revoke", rotated["id"])
        assert (revoked["id"], revoked["state"]) == (rotated["id"], "revoked")
        table = sankofa("keys", "list", as_json=False).out
        for shown in (made["id"], "expired", "revoked", "active", "last used"):
            assert shown in table

    def test_tenants_are_added_limited_and_listed(self, sankofa: Run) -> None:
        (made,) = sankofa("tenants", "create", "acme", "--name", "Acme Inc.", "--queued-jobs", "5", "--stored-bytes", "1000000")
        assert (made["id"], made["quotas"]["queued_jobs"], made["quotas"]["running_jobs"]) == ("acme", 5, None)
        (changed,) = sankofa("tenants", "set", "acme", "--queued-jobs", "none", "--running-jobs", "2")
        limits = {name: limit for name, limit in changed["quotas"].items() if limit is not None}
        assert (changed["name"], limits) == ("Acme Inc.", {"running_jobs": 2, "stored_bytes": 1_000_000})
        assert [tenant["id"] for tenant in sankofa("tenants", "list")] == ["acme", "default"]
        assert "1,000,000" in sankofa("tenants", "list", as_json=False).out
        assert "running jobs 3" in sankofa("tenants", "set", "acme", "--running-jobs", "3", as_json=False).out

    def test_webhooks_are_made_changed_tried_and_deleted(self, service: Service, sankofa: Run) -> None:
        said = sankofa("webhooks", "create", HOOK, "--event", "job.failed", "--tag", "lesson=1", "--tag", "who=me", as_json=False)
        assert said.out.startswith("whsec_")
        assert f"{HOOK} is told of job.failed. Its secret is shown this once" in said.err
        (webhook,) = sankofa("webhooks", "list")
        assert (webhook["events"], webhook["tags"]) == (["job.failed"], {"lesson": 1, "who": "me"})
        (changed,) = sankofa(
            "webhooks", "set", webhook["id"], "--to", f"{HOOK}s", "--name", "mine", "--event", "job.started", "--event", "job.paused"
        )
        assert (changed["url"], changed["name"], changed["events"], changed["tags"]) == (
            f"{HOOK}s",
            "mine",
            ["job.started", "job.paused"],
            webhook["tags"],
        )
        table = sankofa("webhooks", "list", as_json=False).out
        for shown in (webhook["id"], "mine", HOOK, "job.started job.paused", "lesson=1 who=me", "on"):
            assert shown in table
        assert sankofa("webhooks", "rotate", webhook["id"], "--overlap", "0", as_json=False).out.startswith("whsec_")
        (delivery,) = sankofa("webhooks", "test", webhook["id"])
        assert delivery["state"] == "pending"
        sankofa("webhooks", "set", webhook["id"], "--disable")
        (listed,) = sankofa("webhooks", "deliveries", webhook["id"], "--state", "failed")
        assert (listed["id"], listed["type"]) == (delivery["id"], "webhook.test")
        assert "is disabled" in sankofa("webhooks", "test", webhook["id"], expected=Exit.REFUSED, as_json=False).err
        sankofa("webhooks", "set", webhook["id"], "--enable")
        (again,) = sankofa("webhooks", "redeliver", webhook["id"], delivery["id"])
        assert (again["id"], again["state"]) == (delivery["id"], "pending")
        assert "webhook.test" in sankofa("webhooks", "deliveries", webhook["id"], as_json=False).out
        assert sankofa("webhooks", "delete", webhook["id"]) == [{"id": webhook["id"], "deleted": True}]
        assert sankofa("webhooks", "list") == []

    def test_use_is_shown(self, service: Service, sankofa: Run) -> None:
        service.dataset()
        (use,) = sankofa("usage")
        shown = sankofa("usage", as_json=False).out
        assert f"{use['quotas']['stored_bytes']['used']:,.0f}" in shown
        assert "tenant default" in shown

    def test_who_did_what_and_what_will_be_deleted_are_told(self, service: Service, sankofa: Run) -> None:
        job = service.job(name="first", tags={"lesson": 1})
        (changed,) = sankofa("jobs", "change", job, "--name", "second", "--tag", "who=me")
        assert (changed["name"], changed["tags"]) == ("second", {"lesson": 1, "who": "me"})
        (entry,) = sankofa("activity", "--action", "job.change", "--since", "2026-01-01")
        assert (entry["target"], entry["data"]) == (job, {"name": "second", "tags": changed["tags"]})
        assert sankofa("activity", "--until", "2026-01-01") == []
        assert sankofa("cancel", "--tag", "lesson=1", "--created-after", "2026-01-01", "--yes") == [{"id": job}]
        assert "cancelled" in sankofa("jobs", "--tag", "who", "--created-before", "2999-01-01", as_json=False).out
        (kept,) = sankofa("retention")
        assert (kept["data"], len(kept["rules"])) == ([], 7)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["keys", "create", "k", "--expires-after", "soon"], "expected a time like 90s, 30m, 12h or 7d; got 'soon'"),
            (["keys", "create", "k", "--scope", "root"], "'root' is not one of"),
            (["tenants", "set", "acme", "--queued-jobs", "-1"], "expected a whole number, or none; got '-1'"),
            (["keys", "revoke"], "Missing argument 'KEY...'"),
            (["webhooks", "create", HOOK, "--tag", "lesson"], "--tag: expected NAME=VALUE, got 'lesson'"),
            (["webhooks", "create", HOOK, "--event", "job.exploded"], "'job.exploded' is not one of"),
        ],
    )
    def test_what_cannot_be_understood_is_told(self, sankofa: Run, arguments: list[str], told: str) -> None:
        assert told in sankofa(*arguments, expected=Exit.USAGE, as_json=False).err

    def test_what_is_refused_is_told(self, sankofa: Run) -> None:
        assert "is no public address" in sankofa("webhooks", "create", "https://[::1]/", expected=Exit.REFUSED, as_json=False).err
        assert "There is no tenant 'nobody'" in sankofa("tenants", "set", "nobody", expected=Exit.REFUSED, as_json=False).err
        (made,) = sankofa("keys", "create", "reader", "--scope", "read")
        refused = sankofa("tenants", "list", "--api-key", made["key"], expected=Exit.REFUSED, as_json=False).err
        assert "This needs a key with the scope 'admin'" in refused
