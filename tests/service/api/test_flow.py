"""From a dataset to weights, on both databases."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tests.service.api.conftest import Service

STEPS = 300


@pytest.fixture
def trained(stored_service: Service) -> str:
    """A job that has learned exclusive or."""
    layers = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 1}]
    spec = {"epochs": STEPS, "batch_size": 4, "optimizer": {"type": "adam", "learning_rate": 0.1}}
    spec["metrics"] = ["accuracy", "confusion_matrix", "per_class"]
    job_id = stored_service.job(name="the xor job", network={"layers": layers}, **spec)
    stored_service.work()
    return job_id


class TestFlow:
    """What a client does from first to last."""

    def test_a_posted_job_is_queued_and_shown_with_every_default(self, stored_service: Service) -> None:
        response = stored_service.api.post("/v1/jobs", json=stored_service.spec(tags={"lesson": 3}, priority=2))
        job = response.json
        assert response.status_code == 202
        assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
        assert (job["state"], job["terminal"], job["queue"]) == ("queued", False, {"jobs_ahead": 0, "held_by": None})
        assert (job["tags"], job["priority"], job["kind"]) == ({"lesson": 3}, 2, "train")
        assert set(job["allowed_actions"]) == {"pause", "stop", "cancel"}
        assert job["progress"]["fraction"] == 0.0
        assert job["spec"]["inputs"] == ["x"]
        assert job["spec"]["optimizer"]["type"] == "adam"
        assert job["spec"]["sizes"]["parameters"] == 9
        again = stored_service.api.get(response.headers["Location"])
        assert again.get_data() == response.get_data()
        assert again.headers["ETag"] == response.headers["ETag"]

    def test_a_trained_job_shows_its_result(self, stored_service: Service, trained: str) -> None:
        job = stored_service.api.get(f"/v1/jobs/{trained}").json
        assert (job["state"], job["terminal"], job["allowed_actions"]) == ("succeeded", True, [])
        assert job["progress"]["fraction"] == 1.0
        assert job["progress"]["metrics"] == {"accuracy": 1.0}
        perfect = {"precision": [1.0], "recall": [1.0], "f1": [1.0], "support": [2]}
        assert job["progress"]["tables"] == {"confusion_matrix": [[2, 0], [0, 2]], "per_class": perfect}
        assert job["progress"]["tables"] == job["result"]["last"]["tables"]
        assert job["progress"]["learning_rate"] == 0.1
        assert job["result"]["last"]["step"] == STEPS
        assert job["result"]["best"]["loss"] <= job["result"]["last"]["loss"]
        assert job["started_at"] <= job["finished_at"]

    def test_metrics_are_listed_by_step_and_in_pages(self, stored_service: Service, trained: str) -> None:
        api, seen, cursor = stored_service.api, [], ""
        while True:
            page = api.get(f"/v1/jobs/{trained}/metrics?limit=120{cursor}").json
            seen += [report["step"] for report in page["data"]]
            assert all(report["metrics"].keys() == {"accuracy"} and report["learning_rate"] == 0.1 for report in page["data"])
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == list(range(1, STEPS + 1))
        assert [report["step"] for report in api.get(f"/v1/jobs/{trained}/metrics?after_step=298").json["data"]] == [299, 300]

    def test_weights_are_the_same_in_every_format(self, stored_service: Service, trained: str) -> None:
        api = stored_service.api
        files = {name: api.get(f"/v1/jobs/{trained}/weights?format={name}") for name in ("safetensors", "npz", "json")}
        tensors = safetensors.numpy.load(files["safetensors"].get_data())
        assert {name: tensor.shape for name, tensor in tensors.items()} == {
            "0.weight": (8, 2),
            "0.bias": (8,),
            "2.weight": (1, 8),
            "2.bias": (1,),
        }
        with np.load(io.BytesIO(files["npz"].get_data())) as arrays:
            for name, tensor in tensors.items():
                assert np.array_equal(arrays[name], tensor)
        assert files["json"].mimetype == "application/json"
        assert files["json"].json
        assert files["safetensors"].headers["Content-Disposition"] == 'attachment; filename="the-xor-job.safetensors"'

    def test_a_trained_network_answers(self, stored_service: Service, trained: str) -> None:
        predict = f"/v1/jobs/{trained}/predict"
        rows = [[0, 0], [0, 1], [1, 0], [1, 1]]
        by_name = stored_service.api.post(predict, json={"inputs": {"x": rows}}).json
        assert by_name["labels"] == [0, 1, 1, 0]
        assert [round(probability) for probability in by_name["probabilities"]] == [0, 1, 1, 0]
        assert np.shape(by_name["outputs"]) == (4, 1)
        assert stored_service.api.post(predict, json={"inputs": rows}).json == by_name

    def test_snapshots_name_the_files(self, stored_service: Service, trained: str) -> None:
        api = stored_service.api
        for snapshot in api.get(f"/v1/jobs/{trained}/snapshots").json["data"]:
            file = api.get(f"/v1/jobs/{trained}/weights?snapshot={snapshot['step']}")
            assert file.headers["ETag"].strip('"') == snapshot["digest"].removeprefix("sha256:")
            assert int(file.headers["Content-Length"]) == snapshot["bytes"] == len(file.get_data())
            assert file.headers["Sankofa-Step"] == str(snapshot["step"])

    def test_lists_come_newest_first_and_in_pages(self, stored_service: Service) -> None:
        dataset = stored_service.dataset()
        made = [stored_service.job(dataset=dataset, epochs=1) for _ in range(5)]
        api, seen, cursor = stored_service.api, [], ""
        while True:
            page = api.get(f"/v1/jobs?limit=2{cursor}").json
            assert len(page["data"]) <= 2
            seen += [job["id"] for job in page["data"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert sorted(seen, reverse=True) == seen == sorted(made, reverse=True)
        assert [ahead["queue"]["jobs_ahead"] for ahead in api.get("/v1/jobs").json["data"]] == [4, 3, 2, 1, 0]
        stored_service.api.post(f"/v1/jobs/{made[2]}/cancel")
        assert [job["id"] for job in api.get("/v1/jobs?state=cancelled&state=failed").json["data"]] == [made[2]]
        other = stored_service.dataset({"columns": {"x": [1, 2]}})
        assert api.get(f"/v1/jobs?dataset={other}").json["data"] == []

    def test_a_stored_name_is_given_back_as_it_was(self, stored_service: Service) -> None:
        for name in (
            "'; DROP TABLE job; --",
            "${jndi:ldap://x}",
            "<script>alert(1)</script>",
            "🦴 Ñandú %s {0} \\u0041",
            "../../etc/passwd",
        ):
            document: dict[str, Any] = {"name": name, "columns": {name: [1, 2], "y": [0, 1]}}
            dataset = stored_service.dataset(document)
            assert stored_service.api.get(f"/v1/datasets/{dataset}").json["name"] == name
            job = stored_service.job(dataset=dataset, name=name, tags={name: name}, epochs=1)
            shown = stored_service.api.get(f"/v1/jobs/{job}").json
            assert (shown["name"], shown["tags"], shown["spec"]["inputs"]) == (name, {name: name}, [name])

    def test_the_split_names_the_rows_never_trained_on(self, stored_service: Service) -> None:
        labels = ["door", "window"] * 30
        dataset = stored_service.dataset({"columns": {"x": list(range(60)), "y": labels}})
        network = {"layers": [{"type": "dense", "units": 2}]}
        spec = {"dataset": dataset, "network": network, "loss": None, "epochs": 1}
        job = stored_service.job(**spec, validation={"fraction": 0.2})
        split = stored_service.api.get(f"/v1/jobs/{job}/split").json
        assert split["training_rows"] == 48
        assert sorted(labels[row] for row in split["validation_rows"]) == ["door"] * 6 + ["window"] * 6
        plain = stored_service.job(**spec)
        assert stored_service.api.get(f"/v1/jobs/{plain}/split").json == {"training_rows": 60, "validation_rows": [], "test_rows": []}

    def test_a_job_is_scored_once_on_rows_that_nothing_was_chosen_by(self, stored_service: Service) -> None:
        people = [f"p{row // 5}" for row in range(60)]
        table = {"x": [row * 7 % 13 for row in range(60)], "who": people, "y": ["door", "window"] * 30}
        dataset = stored_service.dataset({"columns": table})
        network = {"layers": [{"type": "dense", "units": 2}]}
        spec = {"dataset": dataset, "network": network, "loss": None, "epochs": 3, "group": "who", "metrics": ["accuracy", "per_class"]}
        job = stored_service.job(**spec, validation={"fraction": 0.2}, test={"fraction": 0.2})
        shown = stored_service.api.get(f"/v1/jobs/{job}").json
        assert shown["spec"]["test"] == {"fraction": 0.2, "stratified": True}
        assert shown["spec"]["inputs"] == ["x"]
        split = stored_service.api.get(f"/v1/jobs/{job}/split").json
        test, validation = split["test_rows"], split["validation_rows"]
        assert len(test) == shown["spec"]["sizes"]["test_rows"] > 0
        assert not {people[row] for row in test} & {people[row] for row in range(60) if row not in test}
        assert not set(test) & set(validation)
        stored_service.work()
        result = stored_service.api.get(f"/v1/jobs/{job}").json["result"]
        inputs = {"x": [table["x"][row] for row in test]}
        answers = stored_service.api.post(f"/v1/jobs/{job}/predict", json={"inputs": inputs}).json["labels"]
        right = [answer == table["y"][row] for answer, row in zip(answers, test, strict=True)]
        assert result["test"]["metrics"]["accuracy"] == sum(right) / len(test)
        assert sum(result["test"]["tables"]["per_class"]["support"]) == result["test"]["rows"] == len(test)
        assert result["test"]["loss"] > 0
        audit = stored_service.api.get(f"/v1/jobs/{job}/audit").json["findings"]
        assert "group_leakage" not in [finding["code"] for finding in audit]

    def test_a_column_says_which_rows_are_for_what(self, stored_service: Service) -> None:
        sides = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
        dataset = stored_service.dataset({"columns": {"x": list(range(10)), "set": sides, "y": [0.5 * row for row in range(10)]}})
        network = {"layers": [{"type": "dense", "units": 1}]}
        spec = stored_service.spec(dataset=dataset, network=network, loss=None, epochs=1, split_column="set")
        assert stored_service.api.post("/v1/jobs/preflight", json=spec).json["spec"]["sizes"]["test_rows"] == 2
        job = stored_service.job(**spec)
        expected = {"training_rows": 6, "validation_rows": [6, 7], "test_rows": [8, 9]}
        assert stored_service.api.get(f"/v1/jobs/{job}/split").json == expected
        stored_service.work()
        assert stored_service.api.get(f"/v1/jobs/{job}").json["result"]["test"]["rows"] == 2
        found = stored_service.api.get(f"/v1/datasets/{dataset}/audit?target=y&split_column=set")
        assert found.status_code == 200
        assert stored_service.api.get(f"/v1/datasets/{dataset}/audit?split_column=x").status_code == 422
