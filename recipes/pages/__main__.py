"""Writes every page whose result lies in `benchmarks/results/`: `python -m recipes.pages`."""

import sys
from pathlib import Path

from recipes.pages.newest import newest_result
from recipes.pages.omitted import write_omitted
from recipes.pages.temperature import write_temperatures
from recipes.pages.zoo import zoo_page

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Write the zoo, the omitted classes, and the measured part of the page on temperatures."""
    results, docs = ROOT / "benchmarks" / "results", ROOT / "docs"
    zoo = newest_result(results, "cifar10_zoo")
    if zoo is not None:
        (docs / "zoo.md").write_text(zoo_page(zoo))
        print("wrote docs/zoo.md")
    temperatures = newest_result(results, "mnist_temperature")
    if temperatures is not None:
        write_temperatures(temperatures, docs)
        print("wrote docs/choosing_temperature.md and its pictures")
    omitted = [newest_result(results, name) for name in ("mnist_omitted", "cifar10_slides")]
    if found := [result for result in omitted if result is not None]:
        write_omitted(found, docs)
        print("wrote docs/omitted_classes.md and its pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
