"""Training: the loop of one run, the runs of a job, checkpoints and resume."""

from kdcore.trainer.checkpoints import CheckpointFolder, JobState, job_digest, read_checkpoint
from kdcore.trainer.job import JobControls, JobTrainer
from kdcore.trainer.plans import RunPlan, StagePlan

__all__ = [
    "CheckpointFolder",
    "JobControls",
    "JobState",
    "JobTrainer",
    "RunPlan",
    "StagePlan",
    "job_digest",
    "read_checkpoint",
]
