"""The metric history and its way through a checkpoint."""

from kdcore.trainer.history import History


def test_history_comes_back_from_its_tensors_exactly() -> None:
    history = History()
    history.add("student", "loss", 10, 0.1)
    history.add("student", "loss", 20, 1 / 3)
    history.add("control", "test_accuracy", 7, 0.9722222222222222)
    tensors = history.tensors()

    restored = History.from_tensors(tensors, list(tensors))

    assert list(restored.items()) == list(history.items())
    assert restored.series("student", "loss") == ([10, 20], [0.1, 1 / 3])


def test_unknown_series_is_empty() -> None:
    assert History().series("student", "loss") == ([], [])
