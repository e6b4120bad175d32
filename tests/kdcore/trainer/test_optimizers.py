"""Optimizers, and their state through a checkpoint."""

import copy

import pytest
import torch
from torch import nn

from kdcore.spec import Adam, AdamW, OptimizerSpec, Sgd
from kdcore.trainer.optimizers import (
    build_optimizer,
    optimizer_tensors,
    restore_optimizer,
    set_learning_rate,
)

SPECS = (
    Sgd(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    Sgd(learning_rate=0.1, momentum=0.0),
    Adam(learning_rate=0.01),
    AdamW(learning_rate=0.01, weight_decay=0.1),
)


def channels_last_network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 4, 2))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # torch's stub lacks it


def take_step(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    images_BCHW = torch.randn(5, 3, 4, 4).to(memory_format=torch.channels_last)
    optimizer.zero_grad()
    network(images_BCHW).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_restored_optimizer_steps_bit_for_bit_like_the_original(spec: OptimizerSpec) -> None:
    network = channels_last_network()
    optimizer = build_optimizer(spec, network.parameters())
    for seed in range(3):
        take_step(network, optimizer, seed)
    # As a file holds them: contiguous.
    saved = {name: t.clone().contiguous() for name, t in optimizer_tensors(optimizer).items()}
    twin = copy.deepcopy(network)
    restored = build_optimizer(spec, twin.parameters())
    if saved:
        restore_optimizer(restored, saved)

    for seed in range(3, 6):
        take_step(network, optimizer, seed)
        take_step(twin, restored, seed)

    for mine, other in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_adam_matches_the_plain_formula() -> None:
    parameter = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = build_optimizer(Adam(learning_rate=0.1), [parameter])
    parameter.grad = torch.tensor([0.5, -0.25], dtype=torch.float64)
    optimizer.step()
    # The first step of Adam moves every weight by the learning rate against its gradient's sign.
    expected = torch.tensor([0.9, -1.9], dtype=torch.float64)
    torch.testing.assert_close(parameter.detach(), expected, rtol=1e-6, atol=0)


def test_frozen_parameters_are_left_out() -> None:
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    trained = nn.Parameter(torch.ones(2))
    optimizer = build_optimizer(Sgd(), [frozen, trained])
    assert [id(p) for group in optimizer.param_groups for p in group["params"]] == [id(trained)]


def test_learning_rate_reaches_every_group() -> None:
    optimizer = build_optimizer(Sgd(), [nn.Parameter(torch.ones(2))])
    set_learning_rate(optimizer, 0.123)
    assert [group["lr"] for group in optimizer.param_groups] == [0.123]
