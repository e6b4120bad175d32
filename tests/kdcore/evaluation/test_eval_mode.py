"""A network's modes survive an evaluation."""

import pytest
from torch import nn

from kdcore.evaluation import eval_mode


def _partly_frozen() -> nn.Sequential:
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.Dropout()))
    network[0].eval()
    return network


def test_every_module_is_in_eval_mode_inside() -> None:
    network = _partly_frozen()

    with eval_mode(network):
        assert not any(module.training for module in network.modules())


def test_every_module_is_as_it_was_afterwards() -> None:
    network = _partly_frozen()
    before = [module.training for module in network.modules()]

    with eval_mode(network):
        pass

    assert [module.training for module in network.modules()] == before
    assert before == [True, False, True, True]


def test_modes_come_back_after_an_error() -> None:
    network = _partly_frozen()

    with pytest.raises(RuntimeError, match="boom"), eval_mode(network):
        raise RuntimeError("boom")

    assert network.training
