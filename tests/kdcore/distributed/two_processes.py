"""What each of two processes does in the tests of training together, all in one go."""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdcore.checkpoints import write_safetensors
from kdcore.data import ArrayDataset, load_dataset
from kdcore.distributed import ALONE, SharedBatchNorm, World, joined, share_batch_norm, whole_batch
from kdcore.errors import Diverged, Interrupted
from kdcore.job_runs import describe_network
from kdcore.models import build_network
from kdcore.run import TeacherInput, assist, never_stop, run
from kdcore.spec import DistillJob, ResnetCifar, parse_job

WORLD_SIZE = 2
CPU = torch.device("cpu")


def cnn(*layers: str) -> dict[str, Any]:
    """A smooth network: where a ReLU turns, differences in rounding become large."""
    stage = [
        {"layer": "conv", "channels": 6},
        *({"layer": layer} for layer in layers),
        {"layer": "activation", "name": "tanh"},
        {"layer": "pool", "kind": "average"},
    ]
    return {"architecture": "cnn", "layers": [*stage, *stage]}


STUDENT = cnn("norm")
# 70 images: batches of 19, of which one process has ten, and the last of 13.
UNEVEN = {"num_epochs": 2, "batch_size": 19}

Change = dict[str, Any]  # of a job's document

JOBS: dict[str, Change] = {
    "logit_kd": {
        "training": {"gradient_clip_norm": 0.5},
        "transfer": {"mix": {"name": "mixup"}, "augmentation": {"name": "jitter", "pixels": 1}},
        "control": True,
    },
    "fitnet": {
        "method": {"name": "fitnet"},
        "student": cnn(),
    },
    "dist": {"method": {"name": "dist"}},
    "crd": {"method": {"name": "crd", "num_negatives": 32, "feature_dim": 8}},
    "reviewkd": {"method": {"name": "reviewkd"}},
    "mutual_learning": {
        "method": {"name": "mutual_learning", "peers": [STUDENT]},
        "teachers": [],
    },
}


def job_of(name: str, num_processes: int, **changes: Any) -> DistillJob:
    """One of JOBS; changes of a part are added to it."""
    document: Change = {
        "kind": "distill",
        "dataset": "digits",
        "teachers": [{"model": "teacher"}],
        "student": STUDENT,
        "control": False,
        "on_weak_teacher": "warn",
        "evaluation": {"latency": False},
        "exports": ["safetensors"],
        **JOBS[name],
        **changes,
        "resources": {"num_processes": num_processes},
    }
    sgd = {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9}
    document["training"] = {"optimizer": sgd, **UNEVEN, **document.get("training", {})}
    document["transfer"] = {"fraction": 0.05, **document.get("transfer", {})}
    job = parse_job(document)
    assert isinstance(job, DistillJob)
    return job


@dataclass(frozen=True)
class Place:
    """Where the jobs of one process are run."""

    folder: Path
    world: World

    def run(
        self,
        job: DistillJob,
        name: str,
        *,
        should_stop: Callable[[], bool] = never_stop,
        checkpoint_seconds: float = 1000.0,
    ) -> None:
        """Run a job, or take part in it, below `folder / name`."""
        dataset = load_dataset(self.folder / "digits")
        inputs: Change = {
            "dataset": dataset,
            "teachers": [self._teacher(job, dataset) for _ in job.teachers],
            "folder": self.folder / name,
            "device": "cpu",
            "num_threads": 1,
            "world": self.world,
        }
        if self.world.rank == 0:
            run(job, **inputs, should_stop=should_stop, checkpoint_seconds=checkpoint_seconds)
        else:
            assist(job, **inputs)

    def _teacher(self, job: DistillJob, dataset: ArrayDataset) -> TeacherInput:
        description = describe_network(job, dataset).model_copy(
            update={"architecture": ResnetCifar(depth=14, width=8)}
        )
        path = self.folder / f"teacher-{self.world.size}-{self.world.rank}.safetensors"
        write_safetensors(path, build_network(description, seed=9).state_dict())
        return TeacherInput(description, path)

    def write(self, name: str, result: object) -> None:
        """Leave what this process found for the test."""
        torch.save(result, self.folder / f"{name}-{self.world.rank}.pt")


def alone(folder: Path) -> None:
    """Run every job in this process."""
    place = Place(folder, ALONE)
    for name in JOBS:
        place.run(job_of(name, 1), f"{name}-1")


def together(rank: int, folder: str) -> None:
    """Do everything that the tests look at, as one of two processes."""
    torch.set_num_threads(1)
    store = Path(folder) / "store"
    with joined(rank=rank, size=WORLD_SIZE, store=store, device=CPU) as world:
        place = Place(Path(folder), world)
        _compute(place)
        for name in JOBS:
            place.run(job_of(name, WORLD_SIZE), f"{name}-2")
        _stop_and_go_on(place)
        _diverge(place)
    # As processes that train end: a thread of gloo may still need the interpreter, to let go.
    os._exit(0)


def images(num_images: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(num_images, 4, 3, 3, generator=generator, dtype=torch.float64) * 5 + 100


def norm_layer() -> nn.Module:
    norm = nn.BatchNorm2d(4).double()
    nn.init.uniform_(norm.weight, generator=torch.Generator().manual_seed(1))
    return nn.Sequential(norm)


def state_of(norm: nn.Module) -> dict[str, torch.Tensor | None]:
    """The gradient of the weight, and the running statistics, of a `norm_layer`."""
    buffers = dict(norm.named_buffers())
    return {
        "weight": dict(norm.named_parameters())["0.weight"].grad,
        "mean": buffers["0.running_mean"],
        "variance": buffers["0.running_var"],
    }


def relation(rows_BX: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A loss in which every image meets every other."""
    scaled_BX = rows_BX.flatten(1) * weight
    return torch.cdist(scaled_BX, scaled_BX).square().mean()


def _compute(place: Place) -> None:
    """Compute on a part of eleven images what the test computes on all of them."""
    world = place.world
    part = world.part_of(11)
    norm = norm_layer()
    share_batch_norm(norm, world)
    own = images(11)[part.rows].requires_grad_()
    out = norm(own)
    out.pow(3).sum().backward()
    one_image = _norm_of_one_image(world)
    rows = images(11)[part.rows].requires_grad_()
    weight = torch.ones(36, dtype=torch.float64, requires_grad=True)
    loss = relation(whole_batch(rows, part, world), weight)
    (loss * part.share_of_whole).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    state = state_of(norm)
    assert own.grad is not None
    assert state["weight"] is not None
    assert rows.grad is not None
    assert weight.grad is not None
    place.write(
        "computed",
        {
            "out": out.detach(),
            "gradient": own.grad,
            "state": state | {"weight": world.total(state["weight"])},
            "loss": loss.detach(),
            "rows": rows.grad,
            "relation": world.total(weight.grad),
            "one image": one_image,
            "agreed": world.agreed(7 if world.rank == 0 else 3),
        },
    )


def _norm_of_one_image(world: World) -> torch.Tensor:
    """Normalise a batch that the processes cannot share, and add up what each counts."""
    part = world.part_of(1)
    norm = norm_layer()
    share_batch_norm(norm, world)
    for module in norm.modules():
        if isinstance(module, SharedBatchNorm):
            module.is_split = part.is_split
    return world.total(norm(images(1)[part.rows]) * part.share_of_mean)


def _stop_and_go_on(place: Place) -> None:
    """Stop the two stages of a job at every third step, saving before each."""
    job = job_of("fitnet", WORLD_SIZE)
    stops = []
    while True:
        questions = itertools.count()
        try:
            place.run(
                job,
                "stopped",
                should_stop=lambda numbers=questions: next(numbers) == 3,  # type: ignore[misc]  # binds the counter now
                checkpoint_seconds=0.0,
            )
        except Interrupted as interrupted:
            stops.append(interrupted.step)
        else:
            break
    place.write("stops", stops)


def _diverge(place: Place) -> None:
    training = {"num_epochs": 20, "optimizer": {"name": "sgd", "learning_rate": 100.0}}
    method = {"name": "logit_matching"}
    try:
        place.run(job_of("fitnet", WORLD_SIZE, method=method, training=training), "diverged")
    except Diverged as diverged:
        place.write("diverged", diverged.step)
