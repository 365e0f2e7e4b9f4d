"""Several jobs side by side."""

from __future__ import annotations

from typing import Any

from tests.service.api.conftest import Service


def layers(units: int) -> dict[str, Any]:
    return {"layers": [{"type": "dense", "units": units, "activation": "tanh"}, {"type": "dense", "units": 1}]}


def test_jobs_are_told_by_what_differs_what_came_out_and_how(stored_service: Service) -> None:
    service = stored_service
    slow = service.job(name="slow", epochs=4, batch_size=4, optimizer={"type": "sgd", "learning_rate": 0.01})
    wide = service.job(name="wide", epochs=8, batch_size=2, network=layers(3), report_every_steps=1)
    service.work()
    told = service.api.get(f"/v1/jobs/compare?job={wide}&job={slow}").json
    assert [each["name"] for each in told["jobs"]] == ["wide", "slow"]
    for each in told["jobs"]:
        assert each["result"] == service.api.get(f"/v1/jobs/{each['job']}").json["result"]
    differences = {each["pointer"]: each["values"] for each in told["differences"]}
    assert differences["/network/layers/0/units"] == {wide: 3, slow: 2}
    assert differences["/epochs"] == {wide: 8, slow: 4}
    assert differences["/optimizer/type"] == {wide: "adam", slow: "sgd"}
    assert differences["/optimizer/beta1"] == {wide: 0.9}
    assert not {"/seed", "/loss/type", "/network/layers/0/type", "/network/layers", "/optimizer"} & set(differences)
    assert told["more_differences"] is False

    reports = {job: service.api.get(f"/v1/jobs/{job}/metrics").json["data"] for job in (wide, slow)}
    assert told["points"] == [number / 2 for number in range(1, 17)], "two steps an epoch in one, one in the other"
    curves = {each["job"]: each["values"] for each in told["curves"]}
    assert curves[wide]["loss"] == [report["loss"] for report in reports[wide]]
    ends = [report["metrics"]["accuracy"] for report in reports[wide] if report["epoch_ended"]]
    assert curves[wide]["accuracy"] == [None, *(number for number in ends for _ in range(2))][:16]
    losses = [report["loss"] for report in reports[slow]]
    assert curves[slow]["loss"] == [None, *(number for number in losses for _ in range(2))][:8]
    assert "recent_loss" not in curves[slow]

    by_step = service.api.get(f"/v1/jobs/compare?job={wide}&job={slow}&axis=step&max_points=3").json
    assert (by_step["points"], by_step["axis"]) == ([1, 4, 16], "step")
    assert len(by_step["curves"][0]["values"]["loss"]) == 3
    assert by_step["curves"][1]["values"]["loss"] == [losses[0], losses[3]]


def test_given_weights_are_not_told_and_jobs_without_reports_have_no_curve(service: Service) -> None:
    network = {"layers": [{"type": "dense", "units": 1, "weight": [[0.123456789 * number for number in range(1, 101)]]}]}
    dataset = service.dataset({"columns": {"x": [[0.0] * 100, [1.0] * 100], "y": [0, 1]}})
    jobs = [service.job(dataset=dataset, **more) for more in ({"network": network}, {})]
    told = service.api.get(f"/v1/jobs/compare?job={jobs[0]}&job={jobs[1]}").json
    differences = {each["pointer"]: each["values"] for each in told["differences"]}
    assert differences["/network/layers/0/weight"] == {jobs[0]: None, jobs[1]: None}
    assert differences["/network/layers/1"][jobs[1]]["units"] == 1
    assert (told["points"], [each["values"] for each in told["curves"]]) == ([], [{}, {}])
    assert all("0.123456789" not in str(each["values"]) for each in told["differences"])


def test_only_jobs_of_ones_own_are_compared_and_at_least_two(service: Service) -> None:
    first, second = service.job(), service.job()
    other = service.caller("other", ["read"])
    assert other.get(f"/v1/jobs/compare?job={first}&job={second}").status_code == 404
    assert service.api.get(f"/v1/jobs/compare?job={first}&job=job_{'0' * 26}").status_code == 404
    assert service.api.get(f"/v1/jobs/compare?job={first}&job=nonsense").status_code == 404
    for query in ("?max_points=9", f"?job={first}", f"?job={first}&job={first}", "?" + "&".join(f"job={first}" for _ in range(21))):
        response = service.api.get(f"/v1/jobs/compare{query}")
        assert (response.status_code, response.json["code"]) == (422, "invalid_parameter"), query
