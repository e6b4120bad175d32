"""The short result that a job's row keeps: what a list of jobs shows without its report."""

from kdcore.report import NetworkReport, Report
from kdstore.tables import JsonObject


def summarise(report: Report) -> JsonObject:
    """Give accuracy and size of every network, and what the teacher was worth, if known."""
    difference = report.difference or {}
    return {
        "networks": {run: _network(column) for run, column in report.columns.items()},
        "difference": {
            split: {"accuracy": gained.accuracy, "num_errors": gained.num_errors}
            for split, gained in difference.items()
        }
        or None,
    }


def _network(column: NetworkReport) -> JsonObject:
    return {
        "parameters": column.parameters,
        "megaflops": column.megaflops,
        "size_bytes": column.size_bytes,
        "splits": {
            split: {"accuracy": scores.accuracy, "num_errors": scores.num_errors}
            for split, scores in column.splits.items()
        },
    }
