"""States of a job in the small, for what keeps and reads them."""

import torch

from kdcore.trainer.checkpoints import CheckpointHeader, JobState
from kdcore.trainer.history import History


def header(step: int) -> CheckpointHeader:
    return CheckpointHeader(
        job_digest="digest",
        run="student",
        stage_index=0,
        training_stage="training",
        step=step,
        total_steps=step,
        num_threads=1,
        trained_seconds=0.0,
        window_count=0,
        history_order=["student/loss"],
        finished_runs=["assistant_1"],
        log=[],
    )


def state(step: int, weight: torch.Tensor) -> JobState:
    """A state whose network has one tensor, and everything else as little."""
    history = History()
    history.add("student", "loss", step, 0.5)
    return JobState(
        header=header(step),
        network={"weight": weight},
        optimizer={"0/momentum_buffer": weight * 2},
        objective={},
        window={"loss": torch.tensor(float(step))},
        finished={"assistant_1": {"weight": torch.ones(2)}},
        history=history,
    )
