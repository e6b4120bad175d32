"""What a job needs of the machine that it runs on."""

from typing import Literal

from pydantic import Field

from kdcore.spec.base import SpecModel

MAX_PROCESSES = 16

WantedDevice = Literal["any", "cpu", "gpu"]


class Resources(SpecModel):
    """What a job needs of a worker; it waits in the queue until one that has it is free."""

    device: WantedDevice = Field(
        "any", description="Where it trains: on whatever the worker has, on CPU, or on a GPU."
    )
    num_processes: int = Field(
        1,
        ge=1,
        le=MAX_PROCESSES,
        description="Processes that train together, each on a GPU of its own, or sharing the "
        "cores of a CPU. Each takes its part of every batch.",
    )
    memory_bytes: int | None = Field(
        None,
        ge=1,
        description="Memory that the device must have: of each GPU, or of the machine for CPU.",
    )
