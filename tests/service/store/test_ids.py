"""Identifiers sort by the time they were made, and nobody guesses them."""

from __future__ import annotations

import time

from service.store.ids import PATTERN, new_id


def test_an_id_names_its_kind_and_fits_the_pattern():
    found = new_id("job")
    assert found.startswith("job_")
    assert PATTERN.fullmatch(found)


def test_ids_sort_by_the_time_they_were_made(monkeypatch):
    made = []
    for seconds in (0.0, 1.0, 1.001, 1_700_000_000.0, 1_700_000_000.001, 2**47 / 1000):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        made.append(new_id("job"))
    assert made == sorted(made)


def test_ids_of_one_millisecond_differ(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1.0)
    assert len({new_id("job") for _ in range(1000)}) == 1000
