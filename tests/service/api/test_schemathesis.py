"""schemathesis finds no answer that the OpenAPI document does not tell of, no fault of the server's own, and nothing open without a key."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from tests.service.api.conftest import KEY, Service, model_of

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """Where the API of `service` answers."""
    server = make_server("127.0.0.1", 0, service.app, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture
def ids(service: Service) -> dict[str, str]:
    """Things to ask for: a job with weights, its dataset and its model, folds, and a dataset, job, model and folds that may be lost."""
    job = service.job(epochs=3)
    while service.api.get(f"/v1/jobs/{job}").json["state"] != "succeeded":  # compiling may take longer than a turn
        service.work()
    spare = service.dataset({"columns": {"x": [1, 2, 3]}})
    model_of(service, job)
    model_of(service, job, "spare")
    service.api.delete("/v1/models/spare/aliases/production", headers={"If-Match": "*"})
    upload = service.api.post("/v1/uploads", json={"bytes": 1000}).json["id"]
    found = {"UPLOAD_ID": upload, "JOB_ID": job, "DATASET_ID": service.dataset(), "SPARE_DATASET_ID": spare, "SPARE_JOB_ID": service.job()}
    for name in ("CROSS_VALIDATION_ID", "SPARE_CROSS_VALIDATION_ID"):
        found[name] = service.api.post("/v1/cross_validations", json={**service.spec(), "folds": 2}).json["id"]
    return found


def run(address: str, ids: dict[str, str], *arguments: str) -> None:
    """Run schemathesis over all of the API; fail with what it says."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run", f"{address}/openapi.json"]
    environment = {**os.environ, **ids, "NO_COLOR": "1", "PYTHONWARNINGS": "default"}
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_answer_to_a_key_is_one_that_the_document_tells_of(address: str, ids: dict[str, str]) -> None:
    run(address, ids, "--header", f"Authorization: Bearer {KEY}")


def test_every_answer_to_nobody_is_one_that_the_document_tells_of(address: str, ids: dict[str, str]) -> None:
    run(address, ids, "--phases", "fuzzing", "--max-examples", "2")
