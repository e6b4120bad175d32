"""Mean losses between readings."""

import torch

from kdcore.trainer.loss_window import LossWindow, Reading

CPU = torch.device("cpu")


def terms(loss: float, part: float) -> dict[str, torch.Tensor]:
    return {"loss": torch.tensor(loss), "part": torch.tensor(part)}


def test_reading_is_the_mean_since_the_last_one() -> None:
    window = LossWindow(CPU)
    window.add(terms(1.0, 4.0))
    window.add(terms(3.0, 8.0))
    window.close(2)
    window.add(terms(5.0, 1.0))
    window.close(3)
    assert window.readings(wait=False) == [
        Reading(2, {"loss": 2.0, "part": 6.0}),
        Reading(3, {"loss": 5.0, "part": 1.0}),
    ]
    assert window.readings(wait=True) == []


def test_empty_window_gives_no_reading() -> None:
    window = LossWindow(CPU)
    window.close(5)
    assert window.readings(wait=True) == []


def test_open_window_goes_on_after_a_restore() -> None:
    window = LossWindow(CPU)
    window.add(terms(1.0, 4.0))
    sums, count = window.state()
    other = LossWindow(CPU)
    other.restore(sums, count)
    for each in (window, other):
        each.add(terms(0.3, 0.7))
        each.close(2)
    assert window.readings(wait=True) == other.readings(wait=True)


def test_sums_do_not_keep_the_graph_of_a_step_alive() -> None:
    window = LossWindow(CPU)
    window.add({"loss": torch.ones((), requires_grad=True) * 2})
    sums, _ = window.state()
    assert not sums["loss"].requires_grad
