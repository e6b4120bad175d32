"""How many CPU threads a job trains with, where the operator leaves it to the worker."""

from collections.abc import Sequence

from kdcore.catalog.cost import network_cost
from kdcore.errors import InvalidInput
from kdcore.spec import AnyJob, DistillJob, EvaluateJob, ImageInput, NetworkDescription, TrainJob
from kdcore.spec.runs import TEACHERS, plan_runs
from kdstore.tables import JsonObject

# Below this, threads wait for one another longer than they work. Measured on four cores that
# other processes share: an MLP of 65 MFLOP a step makes 449 steps a second with one thread, 258
# with two and 135 with four; one of 860 MFLOP is hardly slower with two.
_SINGLE_THREAD_FLOPS = 200_000_000

_BACKWARD_FACTOR = 3  # forward, gradient of the weights, gradient of the inputs


def choose_threads(
    spec: AnyJob,
    *,
    dataset: JsonObject,
    teachers: Sequence[NetworkDescription],
    available: int,
) -> int:
    """Give 1 for a job of small steps, else all that are available; a job always gets the same.

    `dataset` is a dataset's description, as its row has it.
    """
    if isinstance(spec, EvaluateJob):
        return available  # large batches, forward alone
    flops = step_flops(spec, dataset=dataset, teachers=teachers)
    if flops is None:
        return available
    return 1 if flops // spec.resources.num_processes < _SINGLE_THREAD_FLOPS else available


def step_flops(
    spec: TrainJob | DistillJob, *, dataset: JsonObject, teachers: Sequence[NetworkDescription]
) -> int | None:
    """Work out the operations of one step of the job's costliest run.

    None where only torchvision knows them.
    """
    image = dataset["image"]
    runs = plan_runs(spec)
    trained = [
        NetworkDescription(
            architecture=planned.architecture,
            input=ImageInput(
                channels=image["channels"], height=image["height"], width=image["width"]
            ),
            num_classes=len(dataset["class_names"]),
        )
        for planned in runs
    ]
    try:
        own = _flops(trained)
        frozen = _flops(teachers)
    except InvalidInput:  # the child says what does not fit
        return None
    if own is None or frozen is None:
        return None
    by_run = {planned.name: flops for planned, flops in zip(runs, own, strict=True)}
    taught = {**by_run, TEACHERS: sum(frozen)}
    steps = [
        _BACKWARD_FACTOR * by_run[planned.name]
        + (taught[planned.taught_by] if planned.taught_by is not None else 0)
        for planned in runs
    ]
    return spec.training.batch_size * max(steps)


def _flops(networks: Sequence[NetworkDescription]) -> list[int] | None:
    costs = [network_cost(network) for network in networks]
    flops = [cost.flops for cost in costs if cost is not None]
    return flops if len(flops) == len(costs) else None
