"""`potstill distill`: train a student under a teacher, and the same student without one."""

from typing import Annotated, Any

import typer

from kdclient.cli import job_options, options
from kdclient.cli.job_options import CommonFields, merge, section, spec_from
from kdclient.cli.options import connect, read_object
from kdclient.cli.running import model_id, submit

TeacherList = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher",
        help="A model (mdl_…), or a finished job (job_…). Given several times, they answer "
        "together.",
    ),
]
Student = Annotated[
    str | None,
    typer.Option(
        "--student",
        help='The network as JSON, such as {"architecture": "mlp", "hidden": [32]}, or @FILE.',
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        help='Such as logit_kd, or with its fields as JSON: {"name": "rkd", "angle_weight": 25}, '
        "or @FILE. `potstill methods` lists them.",
    ),
]
Temperature = Annotated[float | None, typer.Option("--temperature", help="Of both softmaxes.")]
CeWeight = Annotated[float | None, typer.Option("--ce-weight", help="Weight of the labels.")]
KdWeight = Annotated[float | None, typer.Option("--kd-weight", help="Weight of the teacher.")]
Control = Annotated[
    bool | None,
    typer.Option("--control/--no-control", help="Also train the student without a teacher."),
]


def distill(
    spec_file: job_options.SpecFile = None,
    *,
    dataset: job_options.Dataset = None,
    transfer_dataset: job_options.TransferDataset = None,
    teacher: TeacherList = None,
    student: Student = None,
    method: Method = None,
    temperature: Temperature = None,
    ce_weight: CeWeight = None,
    kd_weight: KdWeight = None,
    control: Control = None,
    name: job_options.Name = None,
    epochs: job_options.Epochs = None,
    batch_size: job_options.BatchSize = None,
    optimizer: job_options.Optimizer = None,
    learning_rate: job_options.LearningRate = None,
    seed: job_options.Seed = None,
    augmentation: job_options.Augmentation = None,
    tag: job_options.TagList = None,
    dry_run: job_options.DryRun = False,
    detach: job_options.Detach = False,
    url: options.Url = None,
    api_key: options.ApiKey = None,
) -> None:
    """Train a student under a teacher and, as its control, the same student without one.

    Give a job as a JSON file, or its fields by option. Shows progress until the job has ended;
    Ctrl-C only stops the showing.
    """
    fields = CommonFields(
        dataset=dataset,
        transfer_dataset=transfer_dataset,
        name=name,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        seed=seed,
        augmentation=augmentation,
        tags=tag or (),
    )
    spec = spec_from(spec_file, "distill", fields)
    student_network = read_object(student, option="--student") if student else None
    merge(spec, {"student": student_network, "control": control})
    parameters = {"temperature": temperature, "ce_weight": ce_weight, "kd_weight": kd_weight}
    _set_method(spec, method, parameters)
    with connect(url, api_key) as client:
        if teacher:
            spec["teachers"] = [{"model": model_id(client, each)} for each in teacher]
        submit(client, spec, dry_run=dry_run, detach=detach)


def _set_method(
    spec: dict[str, Any], given: str | None, parameters: dict[str, float | None]
) -> None:
    name = given
    if given is not None and given.startswith(("{", "@")):
        spec["method"] = read_object(given, option="--method")
        name = spec["method"].get("name")
    if name is None and all(value is None for value in parameters.values()):
        return
    method = section(spec, "method")
    if name is not None and method.get("name") != name:
        method.clear()  # another method's fields mean nothing for this one
    merge(method, {"name": name, **parameters})
    method.setdefault("name", "logit_kd")
