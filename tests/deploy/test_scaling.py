"""What scales workers: a number while API and workers are seen, and no number when they are not."""

import re
from dataclasses import dataclass
from typing import Final

import promql_parser
import pytest

from kdstore.queue import INGEST_QUEUE, TRAINING_QUEUES
from tests.deploy.files import KUBERNETES, ROOT, Document, read_all_yaml, read_yaml

SCALERS: Final = {
    path.parent.name: read_yaml(path) for path in KUBERNETES.glob("overlays/*/scaled-object.yaml")
}
_GUIDE: Final = ROOT / "docs" / "deployment.md"


@dataclass(frozen=True)
class Series:
    """A series of which Prometheus has a newest sample."""

    name: str
    labels: dict[str, str]


def worker_on(device: str) -> list[Series]:
    """What Prometheus has of one worker."""
    pod = f"worker-{device}-5c9f8-x2x7k"
    return [
        Series("potstill_worker_slots", {"pod": pod, "lane": lane, "state": state})
        for lane in ("training", "ingest")
        for state in ("busy", "free")
    ]


API: Final = [
    Series(name, {"queue": queue})
    for name in ("potstill_queue_depth", "potstill_queue_oldest_age_seconds")
    for queue in (*TRAINING_QUEUES.values(), INGEST_QUEUE)
]


def has_answer(expression: promql_parser.Expr, seen: list[Series]) -> bool:
    """Whether a query gives any value, whatever the values of the series are.

    Knows what the scalers are made of; a comparison that filters is refused, for its answer would
    hang on values.
    """
    match expression:
        case promql_parser.NumberLiteral():
            return True
        case promql_parser.ParenExpr() | promql_parser.AggregateExpr():
            return has_answer(expression.expr, seen)
        case promql_parser.VectorSelector():
            return any(is_selected(expression, series) for series in seen)
        case promql_parser.BinaryExpr():
            sides = [has_answer(side, seen) for side in (expression.lhs, expression.rhs)]
            if str(expression.op) == "or":
                return any(sides)
            modifier = expression.modifier
            assert str(expression.op) in "*+" or (modifier and modifier.return_bool)
            return all(sides)
        case _:
            raise AssertionError(f"a scaler asks for {expression.prettify()}")


def is_selected(selector: promql_parser.VectorSelector, series: Series) -> bool:
    """Whether a selector finds a series."""
    patterns = {
        matcher.name: re.escape(matcher.value)
        if matcher.op == promql_parser.MatchOp.Equal
        else matcher.value
        for matcher in selector.matchers.matchers
    }
    return selector.name == series.name and all(
        re.fullmatch(pattern, series.labels.get(label, "")) for label, pattern in patterns.items()
    )


def trigger_of(device: str) -> Document:
    """The one trigger of a scaler."""
    (trigger,) = SCALERS[device]["spec"]["triggers"]
    metadata: Document = trigger["metadata"]
    return metadata


def knows(device: str, seen: list[Series]) -> bool:
    return has_answer(promql_parser.parse(trigger_of(device)["query"]), seen)


each_device = pytest.mark.parametrize("device", sorted(SCALERS))


@each_device
def test_number_of_workers_is_known_while_api_and_workers_are_seen(device: str) -> None:
    assert knows(device, API + worker_on(device))


@each_device
def test_unseen_api_is_not_an_empty_queue(device: str) -> None:
    assert not knows(device, worker_on("cpu") + worker_on("gpu"))
    assert not knows(device, [])


@each_device
def test_unseen_workers_are_not_idle_ones(device: str) -> None:
    assert not knows(device, API)


def test_gpu_workers_can_begin_at_none() -> None:
    assert SCALERS["gpu"]["spec"]["minReplicaCount"] == 0
    assert knows("gpu", API + worker_on("cpu"))


@each_device
def test_no_answer_keeps_the_workers_that_there_are(device: str) -> None:
    assert trigger_of(device)["ignoreNullValues"] == "false"
    fallback = SCALERS[device]["spec"]["fallback"]
    assert fallback["behavior"] == "currentReplicasIfHigher"
    # With 0 KEDA would go on to take away the last ones.
    assert fallback["replicas"] >= 1


def test_operator_finds_monitors_and_alerts_by_the_same_label() -> None:
    monitors = read_all_yaml(KUBERNETES / "components" / "monitoring" / "pod-monitors.yaml")
    (release,) = {monitor["metadata"]["labels"]["release"] for monitor in monitors}
    page = _GUIDE.read_text(encoding="utf-8")
    assert f"labels: {{release: {release}}}" in page
