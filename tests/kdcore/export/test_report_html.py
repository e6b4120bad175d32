"""The page: whole, self-contained, and safe whatever a name says."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kdcore.export import MetricSeries, render_report, write_report_html
from kdcore.report import Report, StageReport
from kdcore.spec import DistillJob, Fitnet, MutualLearning, TrainJob
from kdcore.spec.methods import LayerPair

_VOID = {"meta", "link", "br", "img", "hr", "input"}


class _Page(HTMLParser):
    """Reads a page and checks that its tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture
def text(report: Report, distill_job: DistillJob, series: Sequence[MetricSeries]) -> str:
    return render_report(report, spec=distill_job, series=series)


@pytest.fixture
def page(text: str) -> _Page:
    return _Page(text)


def test_every_tag_is_closed_in_order(page: _Page) -> None:
    assert page.open == []


def test_hostile_names_of_job_class_and_tag_stay_text(page: _Page, text: str, hostile: str) -> None:
    assert "<script" not in text
    assert hostile in page.text
    assert page.count("script") == 0
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]


def test_page_needs_nothing_from_elsewhere(page: _Page, text: str) -> None:
    loading = {"src", "href", "srcset", "data", "action", "xlink:href"}
    assert not [a for _, attributes in page.tags for a in attributes if a in loading]
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'" in text


def test_four_columns_stand_side_by_side(page: _Page) -> None:
    for word in ("teacher", "student", "control", "difference", "−10", "10 of 100"):
        assert word in page.text


def test_runs_share_a_chart_and_the_teacher_is_a_level_in_it(text: str) -> None:
    chart = text.partition("Accuracy on the test split")[2].partition("</section>")[0]

    assert 'class="curve student"' in chart
    assert 'class="curve control"' in chart
    assert 'class="curve level teacher"' in chart


def test_every_metric_has_a_chart(text: str) -> None:
    assert text.count('class="chart"') == 3
    assert "Training loss: logit_kd" in text


def test_page_is_made_for_light_and_dark(text: str) -> None:
    assert "prefers-color-scheme: dark" in text


def test_training_job_without_teacher_has_one_column_and_no_difference(
    report: Report, train_job: TrainJob
) -> None:
    alone = report.model_copy(
        update={
            "kind": "train",
            "columns": {"network": report.columns["student"]},
            "difference": None,
        }
    )

    page = _Page(render_report(alone, spec=train_job))

    assert "difference" not in page.text
    assert "a teacher" in page.text
    assert page.open == []


def test_more_classes_than_fit_a_picture_leave_it_out(
    report: Report, distill_job: DistillJob
) -> None:
    many = 101
    matrix = tuple(tuple(int(i == j) for j in range(many)) for i in range(many))
    scores = (
        report.columns["student"]
        .splits["test"]
        .model_copy(
            update={
                "confusion_matrix": matrix,
                "per_class_accuracy": (1.0,) * many,
                "per_class_num_examples": (1,) * many,
                "most_confused": (),
            }
        )
    )
    column = report.columns["student"].model_copy(update={"splits": {"test": scores}})
    wide = report.model_copy(
        update={"columns": {"student": column}, "difference": None, "class_names": ()}
    )

    page = _Page(render_report(wide, spec=distill_job))

    assert page.count("rect") == 0
    assert page.open == []


def test_page_is_written_as_utf8(
    report: Report,
    distill_job: DistillJob,
    text: str,
    series: Sequence[MetricSeries],
    tmp_path: Path,
) -> None:
    path = write_report_html(tmp_path / "report.html", report, spec=distill_job, series=series)

    assert path.read_bytes().decode() == text


def test_page_says_who_learned_from_whom(report: Report, distill_job: DistillJob) -> None:
    known = report.columns["teacher"].model_copy(update={"balanced_accuracy_beforehand": 0.9321})
    measured = report.model_copy(update={"columns": {**report.columns, "teacher": known}})
    text = _Page(render_report(measured, spec=distill_job)).text
    assert "Methodlogit_kd" in text
    assert "student from teacher; control from labels alone" in text
    assert "teacher 93.21" in text


def test_page_says_that_peers_learned_from_one_another(
    report: Report, distill_job: DistillJob
) -> None:
    alone = {"teachers": (), "method": MutualLearning()}
    text = _Page(render_report(report, spec=distill_job.model_copy(update=alone))).text
    assert "student from its peers" in text


def test_stages_after_the_first_are_marked_where_they_begin(
    report: Report, distill_job: DistillJob, series: Sequence[MetricSeries]
) -> None:
    """The series go from step 10 to step 100."""
    staged = report.model_copy(update={"stages": {"student": _STAGES}})

    page = render_report(staged, spec=distill_job, series=series)

    assert page.count('class="grid mark"') == page.count('class="chart"') == 3
    assert page.count(">training</text>") == 3
    assert ">hint</text>" not in page
    assert ">beyond</text>" not in page


def test_page_names_the_layers_that_were_compared(report: Report, distill_job: DistillJob) -> None:
    hint = Fitnet(layers=(LayerPair(teacher="layer2", student="layers.4", adapter="conv1x1"),))
    text = _Page(render_report(report, spec=distill_job.model_copy(update={"method": hint}))).text
    assert "student's layers.4 from teacher's layer2 by conv1x1" in text


def test_page_says_how_long_each_stage_was(report: Report, distill_job: DistillJob) -> None:
    stages = {"student": _STAGES[:2], "control": (_stage("training", 0, 1400),)}
    staged = report.model_copy(update={"stages": stages})
    text = _Page(render_report(staged, spec=distill_job)).text
    assert "student hint 40, training 360; control training 1,400" in text


def test_each_stage_has_a_chart_of_its_own_loss(
    report: Report, distill_job: DistillJob, series: Sequence[MetricSeries]
) -> None:
    """A hint's loss may be thousands of times that of the task: on one axis one is a flat line."""
    losses = [
        MetricSeries("student", "loss", (20, 40, 60, 80), (9000.0, 8000.0, 2.0, 1.0)),
        MetricSeries("student", "hint", (20, 40), (9000.0, 8000.0)),
        MetricSeries("control", "loss", (20, 40, 60, 80), (2.5, 2.25, 1.75, 1.5)),
    ]
    stages = {"student": _STAGES[:2], "control": (_stage("training", 0, 100),)}
    staged = report.model_copy(update={"stages": stages})

    page = render_report(staged, spec=distill_job, series=[*series, *losses])

    assert "Training loss: hint" not in page  # it is all of that stage's loss
    hint, training = (
        page.partition(f"Training loss in stage {name}</h2>")[2].partition("</section>")[0]
        for name in ("hint", "training")
    )
    assert "8k" in hint
    assert "control" not in hint
    assert "k</" not in training
    assert ">1.5<" in training


def _stage(name: str, first_step: int, num_steps: int) -> StageReport:
    return StageReport(name=name, first_step=first_step, num_steps=num_steps)


_STAGES = (_stage("hint", 0, 40), _stage("training", 40, 360), _stage("beyond", 400, 100))
