"""Limits of tenants on a running service, against many requests at once: what is refused, how it is told, and when it is free again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

import sankofa

pytestmark = pytest.mark.e2e

AT_ONCE = 20
LAYERS = [{"type": "dense", "units": 16, "activation": "tanh"}, {"type": "dense", "units": 1}]
XOR = {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}
ENDLESS = 10_000_000


class Tenant:
    """A tenant of a running service, which sends plain requests: a client would come again by itself."""

    def __init__(self, client: sankofa.Client, name: str, **quotas: int | None) -> None:
        self.name, self._operator = name, client
        client.tenants.create(name, quotas=quotas)
        self.key = client.keys.create("first", tenant=name, scopes=["read", "write", "admin"])["key"]
        headers = {"Authorization": f"Bearer {self.key}"}
        self.http = httpx2.Client(base_url=client.url, headers=headers, timeout=60, trust_env=False)
        self.dataset = self.http.post("/v1/datasets", json={"columns": XOR}).json().get("id")

    def limit(self, **quotas: int | None) -> None:
        self._operator.tenants.change(self.name, quotas=quotas)

    def post_job(self, epochs: int = ENDLESS, **fields: Any) -> httpx2.Response:
        spec = {"dataset": self.dataset, "target": "y", "network": {"layers": LAYERS}, "epochs": epochs, **fields}
        return self.http.post("/v1/jobs", json=spec)

    def use(self, quota: str) -> dict[str, Any]:
        return dict(self.http.get("/v1/usage").json()["quotas"][quota])

    def states(self) -> Counter[str]:
        return Counter(job["state"] for job in self.http.get("/v1/jobs?limit=100").json()["data"])

    def cancel(self, job_id: str) -> None:
        assert self.http.post(f"/v1/jobs/{job_id}/cancel").status_code in (200, 202)


def at_once(call: Any) -> list[httpx2.Response]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda _: call(), range(AT_ONCE)))


def told(response: httpx2.Response) -> tuple[Any, ...]:
    """How a refusal is told."""
    document = response.json()
    assert document["remedy"]
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, document["code"], document["quota"], document["limit"]


@pytest.fixture
def tenant(embedded) -> Iterator[Any]:
    """Adds tenants to a running service, whose client it has."""
    client, made = embedded.start(SANKOFA_WORKERS="2"), []

    def add(name: str, **quotas: int | None) -> Tenant:
        made.append(Tenant(client, name, **quotas))
        return made[-1]

    yield add
    for each in made:
        each.http.close()


def test_limits_hold_against_many_at_once_and_are_free_again(tenant, until) -> None:
    acme = tenant("acme", queued_jobs=5, running_jobs=0)
    answers = at_once(acme.post_job)
    assert Counter(answer.status_code for answer in answers) == {202: 5, 429: 15}
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {told(answer) for answer in refused} == {(429, "quota_exceeded", "queued_jobs", 5)}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    accepted = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert acme.use("queued_jobs") == {"limit": 5, "used": 5, "remaining": 0, "resets_at": None}
    assert acme.http.get(f"/v1/jobs/{accepted[0]}").json()["queue"]["held_by"] == "running_jobs"
    acme.cancel(accepted[0])
    assert Counter(answer.status_code for answer in at_once(acme.post_job)) == {202: 1, 429: 19}

    acme.limit(running_jobs=1)  # there are two workers
    until(lambda: acme.states()["running"] == 1, 20, acme.states)
    ends_at = time.monotonic() + 5
    while time.monotonic() < ends_at:
        assert acme.states()["running"] <= 1
    acme.limit(running_jobs=2)
    until(lambda: acme.states()["running"] == 2, 20, acme.states)
    for job in acme.http.get("/v1/jobs?limit=100").json()["data"]:
        if not job["terminal"]:
            acme.cancel(job["id"])
    until(lambda: acme.use("running_jobs")["used"] == acme.use("queued_jobs")["used"] == 0, 20)

    stored = acme.use("stored_bytes")["used"]
    acme.limit(stored_bytes=int(stored) + 3 * 64, queued_jobs=None)
    numbers = iter(range(AT_ONCE))
    uploads = at_once(lambda: acme.http.post("/v1/datasets", json={"columns": {"x": [float(next(numbers)) + 0.25]}}))
    assert Counter(answer.status_code for answer in uploads) == {201: 3, 403: 17}
    refused = [answer for answer in uploads if answer.status_code == 403]
    assert {told(answer)[:3] for answer in refused} == {(403, "quota_exceeded", "stored_bytes")}
    assert "Retry-After" not in refused[0].headers
    assert told(acme.post_job())[:3] == (403, "quota_exceeded", "stored_bytes")
    kept = next(answer.json()["id"] for answer in uploads if answer.status_code == 201)
    acme.http.delete(f"/v1/datasets/{kept}")
    assert told(acme.post_job())[2] == "stored_bytes", "what lies in the trash counts"
    assert acme.http.post(f"/v1/datasets/{kept}/purge").status_code == 200
    assert acme.post_job(epochs=1).status_code == 202
    acme.limit(stored_bytes=None)

    parameters = 2 * 16 + 16 + 16 + 1
    acme.limit(parameters=parameters - 1)
    assert {told(answer) for answer in at_once(acme.post_job)} == {(403, "quota_exceeded", "parameters", parameters - 1)}
    acme.limit(parameters=parameters)
    assert acme.post_job(epochs=1).status_code == 202


def test_requests_a_minute(tenant, until) -> None:
    acme, other = tenant("acme"), tenant("other")
    acme.limit(requests_per_minute=10)
    until(lambda: "RateLimit" in acme.http.get("/v1/usage").headers, 10)  # other processes learn of it within seconds
    answers = at_once(lambda: acme.http.get("/v1/jobs"))
    counts = Counter(answer.status_code for answer in answers)
    assert set(counts) == {200, 429}
    assert counts[200] <= 10
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert told(refused) == (429, "rate_limited", "requests_per_minute", 10)
    assert refused.headers["RateLimit-Policy"] == '"tenant";q=10;w=60'
    assert refused.headers["RateLimit"].startswith('"tenant";r=0;t=')
    wait = int(refused.headers["Retry-After"])
    assert 1 <= wait <= 7
    assert other.http.get("/v1/jobs").status_code == 200
    assert "RateLimit" not in other.http.get("/v1/jobs").headers
    time.sleep(wait)
    assert acme.http.get("/v1/jobs").status_code == 200
