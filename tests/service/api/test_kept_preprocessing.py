"""Fine-tuning keeps the preprocessing, the classes and the categories that the parameters were trained with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.api.conftest import Service, model_of

POINTS = {"name": "points", "columns": {"a": [0, 1, 2, 3], "b": [5, 5, 7, 7], "y": [0, 1, 1, 0]}}
SHIFTED = {"name": "shifted", "columns": {"a": [100, 101, 102, 104], "b": [-5, 5, 7, 8], "y": [0, 1, 1, 0]}}
STEPS = {"preprocess": [{"type": "standardize"}], "validation": None}


def ended(service: Service, data: dict[str, Any] = POINTS, **fields: Any) -> dict[str, Any]:
    """A job that has ended."""
    job = service.job(**STEPS | fields, dataset=service.dataset(data))
    while not (document := dict(service.api.get(f"/v1/jobs/{job}").json))["terminal"]:  # compiling may take longer than a turn
        service.work()
    assert document["state"] == "succeeded", document
    return document


def asked(service: Service, parent: dict[str, Any], data: dict[str, Any] = SHIFTED, **fields: Any) -> Any:
    return service.api.post("/v1/jobs", json={"parent": parent, "dataset": service.dataset(data), "epochs": 3, **fields})


def description(service: Service, path: str) -> dict[str, Any]:
    return dict(service.api.get(f"{path}/weights?format=json").json)


def fitted(service: Service, job: str) -> Any:
    return description(service, f"/v1/jobs/{job}")["preprocessing"]


def test_a_fine_tuned_network_keeps_the_means_it_was_trained_with(stored_service: Service) -> None:
    parent = ended(stored_service)
    child = asked(stored_service, {"job": parent["id"]}).json
    assert (child["parent"]["continues"], child["parent"]["preprocessing"]) == ("parameters", "kept")
    stored_service.work()
    assert stored_service.api.get(f"/v1/jobs/{child['id']}").json["state"] == "succeeded"
    assert fitted(stored_service, child["id"]) == fitted(stored_service, parent["id"])
    assert fitted(stored_service, parent["id"])[0]["columns"]["a"]["offset"] == [1.5]


def test_another_fit_may_be_asked_for(service: Service) -> None:
    parent = ended(service)
    child = asked(service, {"job": parent["id"], "preprocessing": "fitted"}).json
    assert child["parent"]["preprocessing"] == "fitted"
    service.work()
    assert fitted(service, child["id"])[0]["columns"]["a"]["offset"] == [101.75]


def test_with_other_steps_they_are_fitted_and_cannot_be_kept(service: Service) -> None:
    parent = ended(service)
    other = {"preprocess": [{"type": "min_max"}]}
    assert asked(service, {"job": parent["id"]}, **other).json["parent"]["preprocessing"] == "fitted"
    refused = asked(service, {"job": parent["id"], "preprocessing": "kept"}, **other)
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/parent/preprocessing")
    same = {"preprocess": [{"type": "standardize"}]}  # without the columns that were written in
    assert asked(service, {"job": parent["id"]}, **same).json["parent"]["preprocessing"] == "kept"


def test_a_resumed_job_keeps_them_too_and_so_does_its_own_child(stored_service: Service) -> None:
    parent = ended(stored_service)
    child = asked(stored_service, {"job": parent["id"]}, epochs=3000).json["id"]
    stored_service.work_a_little()
    stored_service.api.post(f"/v1/jobs/{child}/pause")
    stored_service.api.post(f"/v1/jobs/{child}/resume")
    stored_service.work()
    assert stored_service.api.get(f"/v1/jobs/{child}").json["slices"] > 1
    assert fitted(stored_service, child) == fitted(stored_service, parent["id"])
    further = stored_service.api.post("/v1/jobs", json={"parent": {"job": child}, "epochs": 5}).json
    assert (further["parent"]["continues"], further["parent"]["preprocessing"]) == ("exactly", "kept")
    stored_service.work()
    assert fitted(stored_service, further["id"]) == fitted(stored_service, parent["id"])
    anew = stored_service.api.post("/v1/jobs", json={"parent": {"job": child, "preprocessing": "fitted"}, "epochs": 5}).json
    assert (anew["parent"]["continues"], anew["parent"]["preprocessing"]) == ("parameters", "fitted")


def test_the_scale_of_the_target_is_kept(service: Service) -> None:
    numbers = {"columns": {"a": [0, 1, 2, 3], "y": [10.5, 20.5, 30.5, 40.5]}}
    scaled = {"preprocess_target": {"type": "standardize"}, "loss": {"type": "mean_squared_error"}}
    parent = ended(service, numbers, **scaled)
    child = asked(service, {"job": parent["id"]}, {"columns": {"a": [0, 1, 2], "y": [1000.5, 2000.5, 3000.5]}}).json
    service.work()
    ours, theirs = (description(service, f"/v1/jobs/{job}")["target_preprocessing"] for job in (child["id"], parent["id"]))
    assert ours == theirs
    assert ours["offset"] == [25.5]


class TestClassesAndCategories:
    KINDS = {"columns": {"colour": ["blue", "green", "red", "red"], "kind": ["cat", "dog", "owl", "cat"]}}  # noqa: RUF012
    FEWER = {"columns": {"colour": ["green", "red", "green"], "kind": ["dog", "owl", "dog"]}}  # noqa: RUF012
    ASKED = {  # noqa: RUF012
        "target": "kind",
        "inputs": ["colour"],
        "preprocess": [{"type": "one_hot"}],
        "loss": {"type": "softmax_cross_entropy", "class_weights": "balanced"},
        "network": {"layers": [{"type": "dense", "units": 3}]},
    }

    def test_data_with_fewer_of_them_means_what_it_meant(self, stored_service: Service) -> None:
        parent = ended(stored_service, self.KINDS, **self.ASKED, epochs=200)
        rate = {"optimizer": {"type": "sgd", "learning_rate": 1e-30}}
        loss = {"loss": {"type": "softmax_cross_entropy"}}
        child = asked(stored_service, {"job": parent["id"]}, self.FEWER, **rate, **loss).json
        assert child["spec"]["classes"] == ["cat", "dog", "owl"]
        stored_service.work()
        after = stored_service.api.get(f"/v1/jobs/{child['id']}").json
        assert after["state"] == "succeeded"
        assert after["result"]["best"]["metrics"]["accuracy"] == pytest.approx(2 / 3, abs=0.34)
        rows = {"inputs": {"colour": ["green", "blue", "red"]}}
        ours, theirs = (stored_service.api.post(f"/v1/jobs/{job}/predict", json=rows).json for job in (child["id"], parent["id"]))
        assert ours == theirs
        assert ours["labels"][:2] == ["dog", "cat"]
        told = stored_service.api.get(f"/v1/jobs/{child['id']}/assessment").json["parts"][0]["score"]["metrics"]["accuracy"]
        assert told == after["result"]["best"]["metrics"]["accuracy"]
        assert told >= 2 / 3  # green is a dog in both

    def test_a_class_that_the_parent_does_not_know_is_named(self, service: Service) -> None:
        parent = ended(service, self.KINDS, **self.ASKED)
        refused = asked(service, {"job": parent["id"]}, {"columns": {"colour": ["red", "red"], "kind": ["cat", "pig"]}})
        assert [(error["pointer"], error["code"]) for error in refused.json["errors"]] == [("/target", "other_classes")]
        assert 'tells "cat", "dog" and "owl" apart, and the target "kind" also holds "pig"' in refused.json["detail"]
        assert '"pig"' in refused.json["detail"]

    def test_a_category_that_the_parent_does_not_know_is_named(self, service: Service) -> None:
        parent = ended(service, self.KINDS, **self.ASKED)
        other = {"columns": {"colour": ["red", "pink"], "kind": ["cat", "dog"]}}
        refused = asked(service, {"job": parent["id"]}, other)
        assert [(error["pointer"], error["code"]) for error in refused.json["errors"]] == [("/inputs", "other_categories")]
        assert '"pink"' in refused.json["detail"]
        fewer = asked(service, {"job": parent["id"], "preprocessing": "fitted"}, self.FEWER)
        assert [error["code"] for error in fewer.json["errors"]] == ["other_categories"]

    def test_a_column_that_is_missing_is_named(self, service: Service) -> None:
        parent = ended(service, self.KINDS, **self.ASKED)
        refused = asked(service, {"job": parent["id"]}, {"columns": {"tint": ["red", "red"], "kind": ["cat", "dog"]}})
        assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/inputs/0")

    def test_whole_numbers_keep_their_places(self, service: Service) -> None:
        of_numbers = {"inputs": ["a"], "preprocess": [{"type": "one_hot", "columns": ["a"]}]}
        parent = ended(service, {"columns": {"a": [2, 3, 4, 5], "y": [0, 1, 1, 0]}}, **of_numbers)
        child = asked(service, {"job": parent["id"]}, {"columns": {"a": [3, 4, 3], "y": [0, 1, 1]}}).json
        service.work()
        assert fitted(service, child["id"]) == fitted(service, parent["id"])
        refused = asked(service, {"job": parent["id"]}, {"columns": {"a": [3, 9], "y": [0, 1]}})
        assert "from 2 to 5" in refused.json["detail"]

    def test_new_texts_are_new_words_to_a_bag_of_words(self, service: Service) -> None:
        words = {"inputs": ["text"], "preprocess": [{"type": "bag_of_words", "size": 8}]}
        parent = ended(service, {"columns": {"text": ["good day", "bad day"], "y": [1, 0]}}, **words)
        child = asked(service, {"job": parent["id"]}, {"columns": {"text": ["good night", "bad luck"], "y": [1, 0]}})
        assert (child.status_code, child.json["parent"]["preprocessing"]) == (202, "kept")

    def test_preflight_says_the_same(self, service: Service) -> None:
        parent = ended(service, self.KINDS, **self.ASKED)
        body = {"parent": {"job": parent["id"]}, "dataset": service.dataset(self.FEWER)}
        told = service.api.post("/v1/jobs/preflight", json=body)
        assert (told.status_code, told.json["parent"]["preprocessing"]) == (200, "kept")
        assert told.json["baseline"]["predicts"] == "dog"


class TestAVersionAsAParent:
    def test_its_parameters_are_gone_on_with(self, stored_service: Service) -> None:
        parent = ended(stored_service)
        model_of(stored_service, parent["id"])
        for named in ({"model": "digits"}, {"model": "digits", "version": 1}, {"model": "digits", "alias": "production"}):
            response = asked(stored_service, named)
            assert response.status_code == 202, response.text
            told = response.json["parent"]
            assert (told["job"], told["model"], told["version"], told["preprocessing"]) == (parent["id"], "digits", 1, "kept")
            first = description(stored_service, f"/v1/jobs/{response.json['id']}")["parameters"]
            assert first == description(stored_service, "/v1/models/digits")["parameters"]
        stored_service.work()
        assert fitted(stored_service, response.json["id"]) == fitted(stored_service, parent["id"])

    @pytest.mark.parametrize(
        ("given", "pointer"),
        [
            ({"model": "digits", "job": "job_x"}, "/parent/model"),
            ({"model": "digits", "step": "best"}, "/parent/step"),
            ({"model": "digits", "alias": "production", "version": 1}, "/parent/alias"),
            ({"job": "job_x", "version": 1}, "/parent/version"),
            ({"model": "digits", "preprocessing": "new"}, "/parent/preprocessing"),
        ],
    )
    def test_what_contradicts_itself_is_refused(self, service: Service, given: dict[str, Any], pointer: str) -> None:
        response = service.api.post("/v1/jobs", json=service.spec(parent=given))
        assert (response.status_code, [error["pointer"] for error in response.json["errors"]]) == (422, [pointer])

    def test_a_model_that_is_not_there_is_said(self, service: Service) -> None:
        for given in ({"model": "nothing"}, {"model": "No Name"}, {"model": "nothing", "alias": "9"}):
            assert service.api.post("/v1/jobs", json=service.spec(parent=given)).status_code == 404

    def test_another_tenants_model_is_not_there(self, service: Service) -> None:
        model_of(service, ended(service)["id"])
        other = service.caller("other", ["write"])
        assert other.post("/v1/jobs", json={"parent": {"model": "digits"}}).status_code == 404
