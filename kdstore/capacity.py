"""What a worker has to offer, held against what a job needs."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, and_, or_

from kdcore.spec import WantedDevice
from kdstore.tables import Job

DeviceKind = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Capacity:
    """What one job may use of a worker."""

    device_kind: DeviceKind
    max_processes: int
    memory_bytes: int | None
    """Of each device; None if nobody knows, and then a job that asks for memory is not taken."""

    @property
    def served_devices(self) -> tuple[WantedDevice, ...]:
        """The wishes for a device that this worker meets."""
        return ("any", self.device_kind)

    def has(self, *, device: WantedDevice, num_processes: int, memory_bytes: int | None) -> bool:
        """Tell whether a job that needs this can run here."""
        return (
            device in self.served_devices
            and num_processes <= self.max_processes
            and (memory_bytes is None or memory_bytes <= (self.memory_bytes or 0))
        )


def fits(capacity: Capacity) -> ColumnElement[bool]:
    """Make the condition that a worker of this capacity can run a job: `has`, asked by SQL."""
    return and_(
        Job.wanted_device.in_(capacity.served_devices),
        Job.num_processes <= capacity.max_processes,
        or_(Job.memory_bytes.is_(None), Job.memory_bytes <= (capacity.memory_bytes or 0)),
    )


def device_kind(device: str) -> DeviceKind:
    """Tell the kind of a torch device, such as `cuda:1`."""
    return "cpu" if device.partition(":")[0] == "cpu" else "gpu"
