"""What a method draws depends on its seed and purpose alone."""

import torch

from kdcore.methods.drawing import drawing


def _drawn(seed: int, purpose: str) -> torch.Tensor:
    with drawing(seed, purpose):
        return torch.rand(4)


def test_same_seed_and_purpose_draw_the_same() -> None:
    assert torch.equal(_drawn(1, "bank"), _drawn(1, "bank"))


def test_another_seed_or_purpose_draws_something_else() -> None:
    assert not torch.equal(_drawn(1, "bank"), _drawn(2, "bank"))
    assert not torch.equal(_drawn(1, "bank"), _drawn(1, "regressor"))


def test_generator_of_the_run_is_left_as_it_was() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    _drawn(1, "bank")

    assert torch.equal(before, torch.get_rng_state())
