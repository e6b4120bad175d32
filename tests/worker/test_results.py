"""The row of a finished job tells in short what its report tells in full."""

from kdcore.report import Report
from tests.worker.jobs_on_digits import JobBook, small_job
from worker.results import summarise
from worker.runtime import Runtime
from worker.supervisor import run_next


def test_accuracy_and_size_of_every_network_are_those_of_the_report(
    runtime: Runtime, book: JobBook
) -> None:
    job_id = book.create(small_job())
    run_next(runtime)
    report = Report.model_validate(book.report(job_id))
    column = report.columns["network"]
    summary = summarise(report)
    assert summary == book.read(job_id).result
    assert summary["difference"] is None
    assert summary["networks"]["network"] == {
        "parameters": column.parameters,
        "megaflops": column.megaflops,
        "size_bytes": column.size_bytes,
        "splits": {
            "test": {
                "accuracy": column.splits["test"].accuracy,
                "num_errors": column.splits["test"].num_errors,
            }
        },
    }
