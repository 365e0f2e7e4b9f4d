"""The client against scripted answers."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from sankofa import InvalidInput, JobCancelled, JobFailed, Unreachable, WaitTimeout
from sankofa.errors import NotFound
from sankofa.trained import Prediction
from tests.sankofa.fake_service import DATASET, Answer, FakeService, Unplugged, job_document, problem, sse

CSV = b"x,y\n0,1\n1,0\n"


@pytest.mark.parametrize("form", ["path", "packed path", "bytes", "file"])
def test_a_table_is_sent_as_csv(tmp_path: Path, form: str) -> None:
    (tmp_path / "small.csv").write_bytes(CSV)
    (tmp_path / "small.csv.gz").write_bytes(gzip.compress(CSV, mtime=0))
    table: Any = {"path": str(tmp_path / "small.csv"), "packed path": tmp_path / "small.csv.gz", "bytes": CSV, "file": io.BytesIO(CSV)}[
        form
    ]
    sent = gzip.compress(CSV, mtime=0) if form == "packed path" else CSV
    service = FakeService(Unplugged(), Answer(201, DATASET))
    dataset = service.client().datasets.upload(table)
    assert [request.body for request in service.requests] == [sent, sent], "whole again when it is sent again"
    request = service.requests[1]
    assert request.headers["content-type"] == "text/csv"
    assert request.headers.get("transfer-encoding") is None
    assert request.query == ({"name": "small"} if "path" in form else {})
    assert (dataset.id, dataset.rows, dataset.column_names) == ("ds_1", 4, ["x", "y"])


def test_columns_are_sent_as_json() -> None:
    service = FakeService(Answer(201, DATASET))
    service.client().datasets.upload({"x": np.array([[0, 1], [1, 1]], "float32").T, "y": ["a", "b"]}, name="xor")
    assert service.requests[0].json == {"name": "xor", "columns": {"x": [[0.0, 1.0], [1.0, 1.0]], "y": ["a", "b"]}}


def test_missing_numbers_are_allowed_where_the_user_says_so() -> None:
    service = FakeService(Answer(201, DATASET), Answer(201, DATASET))
    service.client().datasets.upload({"x": [1, None]}, missing="allow")
    service.client().datasets.upload(CSV, missing="allow")
    assert [request.query for request in service.requests] == [{"missing": "allow"}] * 2
    assert service.requests[0].json["columns"] == {"x": [1, None]}


@pytest.mark.parametrize(
    "values", [[0.0, float("nan")], np.array([np.inf]), [object()], "text", 3, np.array(["a", None], object), [{1, 2}]]
)
def test_a_column_that_json_cannot_carry_is_named(values: Any) -> None:
    if isinstance(values, np.ndarray) and values.dtype == object:
        values = np.array([b"bytes"], object)
    with pytest.raises(InvalidInput, match=r"column 'x'(, row [12])?: expected"):
        FakeService().client().datasets.upload({"x": values})


@pytest.mark.parametrize(("table", "message"), [("nowhere.csv", "nothing there"), (io.StringIO("x\n1\n"), "binary mode")])
def test_a_table_that_cannot_be_read_is_named(table: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        FakeService().client().datasets.upload(table)


def test_train_uploads_and_queues_what_it_was_told_and_nothing_else() -> None:
    service = FakeService(Answer(201, DATASET), Answer(202, job_document("queued")))
    job = service.client().train([{"type": "dense", "units": 1}], {"x": [0, 1], "y": [1, 0]}, "y", epochs=3, validation=None)
    assert service.requests[1].json == {
        "dataset": "ds_1",
        "target": "y",
        "network": {"layers": [{"type": "dense", "units": 1}]},
        "epochs": 3,
        "validation": None,
    }
    assert (job.id, job.state, job.terminal) == ("job_1", "queued", False)


def test_train_takes_the_id_of_a_dataset() -> None:
    service = FakeService(Answer(202, job_document("queued")))
    service.client().train({"layers": []}, "ds_7", "y")
    assert service.requests[0].json["dataset"] == "ds_7"


def test_wait_hangs_on_the_change_of_the_job() -> None:
    seen = []
    service = FakeService(
        Answer(200, job_document("queued"), {"etag": '"1"'}),
        Answer(304),
        Answer(200, job_document("running"), {"etag": '"2"'}),
        Answer(200, job_document("succeeded"), {"etag": '"3"'}),
    )
    job = service.client().job("job_1").wait(on_change=lambda job: seen.append(job.state))
    assert job.state == "succeeded"
    assert seen == ["queued", "running", "succeeded"]
    assert [request.headers.get("if-none-match") for request in service.requests] == [None, '"1"', '"1"', '"2"']
    assert service.requests[1].headers["prefer"] == "wait=30"


@pytest.mark.parametrize(("state", "error"), [("failed", JobFailed), ("cancelled", JobCancelled)])
def test_a_job_that_ended_badly_raises_unless_told_not_to(state: str, error: type[Exception]) -> None:
    document = job_document(state, reason={"code": "diverged", "message": "the loss is not finite"})
    with pytest.raises(error, match=rf"job_1 {state} \(diverged: the loss is not finite\)"):
        FakeService(Answer(200, document)).client().job("job_1").wait()
    assert FakeService(Answer(200, document)).client().job("job_1").wait(check=False).state == state


def test_a_stopped_job_is_a_success() -> None:
    assert FakeService(Answer(200, job_document("stopped"))).client().job("job_1").wait().state == "stopped"


def test_wait_ends_with_its_time() -> None:
    service = FakeService(*[Answer(200, job_document(), {"etag": '"1"'})] * 100)
    with pytest.raises(WaitTimeout, match=r"job_1 is running after 0\.2 s, at 50%"):
        service.client().job("job_1").wait(0.2)
    assert len(service.requests) < 10, "a service that answers at once is not asked over and over"


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "stop"])
def test_requests_of_a_job(action: str) -> None:
    service = FakeService(Answer(200, job_document()), Answer(202, job_document("pausing")))
    job = service.client().job("job_1")
    assert getattr(job, action)() is job
    assert job.state == "pausing"
    assert (service.requests[1].method, service.requests[1].path) == ("POST", f"/v1/jobs/job_1/{action}")


def test_jobs_come_page_by_page() -> None:
    service = FakeService(
        Answer(200, {"data": [job_document(id="a"), job_document(id="b")], "next_cursor": "c2"}),
        Answer(200, {"data": [job_document(id="c")], "next_cursor": None}),
    )
    assert [job.id for job in service.client().jobs(state="running")] == ["a", "b", "c"]
    assert [request.query for request in service.requests] == [{"state": "running"}, {"state": "running", "cursor": "c2"}]


def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    service = FakeService(problem(404))
    with pytest.raises(Exception, match="No"):
        service.client().job("../datasets/ds_1?x=1")
    assert service.requests[0].path == "/v1/jobs/../datasets/ds_1?x=1", "one segment, unquoted by the server"
    assert service.requests[0].query == {}


def test_weights_are_arrays() -> None:
    data = safetensors.numpy.save({"0.weight": np.eye(2, dtype="float32")})
    service = FakeService(Answer(200, job_document()), Answer(200, data, {"content-type": "application/octet-stream"}))
    weights = service.client().job("job_1").weights("last")
    np.testing.assert_array_equal(weights["0.weight"], np.eye(2))
    assert service.requests[1].query == {"format": "safetensors", "snapshot": "last"}


def test_a_download_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def torn() -> Any:
        yield b"half"
        raise OSError(28, "No space left on device")

    job = job_document()
    service = FakeService(Answer(200, job), Answer(200, iter([b"who", b"le"])), Answer(200, torn()))
    client_job = service.client().job("job_1")
    assert client_job.download(tmp_path / "w.npz").read_bytes() == b"whole"
    assert service.requests[1].query["format"] == "npz"
    with pytest.raises(InvalidInput, match="No space left"):
        client_job.download(tmp_path / "w.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]
    assert (tmp_path / "w.npz").read_bytes() == b"whole"


def test_a_download_needs_a_format() -> None:
    service = FakeService(Answer(200, job_document()))
    with pytest.raises(InvalidInput, match=r"ends in \.safetensors, \.npz, \.json"):
        service.client().job("job_1").download("weights.h5")


def test_predict_takes_columns_or_rows() -> None:
    answer = {"outputs": [[1.0, 2.0]], "probabilities": [[0.25, 0.75]], "labels": ["no"]}
    service = FakeService(Answer(200, job_document()), Answer(200, answer), Answer(200, {"outputs": [[1.0]]}))
    job = service.client().job("job_1")
    prediction = job.predict({"x": np.zeros((1, 2))})
    assert prediction.outputs.shape == (1, 2)
    assert prediction.probabilities is not None
    assert prediction.labels is not None
    assert prediction.labels.tolist() == ["no"]
    assert service.requests[1].json == {"inputs": {"x": [[0.0, 0.0]]}}
    prediction = job.predict(np.zeros((1, 2)))
    assert prediction.probabilities is None
    assert prediction.labels is None
    assert service.requests[2].json == {"inputs": [[0.0, 0.0]]}


ANSWERED = {"outputs": [[1.0], [2.0], [3.0], [4.0]]}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_predict_takes_the_columns_of_a_frame_that_the_network_reads(library: str) -> None:
    frames = pytest.importorskip(library, reason=f"no {library}")
    frame = frames.DataFrame({"y": [1, 2], "colour": ["red", None], "size": [0.5, float("nan")]})
    service = FakeService(Answer(200, job_document(spec={"inputs": ["size", "colour"]})), Answer(200, ANSWERED))
    job = service.client().job("job_1")
    job.predict(frame)
    assert service.requests[1].json == {"inputs": {"size": [0.5, None], "colour": ["red", None]}}
    with pytest.raises(InvalidInput, match="the frame lacks 'size', which the network reads; it has 'y', 'colour'"):
        job.predict(frame[["y", "colour"]])
    version = {"version": 3, "signature": {"inputs": [{"name": "size"}]}}
    service.answers += [Answer(200, {"version": 3}), Answer(200, version), Answer(200, ANSWERED)]
    service.client().models.predict("digits@production", frame)
    assert service.requests[-1].json == {"inputs": {"size": [0.5, None]}}
    assert service.requests[-1].query == {"alias": "production"}


@pytest.mark.parametrize("form", ["text", "path", "bytes", "file"])
def test_predict_sends_a_file_and_the_id_of_a_dataset_as_they_are(tmp_path: Path, form: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(CSV)
    service = FakeService(Answer(200, job_document()), Answer(200, ANSWERED), Answer(200, ANSWERED))
    job = service.client().job("job_1")
    job.predict({"text": str(path), "path": path, "bytes": CSV, "file": io.BytesIO(CSV)}[form])
    assert (service.requests[1].body, service.requests[1].headers["content-type"]) == (CSV, "application/octet-stream")
    job.predict("ds_7")
    assert service.requests[2].json == {"dataset": "ds_7"}
    with pytest.raises(InvalidInput, match=r"nowhere.csv: expected a file of rows, or the id of a dataset"):
        job.predict("nowhere.csv")


def test_a_prediction_shows_its_first_rows() -> None:
    outputs = np.arange(8.0).reshape(4, 2)
    assert repr(Prediction(outputs, None, None)) == "<Prediction of 4 rows: outputs [0.0, 1.0], [2.0, 3.0], [4.0, 5.0], ...>"
    named = Prediction(outputs[:2], outputs[:2], np.array(["no", "yes"]), ["no", "yes"])
    assert repr(named) == "<Prediction of 2 rows: labels of 2 classes no, yes>"


def test_a_batch_prediction_is_a_job_whose_answers_are_arrays() -> None:
    packed = io.BytesIO()
    np.savez(
        packed,
        outputs=np.ones((2, 3)),
        probabilities=np.full((2, 3), 1 / 3),
        labels=np.array(["a", "b"]),
        classes=np.array(["a", "b", "c"]),
    )
    made = {**job_document("succeeded", id="job_2"), "kind": "predict"}
    service = FakeService(Answer(200, job_document()), Answer(202, made), Answer(200, packed.getvalue()))
    job = service.client().job("job_1").predict_all("ds_1", name="tonight")
    assert (job.id, job.kind) == ("job_2", "predict")
    assert service.requests[1].json == {"dataset": "ds_1", "snapshot": "best", "name": "tonight"}
    found = job.predictions()
    assert found.labels is not None
    assert (found.outputs.shape, found.labels.tolist(), found.classes) == ((2, 3), ["a", "b"], ["a", "b", "c"])


def test_evaluate_sends_network_and_inputs() -> None:
    service = FakeService(Answer(200, {"outputs": [[1.0]], "layers": []}))
    layer = {"type": "dense", "units": 1, "activation": "step", "weight": [[1, 4, 3]], "threshold": [6]}
    assert service.client().evaluate([layer], np.array([[0, 1, 1]]))["outputs"] == [[1.0]]
    assert service.requests[0].json == {"network": {"layers": [layer]}, "inputs": [[0, 1, 1]]}


def test_events_go_on_where_the_stream_broke() -> None:
    service = FakeService(
        Answer(200, job_document()),
        sse(("1", "state", {"state": "queued"}), ("", "progress", {"step": 0}), ("2", "state", {"state": "running"}), broken=True),
        sse(("2.50", "metrics", {"loss": 0.5}), ("", "progress", {"step": 50})),
        problem(503),
        sse(("3.50", "state", {"state": "succeeded"})),
        Answer(204),
    )
    events = list(service.client().job("job_1").events())
    assert [(event.id, event.type, event.data) for event in events] == [
        ("1", "state", {"state": "queued"}),
        ("1", "progress", {"step": 0}),
        ("2", "state", {"state": "running"}),
        ("2.50", "metrics", {"loss": 0.5}),
        ("2.50", "progress", {"step": 50}),
        ("3.50", "state", {"state": "succeeded"}),
    ]
    assert events[0].at == "2025-01-01T00:00:00Z"
    streams = service.requests[1:]
    assert [request.headers.get("last-event-id") for request in streams] == [None, "2", "2.50", "2.50", "3.50"]
    assert {(request.path, request.headers["accept"]) for request in streams} == {("/v1/jobs/job_1/events", "text/event-stream")}


def test_events_can_be_taken_up_later() -> None:
    service = FakeService(Answer(200, job_document("succeeded")), Answer(204))
    assert list(service.client().job("job_1").events(after="7.100")) == []
    assert service.requests[1].headers["last-event-id"] == "7.100"


def test_a_stream_that_never_works_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sankofa.events.time.sleep", lambda seconds: None)
    service = FakeService(Answer(200, job_document()), *[sse() for _ in range(9)])
    with pytest.raises(Unreachable, match="the events of job job_1: the stream was closed, 9 times in a row without news"):
        list(service.client().job("job_1").events())


def test_the_events_of_a_job_that_is_not_there_are_refused() -> None:
    service = FakeService(Answer(200, job_document()), problem(404))
    with pytest.raises(NotFound):
        list(service.client().job("job_1").events())


def test_a_job_is_changed_as_it_is_known() -> None:
    service = FakeService(Answer(200, job_document(revision=3)), Answer(200, job_document(revision=4, priority=5)))
    job = service.client().job("job_1").change(priority=5)
    assert (service.requests[1].method, service.requests[1].json) == ("PATCH", {"priority": 5})
    assert service.requests[1].headers["if-match"] == '"3"'
    assert job.document["revision"] == 4


def test_many_jobs_are_asked_until_there_are_no_more() -> None:
    service = FakeService(Answer(200, {"changed": ["job_1"], "more": True}), Answer(200, {"changed": ["job_2"], "more": False}))
    assert service.client().request_all("cancel", tags={"lesson": 1}) == ["job_1", "job_2"]
    assert [request.json for request in service.requests] == [{"action": "cancel", "tags": {"lesson": 1}}] * 2


def test_jobs_are_looked_for_by_their_tags() -> None:
    service = FakeService(Answer(200, {"data": [job_document()], "next_cursor": None}))
    (job,) = service.client().jobs("running", name="mine", tags={"lesson": True})
    assert job.id == "job_1"
    assert service.requests[0].query == {"state": "running", "name": "mine", "tag": "lesson=true"}


def test_an_expression_is_sent_as_it_is() -> None:
    service = FakeService(Answer(200, {"value": 0.0}))
    assert service.client().minimize("x**2", {"x": 3.0}, steps=5) == {"value": 0.0}
    assert (service.requests[0].path, service.requests[0].json) == ("/v1/minimize", {"expression": "x**2", "start": {"x": 3.0}, "steps": 5})
