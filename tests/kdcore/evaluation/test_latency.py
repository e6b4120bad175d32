"""Latency with a clock that the network itself moves."""

# B batch, C channels, H height, W width

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from kdcore.evaluation import measure_latency
from kdcore.models import Classifier
from kdcore.spec import ImageInput

CPU = torch.device("cpu")
IMAGE = ImageInput(channels=1, height=4, width=4)


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class _TimedNetwork(nn.Module):
    """Each pass moves the clock by the next of the given seconds."""

    def __init__(self, clock: _Clock, seconds: Iterator[float]) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = seconds
        self.batch_sizes: list[int] = []
        self.was_training = False

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        self.clock.now += next(self.seconds)
        self.batch_sizes.append(len(images_BCHW))
        self.was_training |= self.training
        return images_BCHW.flatten(1)


def _forever(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


def test_fast_network_gets_every_repeat() -> None:
    clock = _Clock()
    network = _TimedNetwork(clock, _forever(0.001))

    found = measure_latency(Classifier(network, IMAGE), IMAGE, device=CPU, clock=clock)

    assert [one.batch_size for one in found] == [1, 64]
    assert [one.num_repeats for one in found] == [200, 200]
    assert [one.median_ms for one in found] == pytest.approx([1.0, 1.0])
    assert found[0].device == "cpu"
    assert found[0].num_threads == torch.get_num_threads()


def test_budget_bounds_the_time_of_a_slow_network() -> None:
    clock = _Clock()
    network = _TimedNetwork(clock, _forever(0.15))

    (found,) = measure_latency(
        Classifier(network, IMAGE), IMAGE, device=CPU, batch_sizes=[8], clock=clock
    )

    assert clock.now <= 1.0 + 0.15 + 1e-9
    assert found.num_repeats == 5


def test_network_slower_than_the_budget_is_timed_once_after_warming_up() -> None:
    clock = _Clock()
    network = _TimedNetwork(clock, iter([9.0, 4.0]))

    (found,) = measure_latency(
        Classifier(network, IMAGE), IMAGE, device=CPU, batch_sizes=[1], clock=clock
    )

    assert (found.num_repeats, found.median_ms, found.p95_ms) == (1, 4000.0, 4000.0)


def test_slow_first_passes_do_not_count() -> None:
    clock = _Clock()
    warm_up = [0.05] * 4
    network = _TimedNetwork(clock, iter([*warm_up, *[0.01] * 300]))

    (found,) = measure_latency(
        Classifier(network, IMAGE), IMAGE, device=CPU, batch_sizes=[1], clock=clock
    )

    assert found.p95_ms == pytest.approx(10.0)


def test_percentiles_are_those_of_the_timed_passes() -> None:
    clock = _Clock()
    seconds = [0.001 * (1 + index % 10) for index in range(210)]
    network = _TimedNetwork(clock, iter(seconds))

    (found,) = measure_latency(
        Classifier(network, IMAGE),
        IMAGE,
        device=CPU,
        batch_sizes=[1],
        budget_seconds=100.0,
        clock=clock,
    )

    timed = 1000 * np.array(seconds[10:])
    assert found.num_repeats == 200
    assert found.median_ms == pytest.approx(np.median(timed))
    assert found.p95_ms == pytest.approx(np.percentile(timed, 95))


def test_network_runs_in_eval_mode_and_keeps_its_own() -> None:
    clock = _Clock()
    network = _TimedNetwork(clock, _forever(0.5)).train()

    measure_latency(Classifier(network, IMAGE), IMAGE, device=CPU, clock=clock)

    assert not network.was_training
    assert network.training
