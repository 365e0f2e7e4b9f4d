"""What is said of the kernels when a service starts: that they are compiled only where they are."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from sankofa import preparation
from sankofa.display import Steps


@pytest.mark.parametrize(
    ("lines", "title", "note"),
    [
        ([{"seconds": 0.0}], "look for compiled kernels", "they are there"),
        ([{"done": 1, "total": 2}, {"done": 2, "total": 2}, {"seconds": 0.2}], "look for compiled kernels", "they are there"),
        ([{"done": 1, "total": 2}, {"done": 2, "total": 2}, {"seconds": 12.0}], "compile the kernels, once", "2 of them"),
    ],
)
def test_compiling_is_told_only_where_something_is_compiled(
    monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]], title: str, note: str
) -> None:
    def run(part: object, on_line: Any) -> None:
        for line in ["a warning of some library", *map(json.dumps, lines)]:
            on_line("warm", line)

    monkeypatch.setattr(preparation, "run_to_end", run)
    steps = Steps(1, None)
    preparation.compile_kernels(SimpleNamespace(part=lambda *_: None), steps, only_usual=True)  # type: ignore[arg-type]
    (done,) = steps.done
    assert (done["step"], done["note"]) == (title, note)
