"""/v1/networks/evaluate: a network with given weights, looked at layer by layer. Nothing is trained, nothing is stored."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.evaluate import evaluate
from nncore.network import NetworkSpec
from service.api.answers import answer
from service.api.authentication import needs
from service.api.examples import NETWORKS
from service.api.openapi import blueprint, json_answer, json_body, refusals

resource = blueprint("networks", "Networks with given weights.", "/v1/networks")


class EvaluateBody(BaseModel):
    """A network and what goes into it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    network: NetworkSpec
    inputs: list[Any] = Field(description="Rows, each a list of numbers.")


class LayerDocument(BaseModel):
    """What happens in a layer, for every row."""

    model_config = ConfigDict(extra="forbid", title="EvaluatedLayer")

    weighted_sums: list[Any] | None = Field(None, description="W x, before the bias or threshold.")
    pre_activations: list[Any] | None = Field(None, description="With the bias, or without the threshold: what the activation takes.")
    activations: list[Any] = Field(description="What the layer gives.")
    contributions: list[Any] | None = Field(None, description="Weight times input for every neuron; of the first layer.")


class Evaluation(BaseModel):
    """What a network computes."""

    model_config = ConfigDict(extra="forbid")

    outputs: list[Any]
    layers: list[LayerDocument]


@resource.post(
    "/evaluate",
    request_body=json_body(EvaluateBody, NETWORKS),
    responses={
        200: json_answer(Evaluation, "The outputs, and what happens in every layer."),
        **refusals(
            _400="The body is not JSON.", _413="The body is larger than the server takes.", _415="The body is not application/json."
        ),
    },
)
@needs("read")
def evaluate_network(body: EvaluateBody) -> Response:
    """Ask a network with given weights.

    Computed in float64. The step activation is Heaviside's: 1 above the threshold, 0 below it and 0 at exactly the threshold. A layer
    takes a `bias` or a `threshold`, which is a bias of the other sign.
    """
    return answer(orjson.dumps(evaluate(body.network, body.inputs), option=orjson.OPT_SERIALIZE_NUMPY))
