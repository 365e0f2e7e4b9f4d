"""Every state x everything that can be done to a job in it: the new state, or the refusal. Written out, not derived."""

from __future__ import annotations

import dataclasses

import pytest

from service.store import checkpoints, claims, jobs, reaping
from service.store.claims import Ending, NewSnapshot
from service.store.errors import IllegalAction, LostClaim
from service.store.metrics import Metric
from service.store.states import Action, Outcome, State, allowed_actions

# A new state: the job changes to it, with one event.
# same:    allowed, and the job's state stays as it is without an event.
# noted:   as same, but for an event of another type.
# refused: IllegalAction for a request, LostClaim for a worker.
# none:    there is nothing to claim or to reap; nothing changes.
TABLE = """
action             | queued    paused    running    pausing    stopping   cancelling | succeeded failed    stopped   cancelled
------------------ | --------- --------- ---------- ---------- ---------- ---------- | --------- --------- --------- ---------
pause              | paused    same      pausing    same       refused    refused    | refused   refused   refused   refused
resume             | same      queued    same       running    refused    refused    | refused   refused   refused   refused
stop               | stopped   stopped   stopping   stopping   same       refused    | refused   refused   same      refused
cancel             | cancelled cancelled cancelling cancelling cancelling same       | refused   refused   refused   same
claim              | running   none      none       none       none       none       | none      none      none      none
look               | refused   refused   same       same       same       same       | refused   refused   refused   refused
renew              | refused   refused   same       same       same       same       | refused   refused   refused   refused
record             | refused   refused   same       same       same       same       | refused   refused   refused   refused
note               | refused   refused   noted      noted      noted      noted      | refused   refused   refused   refused
rewind             | refused   refused   same       same       same       same       | refused   refused   refused   refused
checkpoint         | refused   refused   same       same       same       same       | refused   refused   refused   refused
release            | refused   refused   queued     paused     stopped    cancelled  | refused   refused   refused   refused
finish succeeded   | refused   refused   succeeded  succeeded  succeeded  cancelled  | refused   refused   refused   refused
finish failed      | refused   refused   failed     failed     failed     cancelled  | refused   refused   refused   refused
finish stopped     | refused   refused   refused    refused    stopped    cancelled  | refused   refused   refused   refused
finish cancelled   | refused   refused   refused    refused    refused    cancelled  | refused   refused   refused   refused
reap               | none      none      queued     paused     stopped    cancelled  | none      none      none      none
reap the last time | none      none      failed     paused     stopped    cancelled  | none      none      none      none
"""

# What a worker does with a claim. `action` is the table's name for it.
WORKER_ACTIONS = {
    "look": lambda scene, claim, action: claims.look(scene.store, claim, 2),
    "renew": lambda scene, claim, action: claims.renew(scene.store, claim, 30),
    "record": lambda scene, claim, action: claims.record(scene.store, claim, scene.progress(5), METRICS),
    "note": lambda scene, claim, action: claims.note(scene.store, claim, "kernels", {"seconds": 1}),
    "rewind": lambda scene, claim, action: claims.rewind(scene.store, claim, 0, 0),
    "checkpoint": lambda scene, claim, action: checkpoints.save(scene.store, claim, 5, 0, b"state"),
    "release": lambda scene, claim, action: claims.release(scene.store, claim, scene.progress(5), METRICS),
    "finish": lambda scene, claim, action: claims.finish(scene.store, claim, ending(action.split()[1]), scene.progress(5), METRICS),
}
METRICS = [Metric(5, 0, {"loss": 0.5})]

END_STATES = {State.SUCCEEDED, State.FAILED, State.STOPPED, State.CANCELLED}


def ending(outcome):
    """That end, with a snapshot."""
    snapshot = NewSnapshot(5, 0, best=True, last=True, digest="sha256:0", bytes=5, values={"loss": 0.5}, blob_id="blob_none")
    return Ending(Outcome(outcome), [snapshot], ("internal", "It broke.") if outcome == "failed" else None)


def cells():
    """(action, state, expected) of every cell of the table."""
    head, _, *lines = TABLE.strip().splitlines()
    states = [State(name) for name in head.split("|", 1)[1].replace("|", "").split()]
    for line in lines:
        action, _, rest = line.partition("|")
        expected = rest.replace("|", "").split()
        assert len(expected) == len(states), line
        yield from ((action.strip(), state, one) for state, one in zip(states, expected, strict=True))


CELLS = list(cells())


def test_the_table_has_every_state_and_every_action():
    assert {state for _, state, _ in CELLS} == set(State)
    actions = {action for action, _, _ in CELLS}
    assert actions >= set(Action) | {f"finish {outcome}" for outcome in Outcome}
    assert len(CELLS) == len(actions) * len(State)


@pytest.mark.parametrize(("action", "state", "expected"), CELLS, ids=[f"{action.replace(' ', '-')}-{state}" for action, state, _ in CELLS])
def test_each_state_answers_each_action_as_the_table_says(scene, action, state, expected):
    job_id, claim = scene.job_in(state)
    if claim is None:  # what a worker would hold that had the job before
        claim = claims.Claim(job_id, scene.row(job_id).fence, "default", scene.dataset(), {}, 0, 0)
    before, before_events = scene.contents(), len(scene.events(job_id))

    outcome = act(scene, action, job_id, claim)

    job, events = scene.row(job_id), scene.events(job_id)
    assert [event.seq for event in events] == list(range(1, job.event_seq + 1))
    if expected == "noted":
        assert outcome == "same"
        assert job.state == state
        assert [event.type for event in events[before_events:]] == ["kernels"]
    elif expected in ("same", "refused", "none"):
        assert outcome == expected
        assert job.state == state
        assert len(events) == before_events
        if expected != "same" or action in set(Action):
            assert scene.contents() == before
    else:
        assert outcome == "changed"
        assert job.state == expected
        assert len(events) == before_events + 1
        assert events[-1].type == "state"
        assert events[-1].data["state"] == expected
    assert (job.lease_until is not None) == (job.state in {"running", "pausing", "stopping", "cancelling"})
    assert (job.finished_at is not None) == (job.state in END_STATES)
    if state in END_STATES:
        assert scene.contents() == before


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSING, State.STOPPING, State.CANCELLING])
@pytest.mark.parametrize("action", [action for action in dict.fromkeys(cell[0] for cell in CELLS) if action.split()[0] in WORKER_ACTIONS])
def test_a_stale_fence_writes_nothing_whatever_the_state(scene, action, state):
    job_id, claim = scene.job_in(state)
    before = scene.contents()

    for fence in (claim.fence - 1, claim.fence + 1):
        assert act(scene, action, job_id, dataclasses.replace(claim, fence=fence)) == "refused"

    assert scene.contents() == before


@pytest.mark.parametrize("state", State)
def test_allowed_actions_are_those_that_would_change_the_job(state):
    changing = {action for action, at, expected in CELLS if at == state and action in set(Action) and expected not in ("same", "refused")}
    assert set(allowed_actions(state)) == changing


def test_a_refused_action_names_the_state_and_what_is_possible(scene):
    job_id, _ = scene.job_in(State.STOPPING)

    with pytest.raises(IllegalAction, match=r"The job job_\w+ is stopping; it cannot be paused\. Possible now: cancel\.") as caught:
        jobs.request(scene.store, "default", job_id, Action.PAUSE)

    assert caught.value.allowed == ("cancel",)


def test_a_job_that_has_ended_says_so_in_plain_words(scene):
    job_id, _ = scene.job_in(State.SUCCEEDED)

    with pytest.raises(IllegalAction, match=r"^The job job_\w+ has succeeded; it cannot be cancelled\.$"):
        jobs.request(scene.store, "default", job_id, Action.CANCEL)


def act(scene, action, job_id, claim):
    """Do it; answer "changed", "same", "refused" or "none"."""
    state = scene.row(job_id).state
    try:
        if action in set(Action):
            return "changed" if jobs.request(scene.store, "default", job_id, Action(action)) else "same"
        if action == "claim":
            return "none" if claims.claim(scene.store, "worker_2", "cpu", 30) is None else "changed"
        if action.startswith("reap"):
            scene.clock.step(31)
            return "changed" if reaping.reap(scene.store, max_losses=1 if action == "reap the last time" else 5) else "none"
        WORKER_ACTIONS[action.split()[0]](scene, claim, action)
    except (IllegalAction, LostClaim):
        return "refused"
    return "same" if scene.row(job_id).state == state else "changed"
