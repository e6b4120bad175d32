"""Runs one experiment: `python -m recipes mnist --data FOLDER`.

Jobs that lie finished below `--work` are not run again, and interrupted ones go on. The result is
written to `benchmarks/results/<experiment>_<date>.json` and printed beside what was expected.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measuring import machine, write_result
from recipes.datasets import prepare_dataset
from recipes.description import FULL_SCALE, Recipe, read_recipe
from recipes.planning import plan_jobs, scale_of
from recipes.result import RecipeResult, compare, failures_of, group_jobs
from recipes.running import FailedJob, JobRunner, Machine, Outcome
from recipes.tables import result_table

ROOT = Path(__file__).parents[1]
RECIPES = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment that the arguments name; 1 if a job of it failed."""
    options = _parse(arguments)
    folder = options.recipes / options.name
    recipe = read_recipe(folder)
    result = run_recipe(recipe, folder, options)
    print(result_table(result))
    write_result(
        options.out / f"{options.name}{_scale_suffix(options.scale)}_{result.date}.json",
        result.model_dump(mode="json"),
    )
    return 1 if result.failures else 0


def run_recipe(recipe: Recipe, folder: Path, options: argparse.Namespace) -> RecipeResult:
    """Prepare the dataset, run every job, compare."""
    scale = scale_of(recipe, options.scale)
    jobs = plan_jobs(recipe, folder, scale)
    dataset = prepare_dataset(recipe.dataset.name, options.data, options.work / "datasets")
    threads = options.threads or max(1, len(os.sched_getaffinity(0)) // options.workers)
    runner = JobRunner(
        dataset,
        options.work / "jobs",
        Machine(options.device, options.workers, threads),
        given=dict(options.given),
        only_finished=options.only_finished,
        tell=_tell,
    )
    outcomes = runner.run(jobs)
    return RecipeResult(
        recipe=options.name,
        title=recipe.title,
        source=recipe.source,
        date=datetime.now(UTC).date(),
        scale=options.scale,
        scale_summary=scale.summary,
        dataset=dataset[1].description,
        machine=machine(threads),
        num_workers=options.workers,
        notes=tuple(options.note),
        groups=group_jobs(outcomes),
        comparisons=compare(recipe, outcomes),
        failures=failures_of(outcomes),
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m recipes", description=__doc__)
    parser.add_argument("name", help="folder of the experiment, such as mnist")
    parser.add_argument("--data", type=Path, help="where the dataset lies; see recipes/README.md")
    parser.add_argument("--scale", default=FULL_SCALE, help="a scale of the recipe, such as cpu")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--workers", type=int, default=1, help="jobs side by side")
    parser.add_argument("--threads", type=int, help="CPU threads of each job")
    parser.add_argument(
        "--given",
        type=_given,
        action="append",
        default=[],
        metavar="JOB=FOLDER",
        help="the result of that very job, run elsewhere: a folder that holds artifacts/",
    )
    parser.add_argument(
        "--note",
        action="append",
        default=[],
        help="what a reader of the result must know of how it was run; goes into the result",
    )
    parser.add_argument(
        "--only-finished", action="store_true", help="run nothing, report what lies finished"
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "recipes")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--recipes", type=Path, default=RECIPES, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _given(text: str) -> tuple[str, Path]:
    job, separator, folder = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not JOB=FOLDER")
    return job, Path(folder)


def _tell(outcome: Outcome, num_left: int) -> None:
    if isinstance(outcome, FailedJob):
        said = f"FAILED: {outcome.message}"
    else:
        columns = outcome.report.columns
        said = ", ".join(f"{run} {c.splits['test'].accuracy:.2%}" for run, c in columns.items())
    print(f"{outcome.planned.name}: {said} ({num_left} to go)", flush=True)


def _scale_suffix(scale: str) -> str:
    return "" if scale == FULL_SCALE else f"_{scale}"


if __name__ == "__main__":
    sys.exit(main())
