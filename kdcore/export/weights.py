"""`<run>.safetensors` and `<run>.json`: written, and rebuilt into a network in one call."""

from collections.abc import Mapping
from pathlib import Path

import torch

from kdcore.checkpoints import load_foreign_weights, write_safetensors
from kdcore.export.atomic import write_text
from kdcore.export.verification import Reference, check_program, removed_if_wrong
from kdcore.models import Classifier, build_network, load_weights
from kdcore.report import Run
from kdcore.spec import NetworkDescription, parse_network

# The control is mostly the student's architecture, and then has no description of its own.
_DESCRIBED_BY: dict[Run, Run] = {"control": "student"}


def write_weights(
    weights: Mapping[str, torch.Tensor],
    description: NetworkDescription,
    *,
    run: Run,
    folder: Path,
) -> list[Path]:
    """Write a network's weights and, unless another run's describes it too, its description.

    Args:
        weights: The plain network's state dict, without a wrapper's prefix.
        description: What the weights belong to.
        run: Names the files.
        folder: Where to write; it must exist.

    Returns:
        The paths that were written.
    """
    weights_path = folder / f"{run}.safetensors"
    write_safetensors(weights_path, weights)
    if run in _DESCRIBED_BY:
        return [weights_path]
    text = description.model_dump_json(indent=2) + "\n"
    return [weights_path, write_text(folder / f"{run}.json", text)]


def load_network(path: Path | str, *, run: Run | None = None) -> Classifier:
    """Rebuild a network from what a job left, such as `student.json` and `student.safetensors`.

    Args:
        path: The description (its weights lie beside it), or the folder of a job's artifacts.
        run: Which network of a folder: "student", "network" or "control". Left out, the one that
            the job was for.

    Returns:
        The network on the CPU in eval mode. It takes float images_BCHW in [0, 1], gives
        logits_BK; `classifier.network` is the plain network for normalised images.

    Raises:
        FileNotFoundError: no such description or weights.
        SpecInvalid: the description is not one.
        CheckpointRejected: the weights are not those of the described network, or not whole.
    """
    description_path, weights_path = _find(Path(path), run)
    description = parse_network(description_path.read_bytes())
    return rebuild(description, load_foreign_weights(weights_path, description))


def verify_weights(path: Path, description: NetworkDescription, reference: Reference) -> None:
    """Rebuild a network from a weights file and run it on the reference images.

    Raises:
        ExportFailed: it does not compute what the network computes; the file is removed.
    """
    network = rebuild(description, load_foreign_weights(path, description))
    with removed_if_wrong(path), torch.inference_mode():
        check_program(network, reference, name=path.name)


def rebuild(description: NetworkDescription, weights: Mapping[str, torch.Tensor]) -> Classifier:
    """Build the described network with these weights, on the CPU and in eval mode.

    Raises:
        RuntimeError: the weights are not exactly the network's.
    """
    network = build_network(description)
    load_weights(network, weights)
    return Classifier(network, description.input).eval()


def _find(path: Path, run: Run | None) -> tuple[Path, Path]:
    """Give the paths of description and weights."""
    if not path.is_dir():
        return path, path.with_suffix(".safetensors")
    runs: tuple[Run, ...] = ("student", "network") if run is None else (run,)
    for wanted in runs:
        own = path / f"{wanted}.json"
        description = own if own.exists() else path / f"{_DESCRIBED_BY.get(wanted, wanted)}.json"
        if description.exists():
            return description, path / f"{wanted}.safetensors"
    raise FileNotFoundError(
        f"{path} holds no description of a network: {' or '.join(f'{r}.json' for r in runs)}."
    )
