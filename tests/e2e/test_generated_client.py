"""A client from elsewhere: openapi-python-client makes one of /openapi.json, and the whole walk goes through it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from safetensors.numpy import load

pytestmark = pytest.mark.e2e

# It knows no media type but JSON, forms and octet streams: it is told what these are.
FILES = ("text/csv", "application/x-npz", "application/x-npy", "application/vnd.apache.parquet", "application/zip")
CONFIGURATION = "post_hooks: []\ncontent_type_overrides:\n" + "".join(f"  {kind}: application/octet-stream\n" for kind in FILES)


@pytest.fixture
def made(embedded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a module of the client that is made of a running service's document. A part that cannot be made fails here."""
    url = embedded.start().url
    (tmp_path / "config.yaml").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--url", f"{url}/openapi.json", "--meta", "none"]
    arguments = ["--output-path", str(tmp_path / "made_client"), "--config", str(tmp_path / "config.yaml"), "--fail-on-warning"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: importlib.import_module(f"made_client.{name}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what is made, not of ours
def test_a_client_made_of_the_document_walks_the_whole_way(embedded: Any, made: Callable[[str], ModuleType]) -> None:
    models = made("models")

    def call(tag: str, operation: str, *path: str, **sent: Any) -> Any:
        """What the operation answers, as the client understood it."""
        response = made(f"api.{tag}.{operation}").sync_detailed(*path, client=client, **sent)
        assert response.status_code < 300, response.content
        return response.parsed

    client = made("client").AuthenticatedClient(
        base_url=embedded.client().url, token=(embedded.data_dir / "key").read_text().strip(), timeout=60
    )
    columns = {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}
    dataset = call("datasets", "create_dataset", body=models.ColumnsBody.from_dict({"name": "xor", "columns": columns}))
    assert (dataset.rows, dataset.name) == (4, "xor")

    layers = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 1}]
    body = {"dataset": dataset.id, "target": "y", "network": {"layers": layers}, "epochs": 300, "seed": 7}
    body |= {"loss": {"type": "binary_cross_entropy"}, "optimizer": {"type": "adam", "learning_rate": 0.05}}
    job = call("jobs", "create_job", body=models.JobBody.from_dict(body), idempotency_key="once")
    assert call("jobs", "create_job", body=models.JobBody.from_dict(body), idempotency_key="once").id == job.id
    for _ in range(20):
        job = call("jobs", "get_job", job.id, prefer="wait=30")
        if job.terminal:
            break
    assert job.state == "succeeded"
    assert job.progress.metrics["accuracy"] == 1.0

    weights = load(call("weights", "get_job_weights", job.id).payload.read())
    assert weights["0.weight"].shape == (8, 2)
    asked = models.PredictBody.from_dict({"inputs": [[0, 0], [0, 1]]})
    assert call("predictions", "predict_with_job", job.id, body=asked).labels == [0, 1]

    assert call("jobs", "delete_job", job.id).freed_bytes > 0
    assert call("datasets", "purge_dataset", dataset.id).freed_bytes > 0
    assert call("datasets", "list_datasets").data == []
    assert made("api.jobs.get_job").sync_detailed(job.id, client=client).parsed.code == "not_found"
    client.get_httpx_client().close()
