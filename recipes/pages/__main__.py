"""Writes every page whose result lies in `benchmarks/results/`: `python -m recipes.pages`."""

import sys
from pathlib import Path

from recipes.pages.fsp import write_fsp
from recipes.pages.newest import newest_result
from recipes.pages.omitted import write_omitted
from recipes.pages.overview import write_overview
from recipes.pages.temperature import write_temperatures
from recipes.pages.zoo import zoo_page
from recipes.result import RecipeResult

RECIPES = Path(__file__).parents[1]
ROOT = RECIPES.parent


def main() -> int:
    """Write the zoo, FSP, omitted classes, and what is measured of temperatures and all recipes."""
    results, docs = ROOT / "benchmarks" / "results", ROOT / "docs"
    if zoos := _newest(results, "cifar10_zoo", "digits_zoo"):
        (docs / "zoo.md").write_text(zoo_page(zoos))
        print("wrote docs/zoo.md")
    temperatures = newest_result(results, "mnist_temperature")
    if temperatures is not None:
        write_temperatures(temperatures, docs)
        print("wrote docs/choosing_temperature.md and its pictures")
    if found := _newest(results, "mnist_omitted", "cifar10_slides"):
        write_omitted(found, docs)
        print("wrote docs/omitted_classes.md and its pictures")
    if found := _newest(results, "cifar10_fsp", "digits_fsp"):
        write_fsp(found, docs)
        print("wrote docs/fsp.md and its pictures")
    names = sorted(path.parent.name for path in RECIPES.glob("*/recipe.json"))
    if found := _newest(results, *names):
        write_overview(found, RECIPES / "README.md")
        print("wrote recipes/README.md")
    return 0


def _newest(results: Path, *recipes: str) -> list[RecipeResult]:
    found = [newest_result(results, recipe) for recipe in recipes]
    return [result for result in found if result is not None]


if __name__ == "__main__":
    sys.exit(main())
