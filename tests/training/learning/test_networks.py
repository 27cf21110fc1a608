"""The networks: sizes as documented, and logits for any batch."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from training.learning import networks
from training.learning.networks import MODELS, count_parameters

PARAMETERS = {
    "mlp": 407_050,
    "cnn": 3_199_106,
    "small": 72_666,
    "lean": 112_106,
    "deep": 196_970,
    "wide": 1_886_027,
    "open": 112_171,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [1, 3])
def test_each_network_returns_logits(name: str, batch: int) -> None:
    logits = MODELS[name]().eval()(torch.randn(batch, 1, 28, 28))

    assert logits.shape == (batch, 11 if name in {"wide", "open"} else 10)
    assert (logits < 0).any()  # not probabilities


def test_networks_have_the_sizes_that_the_docs_give() -> None:
    assert {name: count_parameters(make()) for name, make in MODELS.items()} == PARAMETERS
    source = Path(networks.__file__).read_text(encoding="utf-8")
    assert all(f"{size:,} parameters" in source for size in PARAMETERS.values())


@pytest.mark.parametrize("name", MODELS)
def test_each_network_can_learn_a_few_digits_by_heart(name: str) -> None:
    torch.manual_seed(0)
    model, images, labels = MODELS[name](), torch.randn(10, 1, 28, 28), torch.arange(10)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    for _ in range(60):
        logits = model(images)
        if (logits.argmax(dim=1) == labels).all():
            return
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimizer.step()

    pytest.fail("some digits were not learned")
