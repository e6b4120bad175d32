"""The tables of `report.html`."""

from collections.abc import Sequence

from kdcore.export.class_names import class_name, shortened
from kdcore.export.markup import Markup, element, join
from kdcore.export.number_text import count, percent
from kdcore.export.report_rows import NOTHING, ReportRow, columns, main_run
from kdcore.report import Report, SplitScores

_NAME_LENGTH = 60
_MAX_CONFUSIONS = 10


def measures_table(report: Report, rows: Sequence[ReportRow], *, caption: str) -> Markup:
    """Networks side by side, and what the teacher was worth where there is a control."""
    runs = columns(report)
    has_difference = report.difference is not None
    heads = [caption, *runs] + ["difference"] * has_difference
    body = []
    for row in rows:
        cells = [
            element("td", text, class_="main" if run == main_run(report) else "")
            for run, text in zip(runs, row.cells, strict=True)
        ]
        if has_difference:
            kind = {True: "better", False: "worse", None: ""}[row.is_better]
            cells.append(element("td", row.difference, class_=kind))
        body.append(element("tr", element("th", row.measure, scope="row"), *cells))
    return _table(heads, body)


def classes_table(report: Report, split: str) -> Markup:
    """Accuracy of every class, by network."""
    runs = [run for run in columns(report) if split in report.columns[run].splits]
    scores = [report.columns[run].splits[split] for run in runs]
    body = []
    for label, num_examples in enumerate(scores[0].per_class_num_examples):
        shares = [one.per_class_accuracy[label] for one in scores]
        cells = [element("td", NOTHING if s is None else percent(s, digits=1)) for s in shares]
        head = element("th", _name(report, label), scope="row")
        body.append(element("tr", head, element("td", count(num_examples)), *cells))
    return _table(["Class", "images", *runs], body)


def confusions_table(report: Report, scores: SplitScores) -> Markup:
    """The pairs of classes that a network confuses most."""
    if not scores.num_errors:
        return element("p", "Every image is recognised.", class_="note")
    body = [
        element(
            "tr",
            element("th", _name(report, one.label), scope="row"),
            element("td", _name(report, one.predicted)),
            element("td", count(one.num_examples)),
            element("td", percent(one.share, digits=1)),
        )
        for one in scores.most_confused[:_MAX_CONFUSIONS]
    ]
    return _table(["Images of", "taken for", "number", "share"], body)


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """Rows of text under `heads`; the first cell says what the row is."""
    body = [
        element("tr", element("th", what, scope="row"), *(element("td", cell) for cell in cells))
        for what, *cells in rows
    ]
    return _table(heads, body)


def facts_table(facts: Sequence[tuple[str, str]]) -> Markup:
    """Two columns: what, and its value."""
    rows = [
        element("tr", element("th", what, scope="row"), element("td", value))
        for what, value in facts
    ]
    return element("table", element("tbody", *rows), class_="facts")


def _name(report: Report, label: int) -> str:
    return shortened(class_name(report.class_names, label), _NAME_LENGTH)


def _table(heads: Sequence[str], body: Sequence[Markup]) -> Markup:
    head = element("tr", *(element("th", text, scope="col") for text in heads))
    return join(element("table", element("thead", head), element("tbody", *body)))
