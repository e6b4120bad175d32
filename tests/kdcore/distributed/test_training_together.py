"""Two processes that share each batch learn what one learns, and stop as one."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from kdcore.checkpoints import read_safetensors
from kdcore.data import ArrayDataset, builtin, load_dataset
from kdcore.errors import IncompatibleInputs
from kdcore.run import run
from tests.kdcore.distributed.two_processes import (
    JOBS,
    WORLD_SIZE,
    alone,
    images,
    job_of,
    norm_layer,
    relation,
    state_of,
    together,
)

Results = dict[str, Any]  # as torch loads them


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that one process and two have made, each once."""
    folder = tmp_path_factory.mktemp("together")
    builtin("digits", folder / "digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        two = spawn(together, args=(str(folder),), nprocs=WORLD_SIZE, join=False)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    alone(folder)
    while not two.join():
        pass
    return folder


@pytest.fixture(scope="module")
def digits(folder: Path) -> ArrayDataset:
    return load_dataset(folder / "digits")


def results(folder: Path, name: str) -> list[Any]:
    """What each rank found; of any type."""
    return [torch.load(folder / f"{name}-{rank}.pt") for rank in range(WORLD_SIZE)]


def weights(folder: Path, job: str) -> dict[str, torch.Tensor]:
    """The tensors of every network that a job has left."""
    found: dict[str, torch.Tensor] = {}
    for path in (folder / job / "artifacts").glob("*.safetensors"):
        tensors, _ = read_safetensors(path)
        found |= {f"{path.stem}/{name}": tensor for name, tensor in tensors.items()}
    return found


def metrics(folder: Path, job: str) -> list[list[str]]:
    with (folder / job / "artifacts" / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("job", JOBS)
def test_weights_are_those_of_one_process_up_to_rounding(job: str, folder: Path) -> None:
    one, two = weights(folder, f"{job}-1"), weights(folder, f"{job}-2")
    assert one
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("job", JOBS)
def test_curves_are_those_of_one_process_up_to_rounding(job: str, folder: Path) -> None:
    one, two = metrics(folder, f"{job}-1"), metrics(folder, f"{job}-2")
    assert [row[:-1] for row in two] == [row[:-1] for row in one]
    values = [[float(row[-1]) for row in rows[1:]] for rows in (one, two)]
    assert values[1] == pytest.approx(values[0], rel=1e-3, abs=1e-5)


def test_batches_do_not_split_evenly(folder: Path) -> None:
    """What JOBS are made for."""
    log = (folder / "dist-1" / "artifacts" / "training.log").read_text()
    assert "student: 8 steps of 19 images" in log  # 3 · 19 + 13 images, twice


def test_job_stopped_again_and_again_ends_with_the_bits_of_an_undisturbed_one(
    folder: Path,
) -> None:
    stops = results(folder, "stops")
    assert stops[0] == stops[1]
    assert len(stops[0]) == 3
    undisturbed, stopped = weights(folder, "fitnet-2"), weights(folder, "stopped")
    assert undisturbed.keys() == stopped.keys()
    for name, tensor in undisturbed.items():
        assert torch.equal(stopped[name], tensor), name
    assert metrics(folder, "stopped") == metrics(folder, "fitnet-2")


def test_divergence_ends_both_at_the_same_step(folder: Path) -> None:
    first, second = results(folder, "diverged")
    assert first == second > 0


def test_decision_is_that_of_rank_0(folder: Path) -> None:
    assert [each["agreed"] for each in results(folder, "computed")] == [7, 7]


def test_batch_norm_of_parts_is_that_of_the_whole_batch(folder: Path) -> None:
    ranks = results(folder, "computed")
    norm, whole = norm_layer(), images(11).requires_grad_()
    out = norm(whole)
    out.pow(3).sum().backward()
    assert whole.grad is not None
    torch.testing.assert_close(torch.cat([each["out"] for each in ranks]), out.detach())
    torch.testing.assert_close(torch.cat([each["gradient"] for each in ranks]), whole.grad)
    for each in ranks:
        torch.testing.assert_close(each["state"], state_of(norm))


def test_batch_of_one_image_is_worked_on_by_both_and_counts_once(folder: Path) -> None:
    for each in results(folder, "computed"):
        torch.testing.assert_close(each["one image"], norm_layer()(images(1)).detach())


def test_loss_that_relates_images_has_the_gradient_of_the_whole_batch(folder: Path) -> None:
    ranks = results(folder, "computed")
    whole = images(11).requires_grad_()
    weight = torch.ones(36, dtype=torch.float64, requires_grad=True)
    loss = relation(whole, weight)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert whole.grad is not None
    for each in ranks:
        torch.testing.assert_close(each["loss"], loss.detach())
        torch.testing.assert_close(each["relation"], weight.grad)
    # Each process knows its own rows alone, and counts the loss as half of it.
    rows = torch.cat([each["rows"] for each in ranks])
    torch.testing.assert_close(rows, whole.grad)


def test_one_process_does_not_run_a_job_of_two(digits: ArrayDataset, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleInputs) as caught:
        run(
            job_of("mutual_learning", 2),
            dataset=digits,
            folder=tmp_path,
            device="cpu",
            num_threads=1,
        )
    assert (caught.value.code, caught.value.pointer) == (
        "processes_missing",
        "/resources/num_processes",
    )
