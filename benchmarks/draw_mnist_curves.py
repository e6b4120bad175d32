"""Draws the picture of the README from the newest result of `mnist_distillation.py`.

    pip install -c constraints.txt -e '.[benchmarks]' && python benchmarks/draw_mnist_curves.py

Needs matplotlib, which nothing else does.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

ROOT = Path(__file__).parents[1]
TEST_DIGITS = 10_000
STYLES = {
    "student": ("#0b7285", "student, distilled at T=20"),
    "control": ("#c2410c", "control, the same net alone"),
}


def main() -> None:
    """Write `docs/images/mnist_curves.svg`."""
    newest = max((ROOT / "benchmarks" / "results").glob("mnist_distillation_*.json"))
    result = json.loads(newest.read_text())
    teacher = result["runs"]["student"][0]["teacher"]["num_errors"]
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    for series in result["test_accuracy_of_first_seed"]:
        colour, label = STYLES[series["run"]]
        epochs = range(1, len(series["values"]) + 1)
        errors = [round((1 - value) * TEST_DIGITS) for value in series["values"]]
        axes.plot(epochs, errors, color=colour, label=f"{label}: {errors[-1]}")
    axes.axhline(teacher, color="#868e96", linestyle="--", label=f"teacher: {teacher}")
    axes.set(ylim=(50, 250), xlabel="epoch", ylabel="errors on 10,000 test digits")
    axes.set_title(
        "MNIST, 784-800-800-10, seed " + str(result["runs"]["student"][0]["seed"]), fontsize=10
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    destination = ROOT / "docs" / "images" / "mnist_curves.svg"
    destination.parent.mkdir(parents=True, exist_ok=True)
    # A fixed salt and no date: drawing it again gives the same file.
    plt.rcParams["svg.hashsalt"] = "potstill"
    figure.savefig(destination, metadata={"Date": None})
    print(f"wrote {destination.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
