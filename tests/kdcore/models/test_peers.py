"""Our families compute what RepDistiller's files compute, given the same weights by name."""

# B batch, C channels, H height, W width, K classes

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdcore.models import build_network, count_parameters
from kdcore.spec import parse_network

FIXTURE = Path(__file__).parent / "fixtures" / "repdistiller_networks.json"


def _networks() -> list[dict[str, Any]]:  # JSON as it was stored
    networks: list[dict[str, Any]] = json.loads(FIXTURE.read_text())["networks"]
    return networks


def _weights(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Fill each tensor by its place among the sorted names: reproducible without a file."""
    weights = {}
    for place, name in enumerate(sorted(state)):
        shape = tuple(state[name].shape)
        count = math.prod(shape)
        wave = np.cos(1.0 + place + (7919 * np.arange(count)) % 1009).reshape(shape)
        if name.endswith("num_batches_tracked"):
            wave = np.zeros(shape, dtype=np.int64)
        elif name.endswith("running_var"):
            wave = 1.0 + 0.5 * wave**2
        elif len(shape) > 1:
            wave *= math.sqrt(2.0 / math.prod(shape[1:]))
        else:
            wave = 0.1 * wave + (1.0 if name.endswith("weight") else 0.0)
        weights[name] = torch.tensor(wave)
    return weights


@pytest.mark.parametrize("peer", _networks(), ids=lambda peer: str(peer["architecture"]))
def test_logits_and_size_equal_those_of_repdistiller(peer: dict[str, Any]) -> None:
    description = parse_network(
        {
            "architecture": peer["architecture"],
            "input": {"channels": 3, "height": 32, "width": 32},
            "num_classes": peer["num_classes"],
        }
    )
    network = build_network(description).double().eval()
    network.load_state_dict(_weights(network.state_dict()), strict=True)
    pixels = np.cos(0.3 * np.arange(2 * 3 * 32 * 32)).reshape(2, 3, 32, 32)

    with torch.no_grad():
        logits_BK = network(torch.tensor(pixels))

    assert count_parameters(network) == peer["num_parameters"]
    assert len(network.state_dict()) == peer["num_tensors"]
    expected_BK = torch.tensor(peer["logits"], dtype=torch.float64)
    torch.testing.assert_close(logits_BK[:, :10], expected_BK, rtol=0, atol=1e-8)
