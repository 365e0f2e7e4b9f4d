"""Cards, imports and batch predictions by model: by the client and the command line, through the API itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from sankofa import Client, InvalidInput, InvalidRequest
from sankofa.commands.exits import Exit
from tests.sankofa.test_models import Typed, client, job, service, typed  # noqa: F401
from tests.service.api.conftest import Service

SPEC = """
network:
  layers:
    - {type: dense, units: 2}
inputs: [a, b]
target: kind
classes: [cat, dog]
optimizer: {type: adam}
epochs: 10
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    path.write_bytes(safetensors.numpy.save({"0.weight": np.eye(2, dtype=np.float32), "0.bias": np.zeros(2, np.float32)}))
    return path


def test_a_card_is_told_by_job_and_by_model(client: Client, job: str) -> None:  # noqa: F811
    client.models.create("digits", "For lessons.")
    client.models.add("digits", job)
    assert client.job(job).card()["network"]["job"] == job
    assert client.job(job).card_text().startswith("# Model card: ")
    assert client.models.card("digits@1")["use"]["model_description"] == "For lessons."
    assert "> For lessons." in client.models.card_text("digits")


def test_a_network_from_elsewhere_is_imported(client: Client, file: Path, service: Service) -> None:  # noqa: F811
    client.models.create("kinds")
    definition = {
        "network": {"layers": [{"type": "dense", "units": 2}]},
        "inputs": [{"name": "a"}, {"name": "b"}],
        "classes": ["cat", "dog"],
    }
    made = client.models.import_file("kinds", file, definition, description="From elsewhere.")
    assert (made["version"], made["imported"]["file"], made["description"]) == (1, "net.safetensors", "From elsewhere.")
    assert client.models.import_file("kinds", file.read_bytes(), definition)["version"] == 2
    assert list(client.models.predict("kinds", {"a": [1, 0], "b": [0, 1]}).labels) == ["cat", "dog"]
    with pytest.raises(InvalidRequest, match=r"0\.weight"):
        client.models.import_file("kinds", file, {**definition, "input_shape": [3]})
    with pytest.raises(InvalidInput, match="cannot be read"):
        client.models.import_file("kinds", file.with_name("none"))
    batch = client.models.predict_all("kinds@1", {"a": [1, 0, 1], "b": [0, 1, 0]}, name="tonight")
    service.work()
    assert list(batch.wait(5).predictions().labels) == ["cat", "dog", "cat"]
    child = client.fork("kinds@1", data={"a": [1, 0], "b": [0, 1], "y": ["cat", "dog"]}, epochs=1, preprocessing="kept")
    assert (child.document["parent"]["model"], child.document["parent"]["preprocessing"]) == ("kinds", "kept")


def test_the_command_line_imports_and_tells(typed: Typed, file: Path, tmp_path: Path, service: Service, job: str) -> None:  # noqa: F811
    (tmp_path / "spec.yaml").write_text(SPEC)
    typed("models", "create", "kinds")
    assert "kinds@1" in typed("models", "import", "kinds", str(file), "--network", str(tmp_path / "spec.yaml"))
    assert "a file" in typed("models", "versions", "kinds")
    assert typed("models", "card", "kinds").startswith("# Model card: kinds, version 1\n")
    assert typed("card", "kinds@1", "--json")[0]["network"]["imported"]["format"] == "safetensors"
    assert typed("card", job).startswith("# Model card: ")
    assert typed("predict", "kinds", "--inputs", '{"a": [1], "b": [0]}').startswith("cat")
    (tmp_path / "spec.json").write_text(json.dumps({"network": {"layers": []}, "preprocess": [{"type": "standardize"}]}))
    typed("models", "import", "kinds", str(file), "--network", str(tmp_path / "spec.json"), exits=Exit.USAGE)
    typed("models", "import", "kinds", str(file), exits=Exit.REFUSED)


def test_a_model_answers_for_a_whole_file(
    typed: Typed,  # noqa: F811
    service: Service,  # noqa: F811
    job: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed("models", "create", "digits")
    typed("models", "add", "digits", job)
    dataset = service.api.get(f"/v1/jobs/{job}").json["dataset"]
    monkeypatch.setattr("sankofa.commands.predict.follow", lambda made, **_: (service.work(), made.refresh())[1])
    written = typed("predict", "digits@1", "--batch", dataset)
    assert written == typed("predict", job, "--batch", dataset)
    assert len(written.splitlines()) == 5
