"""Two processes that each see half of the images learn what one learns from all of them."""

from pathlib import Path

import torch
from torch.multiprocessing.spawn import spawn

from kdcore.features import Tapped
from tests.kdcore.features.networks import classifier_of, images
from tests.kdcore.features.two_processes import (
    LAYERS,
    WORLD_SIZE,
    Gradients,
    gradients_of,
    network,
    train,
)


def test_gradients_through_tapped_layers_are_those_of_one_process(tmp_path: Path) -> None:
    whole = gradients_of(Tapped(classifier_of(network()), LAYERS), images(8))
    early = gradients_of(Tapped(classifier_of(network()), ("stage",), to_end=False), images(8))

    spawn(train, args=(str(tmp_path),), nprocs=WORLD_SIZE)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    for rank in range(WORLD_SIZE):
        results: dict[str, Gradients] = torch.load(tmp_path / f"{rank}.pt")
        assert set(results) == {"outside", "early", "inside", "around"}
        for wrapping, gradients in results.items():
            by_plain_name = {name.replace("module.", ""): each for name, each in gradients.items()}
            for name, value in (early if wrapping == "early" else whole).items():
                torch.testing.assert_close(by_plain_name[name], value, rtol=1e-5, atol=1e-6)
