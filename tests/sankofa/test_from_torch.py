"""What a torch.nn.Sequential computes, the network made of it computes."""

from __future__ import annotations

import pytest

from nncore.evaluate import evaluate
from nncore.network import NetworkSpec
from sankofa import InvalidInput, network_from_torch

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")
nn = torch.nn

PICTURES = nn.Sequential(
    nn.Unflatten(1, (1, 8, 8)),
    nn.Conv2d(1, 4, 3, padding="same"),
    nn.BatchNorm2d(4),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(4, 6, (2, 1), stride=(1, 2), groups=2, bias=False),
    nn.GELU(approximate="tanh"),
    nn.AvgPool2d(2, padding=1),
    nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.LazyLinear(5), nn.LayerNorm(5)),
    nn.Softmax(dim=1),
)
SEQUENCES = nn.Sequential(
    nn.Conv1d(3, 4, 3, dilation=2), nn.Tanh(), nn.AvgPool1d(2), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(4, 2)
)
VECTORS = nn.Sequential(
    nn.Linear(6, 5, bias=False), nn.SiLU(), nn.BatchNorm1d(5, affine=False), nn.Linear(5, 5), nn.ELU(), nn.Identity(),
    nn.Linear(5, 4), nn.Softplus(), nn.Linear(4, 4), nn.LeakyReLU(), nn.Linear(4, 3), nn.SELU(), nn.Linear(3, 3), nn.LogSoftmax(-1),
)  # fmt: skip
TOKENS = nn.Sequential(nn.Embedding(7, 3, padding_idx=0), nn.Flatten(), nn.Linear(12, 2), nn.Sigmoid())


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (PICTURES, torch.linspace(-1, 1, 3 * 64).reshape(3, 64) ** 3),
        (SEQUENCES, torch.linspace(-2, 1, 90).reshape(3, 3, 10)),
        (VECTORS, torch.linspace(-3, 3, 24).reshape(4, 6)),
        (TOKENS, torch.tensor([[1, 2, 3, 0], [6, 5, 4, 0]])),
    ],
    ids=["pictures", "sequences", "vectors", "tokens"],
)
def test_the_predictions_are_equal(model: nn.Sequential, inputs: torch.Tensor) -> None:
    torch.manual_seed(0)
    model.train()(inputs)  # running statistics that are not 0 and 1
    with torch.no_grad():
        expected = model.eval()(inputs)
    found = evaluate(NetworkSpec.model_validate(network_from_torch(model)), inputs.tolist())["outputs"]
    assert torch.allclose(torch.tensor(found), expected, atol=1e-5, rtol=0)


def test_without_weights_it_is_the_layers_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    assert network_from_torch(model, weights=False) == {
        "layers": [
            {"type": "dense", "units": 8, "use_bias": True},
            {"type": "activation", "activation": "tanh"},
            {"type": "dense", "units": 1, "use_bias": True},
        ]
    }


def test_every_module_that_has_no_equal_is_named_with_its_place_and_what_to_do() -> None:
    model = nn.Sequential(
        nn.Linear(2, 2), nn.Sequential(nn.Hardtanh()), nn.LeakyReLU(0.2), nn.LSTM(2, 2), nn.Conv2d(1, 1, 1, padding_mode="reflect")
    )
    with pytest.raises(InvalidInput) as refused:
        network_from_torch(model)
    for named in (
        "module 1.0 (Hardtanh)",
        "module 2 (LeakyReLU)",
        "negative_slope=0.01",
        "module 3 (LSTM)",
        "module 4 (Conv2d)",
        "leave it out",
    ):
        assert named in str(refused.value)
    with pytest.raises(InvalidInput, match="Sequential, got Linear"):
        network_from_torch(nn.Linear(1, 1))
    with pytest.raises(InvalidInput, match="at least one layer"):
        network_from_torch(nn.Sequential())
