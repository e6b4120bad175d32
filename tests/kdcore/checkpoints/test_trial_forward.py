"""The trial pass ends in time, leaves the alarm as it was, and refuses what cannot be run."""

import signal
import threading
import time

import pytest
import torch
from torch import nn

from kdcore.checkpoints import Code
from kdcore.checkpoints.trial_forward import check_forward
from kdcore.errors import CheckpointRejected
from kdcore.spec import NetworkDescription, parse_network


class Endless(nn.Module):
    """Never returns, as a network far too large for its machine seems to do."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        while True:
            time.sleep(0.001)


class Unfit(nn.Module):
    """Fails as torch does when shapes do not fit."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return images_BCHW @ torch.ones(99, 99)


@pytest.fixture
def description() -> NetworkDescription:
    return parse_network(
        {
            "architecture": {"architecture": "mlp", "hidden": []},
            "input": {"channels": 1, "height": 2, "width": 2},
            "num_classes": 2,
        }
    )


def run(network: nn.Module, description: NetworkDescription, *, seconds: float = 30.0) -> None:
    check_forward(network, network.state_dict(), description, timeout_seconds=seconds)


def test_pass_that_takes_too_long_is_refused(description: NetworkDescription) -> None:
    with pytest.raises(CheckpointRejected) as caught:
        run(Endless(), description, seconds=0.05)
    assert caught.value.code == Code.FORWARD_TOO_SLOW


def test_alarm_is_left_as_it_was(description: NetworkDescription) -> None:
    before = signal.getsignal(signal.SIGALRM)
    run(nn.Flatten(), description)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_pass_works_outside_the_main_thread(description: NetworkDescription) -> None:
    errors: list[BaseException] = []

    def target() -> None:
        try:
            run(nn.Flatten(), description)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    assert errors == []


def test_network_that_cannot_be_run_is_refused_without_torchs_text(
    description: NetworkDescription,
) -> None:
    with pytest.raises(CheckpointRejected) as caught:
        run(Unfit(), description)
    assert caught.value.code == Code.FORWARD_FAILED
    assert "mat1" not in caught.value.message
