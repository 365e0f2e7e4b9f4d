"""Commands that talk to a service of scripted answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sankofa.fake_service import FakeService

Use = Callable[..., FakeService]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have commands talk to a service of these answers."""

    def with_answers(*answers: Any) -> FakeService:
        service = FakeService(*answers)
        monkeypatch.setattr("sankofa.commands.options.Client", lambda url, api_key, profile, retries: service.client())
        return service

    return with_answers
