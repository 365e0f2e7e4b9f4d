"""Commands that talk to a service of scripted answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sankofa.fake_service import FakeService

Use = Callable[..., FakeService]
SPEC = {"network": {"layers": [{"type": "dense", "units": 1}]}, "target": "y", "epochs": 3}


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have commands talk to a service of these answers."""

    def with_answers(*answers: Any) -> FakeService:
        service = FakeService(*answers)
        monkeypatch.setattr("sankofa.commands.options.Client", lambda url, api_key, profile, retries: service.client())
        return service

    return with_answers


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
