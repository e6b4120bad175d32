"""Training checkpoints: one safetensors file with everything a job needs to go on, bit for bit."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from kdcore.checkpoints import read_safetensors, write_safetensors
from kdcore.errors import CheckpointDamaged
from kdcore.report import Run
from kdcore.trainer.history import History

KEPT_CHECKPOINTS = 2
_FILE_NAME = re.compile(r"checkpoint-(\d{10})\.safetensors")
_HALF_WRITTEN = ".checkpoint-*.tmp"  # as `write_safetensors` names it

Tensors = dict[str, torch.Tensor]


class CheckpointHeader(BaseModel):
    """The JSON beside the tensors of a checkpoint, kept in the file's metadata."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = 1
    job_digest: str
    """Of spec, dataset and teachers: a checkpoint never serves another job."""
    run: Run
    stage_index: int
    """Which stage of the run, from 0; its optimizer and objective are what is kept."""
    training_stage: str | None = None
    """That stage's name; None in checkpoints of older versions."""
    step: int
    """Optimizer steps finished in this run."""
    total_steps: int
    """Optimizer steps finished over all runs."""
    num_threads: int
    trained_seconds: float
    window_count: int
    history_order: list[str]
    finished_runs: list[Run]
    log: list[str]


@dataclass
class JobState:
    """A job between two steps. Tensors may live on any device."""

    header: CheckpointHeader
    network: Tensors
    optimizer: Tensors
    objective: Tensors
    """What the stage trains or remembers beside the network: regressors, peers, memory banks."""
    window: Tensors
    finished: dict[Run, Tensors]
    history: History = field(default_factory=History)

    def changing(self) -> Tensors:
        """Name, as in the file, the tensors that the next step changes where they are."""
        return _named(
            {
                "network/": self.network,
                "optimizer/": self.optimizer,
                "objective/": self.objective,
                "window/": self.window,
            }
        )

    def settled(self) -> Tensors:
        """Name, as in the file, the tensors that nothing changes any more."""
        finished = {f"finished/{run}/": tensors for run, tensors in self.finished.items()}
        return _named({"history/": self.history.tensors(), **finished})


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint file that is complete on disk."""

    header: CheckpointHeader
    path: Path
    sha256: str
    size_bytes: int


class CheckpointFolder:
    """Writes checkpoints into a folder, newest last, and keeps the last two."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, header: CheckpointHeader, tensors: Tensors) -> SavedCheckpoint:
        """Write the named tensors of a state atomically, then drop all but the newest two.

        Raises:
            OSError: the file cannot be written; those before it are as they were.
        """
        path = self._folder / f"checkpoint-{header.total_steps:010d}.safetensors"
        sha256 = write_safetensors(path, tensors, {"header": header.model_dump_json()})
        path.with_suffix(".sha256").write_text(sha256)
        for old in self._paths()[KEPT_CHECKPOINTS:]:
            _remove(old)
        return SavedCheckpoint(header, path, sha256, path.stat().st_size)

    def newest(self) -> JobState | None:
        """Read the newest checkpoint that is whole. Call it before anything is saved.

        Damaged ones are removed: they would otherwise count among the newest, and push out what
        is written after them. So is what a process left half written when it was killed.
        """
        for half in self._folder.glob(_HALF_WRITTEN):
            half.unlink(missing_ok=True)
        for path in self._paths():
            try:
                return read_checkpoint(path)
            except CheckpointDamaged:
                _remove(path)
        return None

    def _paths(self) -> list[Path]:
        names = [path for path in self._folder.iterdir() if _FILE_NAME.fullmatch(path.name)]
        return sorted(names, reverse=True)


def _remove(path: Path) -> None:
    # Other processes of the job may find it damaged at the same time.
    path.unlink(missing_ok=True)
    path.with_suffix(".sha256").unlink(missing_ok=True)


def read_checkpoint(path: Path) -> JobState:
    """Read one checkpoint, checked against the digest written beside it.

    Raises:
        CheckpointDamaged: if the digest is missing or does not match, or the header is not ours.
    """
    digest_path = path.with_suffix(".sha256")
    if not digest_path.exists():
        raise CheckpointDamaged("The checkpoint has no digest beside it; the one before is used.")
    tensors, metadata = read_safetensors(path, sha256=digest_path.read_text().strip())
    try:
        header = CheckpointHeader.model_validate_json(metadata.get("header", ""))
    except ValidationError:
        raise CheckpointDamaged("The checkpoint's header is not one of ours.") from None
    return JobState(
        header=header,
        network=_part(tensors, "network/"),
        optimizer=_part(tensors, "optimizer/"),
        objective=_part(tensors, "objective/"),
        window=_part(tensors, "window/"),
        finished={run: _part(tensors, f"finished/{run}/") for run in header.finished_runs},
        history=History.from_tensors(_part(tensors, "history/"), header.history_order),
    )


def job_digest(*parts: str) -> str:
    """Digest of what makes two jobs the same: spec JSON, dataset digest, teacher digests."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _named(groups: Mapping[str, Tensors]) -> Tensors:
    return {
        f"{prefix}{name}": tensor
        for prefix, tensors in groups.items()
        for name, tensor in tensors.items()
    }


def _part(tensors: Tensors, prefix: str) -> Tensors:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
