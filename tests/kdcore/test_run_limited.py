"""A process that may take half of its dataset's bytes trains on all of it, to the same weights."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kdcore.data.canonical import CanonicalWriter

SIDE = 32
CHUNK_IMAGES = 4000
NUM_CHUNKS = 44
# Beyond torch itself; three quarters of it is what any training takes.
LIMIT_BYTES = 288 * 2**20
RUN = (
    "import sys\n"
    "from pathlib import Path\n"
    "import torch\n"
    "from kdcore.data import load_dataset\n"
    "from kdcore.process_memory import limit_data\n"
    "from kdcore.run import run\n"
    "from kdcore.spec import parse_job\n"
    "job = parse_job({'kind': 'train', 'dataset': 'large', 'exports': ['safetensors'],\n"
    "    'network': {'architecture': 'mlp', 'hidden': [8]}, 'evaluation': {'latency': False},\n"
    "    'training': {'num_epochs': 1, 'batch_size': 500}})\n"
    "torch.zeros(2, requires_grad=True).sum().backward()\n"
    "if int(sys.argv[3]):\n"
    "    limit_data(int(sys.argv[3]))\n"
    "run(job, dataset=load_dataset(Path(sys.argv[1])), folder=Path(sys.argv[2]), device='cpu',\n"
    "    num_threads=1, reporter=lambda event: print(getattr(event, 'message', '')))\n"
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Noise of two shades in two shards, nearly twice the limit."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 200, (CHUNK_IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    labels_B = np.arange(CHUNK_IMAGES) % 2
    noise[labels_B == 1] += 50
    with CanonicalWriter(folder, (SIDE, SIDE, 3)) as writer:
        for chunk in range(NUM_CHUNKS):
            writer.append("train", np.roll(noise, chunk, axis=2), labels_B)
        writer.append("test", noise, labels_B)
        description = writer.finish(name="large", class_names=("dark", "light"), num_skipped={})
    assert len(description.splits["train"].shards) == 2
    assert NUM_CHUNKS * noise.nbytes > 1.75 * LIMIT_BYTES
    yield folder
    shutil.rmtree(folder)


def weights_and_log(dataset: Path, folder: Path, *, limit_bytes: int) -> tuple[str, str]:
    told = subprocess.run(
        [sys.executable, "-c", RUN, str(dataset), str(folder), str(limit_bytes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    weights = (folder / "artifacts" / "network.safetensors").read_bytes()
    return hashlib.sha256(weights).hexdigest(), told.stdout


@pytest.mark.slow
def test_weights_are_those_of_a_process_without_a_limit(dataset: Path, tmp_path: Path) -> None:
    free, held = weights_and_log(dataset, tmp_path / "free", limit_bytes=0)
    limited, streamed = weights_and_log(dataset, tmp_path / "limited", limit_bytes=LIMIT_BYTES)
    assert limited == free
    assert "images held in memory" in held
    assert "images read as needed" in streamed
