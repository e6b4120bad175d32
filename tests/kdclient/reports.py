"""Reports with numbers that are easy to read again."""

from kdcore.report import Difference, Environment, Latency, NetworkReport, Report, SplitScores


def latency_of(*, batch_size: int, median_ms: float) -> Latency:
    return Latency(
        batch_size=batch_size,
        median_ms=median_ms,
        p95_ms=2 * median_ms,
        num_repeats=50,
        device="cpu",
        num_threads=1,
    )


def column(
    *, num_errors: int, agreement: float | None = None, parameters: int = 4466, latency: bool = True
) -> NetworkReport:
    scores = SplitScores(
        num_examples=100,
        num_errors=num_errors,
        accuracy=1 - num_errors / 100,
        accuracy_top5=None,
        per_class_accuracy=(1.0, 1.0),
        confusion_matrix=((50, 0), (0, 50)),
        cross_entropy=num_errors / 100,
        expected_calibration_error=0.01,
        agreement=agreement,
    )
    times = (
        latency_of(batch_size=64, median_ms=9.0),
        latency_of(batch_size=1, median_ms=0.25),
    )
    return NetworkReport(
        splits={"test": scores},
        parameters=parameters,
        megaflops=0.125,
        size_bytes=parameters * 4,
        latency=times if latency else (),
    )


ENVIRONMENT = Environment(
    device="cpu",
    device_name="a processor",
    num_threads=1,
    precision="float32",
    seed=0,
    versions={},
    revision=None,
)


def distill_report(*, control: bool = True) -> Report:
    columns = {
        "teacher": column(num_errors=2, parameters=50_042),
        "student": column(num_errors=5, agreement=0.97),
    }
    difference = None
    if control:
        columns["control"] = column(num_errors=9, agreement=0.91)
        change = Difference(
            num_errors=-4, accuracy=0.04, cross_entropy=-0.04, expected_calibration_error=0.0
        )
        difference = {"test": change}
    return Report.model_validate(
        {
            "kind": "distill",
            "columns": columns,
            "difference": difference,
            "class_names": ("a", "b"),
            "environment": ENVIRONMENT,
        }
    )


def train_report() -> Report:
    return Report(
        kind="train",
        columns={"network": column(num_errors=3, latency=False)},
        class_names=("a", "b"),
        environment=ENVIRONMENT,
    )
