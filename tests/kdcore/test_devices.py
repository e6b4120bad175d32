"""Device, precision and threads of a run."""

import torch

from kdcore.devices import choose_compute, computing, seed_draws


def test_auto_precision_on_a_cpu_is_float32() -> None:
    compute = choose_compute(device="cpu", precision="auto", num_threads=2)
    assert (compute.device.type, compute.precision, compute.num_threads) == ("cpu", "float32", 2)
    assert compute.autocast_dtype is None


def test_asked_for_precision_is_kept_and_autocasts() -> None:
    compute = choose_compute(device="cpu", precision="bfloat16", num_threads=1)
    with compute.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == torch.bfloat16


def test_threads_default_to_the_cores_that_can_be_used() -> None:
    assert choose_compute(device="cpu").num_threads >= 1


def test_settings_of_the_process_are_put_back() -> None:
    before = torch.get_num_threads()
    with computing(choose_compute(device="cpu", num_threads=before + 1)):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_draws_are_those_of_torchs_own_seed() -> None:
    torch.manual_seed(2**60)
    expected = torch.rand(3)
    seed_draws(2**60, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)
