"""Jobs as their users see them: created whole, listed newest first, and another tenant's is not there."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from service.store import claims, datasets, events, idempotency, jobs, metrics
from service.store.errors import IdempotencyConflict, NotFound, StoreBusy
from service.store.idempotency import Once
from service.store.job_filter import JobFilter
from service.store.metrics import Metric
from service.store.models import IdempotencyKey, Job, JobEvent, JobMetric, JobSpec
from service.store.states import Action, State

ONCE = Once("/v1/jobs", "key", "sha256:1")


def count(scene, table):
    with scene.store.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table))


def create(scene, once=ONCE, **fields):
    return jobs.create(scene.store, scene.new_job(**fields), answer=lambda detail: detail.job.id.encode(), once=once)


class TestCreate:
    def test_a_job_is_there_with_its_spec_and_its_first_event(self, scene):
        created = create(scene, spec={"network": {"layers": []}, "seed": 7}, name="digits", tags={"lesson": "1"}, priority=3)
        detail = jobs.get(scene.store, "default", created.id)
        assert created.answer == created.id.encode()
        assert detail.spec == {"network": {"layers": []}, "seed": 7}
        assert (detail.job.name, detail.job.tags, detail.job.priority) == ("digits", {"lesson": "1"}, 3)
        assert (detail.job.state, detail.job.fence, detail.job.lease_until) == ("queued", 0, None)
        assert [(event.seq, event.type, event.data) for event in scene.events(created.id)] == [(1, "state", {"state": "queued"})]

    def test_nothing_is_left_if_the_answer_cannot_be_made(self, scene):
        scene.dataset()

        def fail(detail):
            raise RuntimeError("no answer")

        with pytest.raises(RuntimeError, match="no answer"):
            jobs.create(scene.store, scene.new_job(), answer=fail, once=ONCE)
        assert [count(scene, table) for table in (Job, JobSpec, JobEvent, IdempotencyKey)] == [0, 0, 0, 0]

    def test_the_same_key_and_body_get_the_same_answer(self, scene):
        first, second = create(scene), create(scene)
        assert (second.id, second.answer, second.replayed) == (first.id, first.answer, True)
        assert count(scene, Job) == 1
        assert idempotency.earlier(scene.store, "default", ONCE) == second

    def test_the_same_key_with_another_body_is_refused(self, scene):
        create(scene)
        other = Once(ONCE.route, ONCE.key, "sha256:2")
        with pytest.raises(IdempotencyConflict, match="already used with a different body"):
            create(scene, once=other)
        with pytest.raises(IdempotencyConflict):
            idempotency.earlier(scene.store, "default", other)
        assert count(scene, Job) == 1

    @pytest.mark.parametrize("other", [Once("/v1/jobs", "other", "sha256:1"), Once("/v1/datasets", "key", "sha256:1"), None])
    def test_another_key_or_route_or_none_makes_another_job(self, scene, other):
        create(scene)
        assert not create(scene, once=other).replayed
        assert count(scene, Job) == 2

    def test_each_tenant_has_keys_of_its_own(self, scene):
        scene.tenant("other")
        create(scene)
        assert not create(scene, tenant_id="other").replayed

    def test_a_key_is_forgotten_after_its_time(self, scene):
        create(scene)
        scene.clock.step(99)
        idempotency.remove_expired(scene.store, 100)
        assert idempotency.earlier(scene.store, "default", ONCE) is not None
        scene.clock.step(2)
        idempotency.remove_expired(scene.store, 100)
        assert idempotency.earlier(scene.store, "default", ONCE) is None
        assert not create(scene).replayed

    def test_a_key_whose_time_is_over_at_this_moment_is_told_as_busy(self, scene, monkeypatch):
        """It is there when the new one is inserted, and gone when its answer is read."""
        create(scene)
        monkeypatch.setattr("sqlalchemy.orm.Session.get", lambda *_: None)
        with pytest.raises(StoreBusy, match="Send the request again"):
            create(scene)


class TestOtherTenants:
    @pytest.mark.parametrize(
        "ask",
        [jobs.get, jobs.row, lambda store, tenant, job_id: jobs.request(store, tenant, job_id, Action.CANCEL)],
        ids=["get", "row", "request"],
    )
    @pytest.mark.parametrize("whose", ["another tenant's", "nobody's"])
    def test_what_is_not_yours_is_not_there(self, scene, ask, whose):
        scene.tenant("other")
        job_id = scene.job("other") if whose == "another tenant's" else "job_none"
        with pytest.raises(NotFound, match=rf"There is no job '{job_id}'\."):
            ask(scene.store, "default", job_id)

    def test_a_list_holds_ones_own(self, scene):
        scene.tenant("other")
        mine, _ = scene.job(), scene.job("other")
        assert [detail.job.id for detail in jobs.page(scene.store, "default", limit=10)] == [mine]


class TestDatasets:
    def test_a_dataset_is_found_by_its_owner_alone(self, scene):
        scene.tenant("other")
        dataset_id = scene.dataset()
        assert datasets.get(scene.store, "default", dataset_id).name == "xor"
        with pytest.raises(NotFound, match=rf"There is no dataset '{dataset_id}'\."):
            datasets.get(scene.store, "other", dataset_id)
        assert [found.id for found in datasets.page(scene.store, "default", limit=10)] == [dataset_id]
        assert datasets.page(scene.store, "other", limit=10) == []
        assert datasets.page(scene.store, "default", limit=10, before=dataset_id) == []


class TestPage:
    def ids(self, scene, **query):
        return [detail.job.id for detail in jobs.page(scene.store, "default", **query)]

    def test_newest_first_and_every_job_once_over_all_pages(self, scene):
        made = [scene.job() for _ in range(7)]
        found, before = [], None
        while page := self.ids(scene, limit=3, before=before):
            assert len(page) <= 3
            found += page
            before = page[-1]
        assert found == sorted(made, reverse=True)

    def test_jobs_made_meanwhile_do_not_shift_the_next_page(self, scene):
        made = sorted(scene.job() for _ in range(4))
        first = self.ids(scene, limit=2)
        scene.job()
        assert first + self.ids(scene, limit=2, before=first[-1]) == made[::-1]

    def test_only_some_states_and_only_one_dataset(self, scene):
        stopped, _ = scene.job_in(State.STOPPED)
        queued = scene.job()
        assert self.ids(scene, limit=10, chosen=JobFilter([State.STOPPED])) == [stopped]
        assert self.ids(scene, limit=10, chosen=JobFilter([State.STOPPED, State.QUEUED])) == sorted([stopped, queued], reverse=True)
        assert self.ids(scene, limit=10, chosen=JobFilter(dataset_id=scene.dataset())) == sorted([stopped, queued], reverse=True)
        assert self.ids(scene, limit=10, chosen=JobFilter(dataset_id="ds_none")) == []

    def test_each_job_comes_with_its_spec_and_snapshots(self, scene):
        with_snapshot = scene.job(spec={"seed": 1})
        scene.finish_with_snapshot(scene.claim())
        without = scene.job(spec={"seed": 2})
        found = {detail.job.id: detail for detail in jobs.page(scene.store, "default", limit=10)}
        assert (found[with_snapshot].spec, [row.step for row in found[with_snapshot].snapshots]) == ({"seed": 1}, [100])
        assert (found[without].spec, list(found[without].snapshots)) == ({"seed": 2}, [])


class TestEventsAndMetrics:
    def test_events_are_read_behind_a_number_and_in_order(self, scene):
        job_id, claim = scene.job_in(State.PAUSING)
        claims.release(scene.store, claim, scene.progress(1))
        assert [event.data["state"] for event in events.after(scene.store, job_id, 0)] == ["queued", "running", "pausing", "paused"]
        assert [event.seq for event in events.after(scene.store, job_id, 2)] == [3, 4]
        assert [event.seq for event in events.after(scene.store, job_id, 1, limit=2)] == [2, 3]

    def test_metrics_are_read_beyond_a_step_and_in_order(self, scene):
        job_id = scene.job()
        claim = scene.claim()
        claims.record(scene.store, claim, scene.progress(30), [Metric(step, step // 10, {"loss": 1 / step}) for step in (30, 10, 20)])
        assert [(row.step, row.values) for row in metrics.after(scene.store, job_id)] == [(s, {"loss": 1 / s}) for s in (10, 20, 30)]
        assert [row.step for row in metrics.after(scene.store, job_id, 10, limit=1)] == [20]

    def test_a_restore_deletes_what_lies_beyond_its_checkpoint(self, scene):
        job_id = scene.job()
        claim = scene.claim()
        claims.record(scene.store, claim, scene.progress(30), [Metric(step, 0, {}) for step in (10, 20, 30)])
        claims.rewind(scene.store, claim, 20, 2)
        assert [row.step for row in metrics.after(scene.store, job_id)] == [10, 20]
        assert (scene.row(job_id).step, scene.row(job_id).epoch) == (20, 2)
        assert count(scene, JobMetric) == 2

    def test_progress_is_what_was_recorded_last_and_seconds_add_up(self, scene):
        job_id = scene.job()
        claim = scene.claim()
        for step in (10, 20):
            claims.record(scene.store, claim, scene.progress(step, seconds=1.5))
        job = scene.row(job_id)
        assert (job.step, job.epoch, job.progress, job.trained_seconds) == (20, 2, {"loss": 1 / 21}, 3.0)

    def test_an_end_without_progress_leaves_it_as_it_was(self, scene):
        job_id = scene.job()
        claim = scene.claim()
        claims.record(scene.store, claim, scene.progress(10, seconds=1.5))
        claims.finish(scene.store, claim, claims.Ending(claims.Outcome.FAILED, reason=("internal", "It broke.")))
        job = scene.row(job_id)
        assert (job.step, job.trained_seconds, job.reason_code, job.reason_message) == (10, 1.5, "internal", "It broke.")
        assert scene.events(job_id)[-1].data == {"state": "failed", "step": 10, "reason": {"code": "internal", "message": "It broke."}}

    def test_a_cancelled_job_keeps_no_snapshots(self, scene):
        job_id, claim = scene.job_in(State.CANCELLING)
        scene.finish_with_snapshot(claim)
        assert jobs.get(scene.store, "default", job_id).snapshots == []
        assert scene.row(job_id).state == "cancelled"

    def test_a_reason_is_kept_only_by_a_job_that_failed(self, scene):
        job_id, claim = scene.job_in(State.CANCELLING)
        claims.finish(scene.store, claim, claims.Ending(claims.Outcome.FAILED, reason=("internal", "It broke.")))
        assert (scene.row(job_id).state, scene.row(job_id).reason_code) == ("cancelled", None)
