"""Model cards: what is known of a network, as JSON and as Markdown that nothing in it can leave."""

from __future__ import annotations

import os
from typing import Any

import pytest
from markdown_it import MarkdownIt

from service.api import card_text
from service.store import workers
from tests.service.api.conftest import Service, model_of

GROUPS = {
    "name": "speakers",
    "columns": {
        "a": [float(number % 7) for number in range(40)],
        "b": [float(number % 5) for number in range(40)],
        "who": [["ann", "bob", "cyd", "dan"][number % 4] for number in range(40)],
        "kind": [["cat", "dog"][number % 7 > 3] for number in range(40)],
    },
}
ASKED: dict[str, Any] = {
    "target": "kind",
    "inputs": ["a", "b"],
    "group": "who",
    "network": {"layers": [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "dense", "units": 2}]},
    "loss": {"type": "softmax_cross_entropy"},
    "validation": {"fraction": 0.25},
    "test": {"fraction": 0.25},
    "preprocess": [{"type": "standardize"}],
    "epochs": 5,
}
NASTY = 'a|b\n# <script>alert("x")</script> [click](https://evil.example) `code` **bold** ![x](y) <b>\r\n| --- |\u202e\u2028&lt;'


def trained(service: Service, **fields: Any) -> str:
    job = service.job(**ASKED | fields, dataset=service.dataset(GROUPS))
    while not service.api.get(f"/v1/jobs/{job}").json["terminal"]:  # compiling may take longer than a turn
        service.work()
    return job


def test_a_card_tells_what_is_known_of_a_network(stored_service: Service) -> None:
    worker = workers.process(os.getpid())
    assert worker is not None
    workers.register(stored_service.store, worker, "here", {"python": "3.11", "blas": ["openblas 0.3"]})
    job = trained(stored_service, name="speakers", tags={"lesson": 1})
    card = stored_service.api.get(f"/v1/jobs/{job}/card").json
    network = card["network"]
    assert (card["title"], network["job"], network["model"]) == ("speakers", job, None)
    assert network["signature"]["classes"] == ["cat", "dog"]
    assert network["preprocessing"] == [{"type": "standardize", "columns": ["a", "b"]}]
    assert card["data"]["digest"] == stored_service.api.get(f"/v1/datasets/{card['data']['dataset']}").json["digest"]
    assert {column["name"] for column in card["data"]["columns"]} == {"a", "b", "who", "kind"}
    split = card["data"]["split"]
    assert (split["training_rows"], split["validation_rows"], split["test_rows"], split["group"]) == (20, 10, 10, "who")
    score = card["score"]
    assert score["test"]["rows"] == 10
    assert score["baseline"]["predicts"] in ("cat", "dog")
    assert {part["of"] for part in score["assessment"]["parts"]} == {"validation", "test"}
    assert score["assessment"]["parts"][0]["groups"]
    assert {each["column"] for each in score["assessment"]["influences"]} == {"a", "b"}
    assert card["limits"] == score["assessment"]["findings"]
    training = card["training"]
    assert (training["ended_because"], training["epochs"], training["seed"]) == ("all epochs were run", 5, 7)
    assert training["optimizer"]["type"] == "adam"
    assert card["environment"] == {"fingerprint": "here", "python": "3.11", "blas": ["openblas 0.3"], "dtype": "float32"}
    assert card["lineage"] == []
    assert [each.partition(":")[0] for each in card["unknown"]] == ["Intended use and licence"]


def test_a_card_of_a_version_says_what_it_is_for(stored_service: Service) -> None:
    job = trained(stored_service)
    model_of(stored_service, job)
    stored_service.api.patch("/v1/models/digits", json={"description": "For lessons.\nLicence: CC0."}, headers={"If-Match": "*"})
    card = stored_service.api.get("/v1/models/digits/card?alias=production").json
    assert (card["title"], card["network"]["version"], card["network"]["aliases"]) == ("digits, version 1", 1, ["production"])
    assert card["use"]["model_description"] == "For lessons.\nLicence: CC0."
    of_job = stored_service.api.get(f"/v1/jobs/{job}/card").json
    assert {name: card[name] for name in ("training", "data", "score", "limits")} == {
        name: of_job[name] for name in ("training", "data", "score", "limits")
    }
    text = stored_service.api.get("/v1/models/digits/card", headers={"Accept": "text/markdown"})
    assert (text.status_code, text.mimetype) == (200, "text/markdown")
    assert "> For lessons." in text.text
    for section in ("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data", "Quantitative analyses"):
        assert f"\n## {section}\n" in text.text
    again = stored_service.api.get("/v1/models/digits/card?format=markdown")
    assert again.text == text.text
    assert stored_service.api.get("/v1/models/digits/card", headers={"Accept": "image/png"}).status_code == 406


def test_a_card_reads_well() -> None:
    inputs = [{"name": f"pixel_{number}", "item_shape": []} for number in range(64)]
    assert list(card_text._inputs(inputs)) == [
        f"64 inputs, each a number: {', '.join(f'pixel_{number}' for number in range(10))}, ... pixel_63."
    ]
    assert len(list(card_text._inputs([*inputs, {"name": "word", "item_shape": None}]))) > 50
    assert list(card_text._inputs(inputs[:1]))[2] == "| pixel_0 | a number |"
    assert card_text._change(-7.40149e-17) == "0"
    assert card_text._change(None) == "-"
    assert card_text.text("dia@1") == "dia@1"
    for address in ("a@b.org", "me@1.org", "@team", "x @1"):
        assert "@" not in card_text.text(address)
    limits = [{"severity": "warning", "message": "x is 0", "remedy": "drop it"}]
    assert "- warning: x is 0; drop it." in card_text._caveats({"limits": limits, "unknown": []})


def test_what_is_not_known_is_said(service: Service) -> None:
    job = service.job(epochs=100_000)
    service.work_a_little()
    service.api.post(f"/v1/jobs/{job}/pause")
    card = service.api.get(f"/v1/jobs/{job}/card").json
    assert (card["environment"], card["limits"], card["score"]["test"], card["training"]["ended_because"]) == (None, None, None, None)
    assert len(card["unknown"]) == 4
    text = service.api.get(f"/v1/jobs/{job}/card?format=markdown").text
    assert "- Not known. The environment" in text
    waiting = service.job()
    assert service.api.get(f"/v1/jobs/{waiting}/card").status_code == 409


def test_the_card_outlives_the_data(service: Service) -> None:
    job = trained(service)
    dataset = service.api.get(f"/v1/jobs/{job}").json["dataset"]
    service.api.delete(f"/v1/datasets/{dataset}")
    assert service.api.get(f"/v1/jobs/{job}/card").json["data"]["rows"] == 40
    service.api.post(f"/v1/datasets/{dataset}/purge")
    card = service.api.get(f"/v1/jobs/{job}/card").json
    assert card["data"] is None
    assert card["score"]["assessment"] is not None
    assert any(each.startswith("The data") for each in card["unknown"])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"early_stopping": {"patience": 1, "min_delta": 10.0}, "epochs": 50}, "early_stopping"),
        ({"max_seconds": 1e-6, "epochs": 50}, "max_seconds"),
    ],
)
def test_why_a_training_ended_is_told(service: Service, fields: dict[str, Any], reason: str) -> None:
    job = trained(service, **fields)
    assert service.api.get(f"/v1/jobs/{job}/card").json["training"]["ended_because"] == reason


def test_the_lineage_goes_back_to_the_beginning(service: Service) -> None:
    first = trained(service)
    second = service.api.post("/v1/jobs", json={"parent": {"job": first}, "epochs": 2, "seed": 3}).json["id"]
    service.work()
    third = service.api.post("/v1/jobs", json={"parent": {"job": second, "preprocessing": "fitted"}, "epochs": 2}).json["id"]
    service.work()
    told = service.api.get(f"/v1/jobs/{third}/card").json["lineage"]
    assert [(each["job"], each["continues"], each["preprocessing"]) for each in told] == [
        (second, "parameters", "fitted"),
        (first, "parameters", "kept"),
    ]


def rendered(text: str) -> Any:
    """The tokens of GitHub's Markdown, with HTML let through."""
    return MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").parse(text)


def flat(tokens: Any) -> Any:
    for token in tokens:
        yield token
        yield from flat(token.children or ())


@pytest.mark.parametrize("place", ["names", "texts"])
def test_no_name_gets_out_of_its_place(service: Service, place: str) -> None:
    plain = 'a|b # <script>alert("x")</script> [click](https://evil.example) `code` **bold** ![x](y) <b> | --- | \\| _z_ ~~s~~'
    name = plain if place == "names" else "a"
    kinds = [plain if place == "texts" else "cat", "dog"]
    data = {
        "columns": {name: [float(number) for number in range(8)], "who": [f"{plain}{number % 2}" for number in range(8)], "kind": kinds * 4}
    }
    job = service.job(
        **{**ASKED, "inputs": [name], "group": "who", "validation": None, "test": None, "preprocess": []}, dataset=service.dataset(data)
    )
    service.work()
    model_of(service, job)
    service.api.patch("/v1/models/digits", json={"description": NASTY, "tags": {plain: plain}}, headers={"If-Match": "*"})
    text = service.api.get("/v1/models/digits/card?format=markdown").text
    tokens = list(flat(rendered(text)))
    kinds_seen = {token.type for token in tokens}
    assert not kinds_seen & {"html_block", "html_inline", "link_open", "image", "code_inline", "strong_open", "em_open", "fence"}
    headings = [token.map for token in tokens if token.type == "heading_open" and token.tag in ("h1", "h2")]
    assert len(headings) == 10
    widths = []
    for token in tokens:
        if token.type == "tr_open":
            widths.append(0)
        elif token.type in ("th_open", "td_open"):
            widths[-1] += 1
    assert set(widths) <= {2, 3, 4, 5, 6}
    assert any(token.content == plain for token in tokens if token.type == "text")


@pytest.mark.parametrize(
    "value", [NASTY, "- a", "1. a", "1) b", "+ c", "===", "---", "    code", "> quote", "\t", "", "\x00\x1b[31m", "http://x.y"]
)
def test_any_text_is_one_line_of_text(value: str) -> None:
    for around, said in (
        ("{}", card_text.beginning),
        ("- {}", card_text.beginning),
        ("- a: {}", card_text.text),
        ("> {}", card_text.beginning),
    ):
        tokens = [token for token in flat(rendered(around.format(said(value)))) if token.type not in ("text", "inline")]
        assert {token.type for token in tokens} <= {
            *("paragraph_open", "paragraph_close", "list_item_open", "list_item_close", "bullet_list_open", "bullet_list_close"),
            *("blockquote_open", "blockquote_close"),
        }, (around, tokens)
