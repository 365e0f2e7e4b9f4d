"""Buckets of requests: shared, filled by time, never overdrawn."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from service.store import rate_buckets
from service.store.models import RateBucket
from service.store.rate_buckets import Taken, take


def take_all(store, bucket_id, per_minute):
    tokens = 0
    while (taken := take(store, bucket_id, per_minute)).tokens:
        tokens += taken.tokens
    return tokens


def test_a_new_bucket_is_full(scene):
    assert take(scene.store, "key_1", 3) == Taken(1, 2.0)
    assert take_all(scene.store, "key_1", 3) == 2
    assert take_all(scene.store, "key_2", 3) == 3


def test_a_hundredth_is_taken_at_once(scene):
    assert take(scene.store, "key_1", 1000) == Taken(10, 990.0)
    assert take(scene.store, "key_2", 1001) == Taken(11, 990.0)


def test_it_fills_up_in_a_minute_and_no_further(scene):
    assert take_all(scene.store, "key_1", 60) == 60
    scene.clock.step(7)
    assert take_all(scene.store, "key_1", 60) == 7
    scene.clock.step(0.5)
    assert take(scene.store, "key_1", 60) == Taken(0, 0.5)
    scene.clock.step(10_000)
    assert take_all(scene.store, "key_1", 60) == 60


def test_a_clock_that_is_set_back_fills_nothing(scene):
    take_all(scene.store, "key_1", 60)
    scene.clock.step(-1000)
    assert take(scene.store, "key_1", 60).tokens == 0
    scene.clock.step(5)
    assert take_all(scene.store, "key_1", 60) == 5


def test_a_lower_limit_holds_at_once(scene):
    take(scene.store, "key_1", 1000)
    assert take_all(scene.store, "key_1", 5) == 5


def test_many_at_once_take_no_more_than_there_is(store, another_store):
    stores = [another_store() for _ in range(4)]
    started = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        taken = sum(threads.map(lambda one: take_all(one, "key_1", 40), stores))
    assert 40 <= taken <= 40 + (time.monotonic() - started) * 40 / 60


def test_full_ones_are_removed(scene):
    take_all(scene.store, "key_old", 60)
    scene.clock.step(61)
    take(scene.store, "key_new", 60)
    rate_buckets.remove_full(scene.store)
    with scene.store.read() as session:
        assert session.scalars(sa.select(RateBucket.id)).all() == ["key_new"]
