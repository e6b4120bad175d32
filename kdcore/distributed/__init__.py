"""Several processes that train one network together, each with a device and a part of each batch.

What they compute is what one process would: parts are weighed by their images, BatchNorm sees the
whole batch, and so do losses that relate images to one another.
"""

from kdcore.distributed.batch_part import BatchPart
from kdcore.distributed.joining import check_devices, count_gpus, device_of_rank, joined
from kdcore.distributed.shared_norm import SharedBatchNorm, share_batch_norm
from kdcore.distributed.whole_batch import whole_batch
from kdcore.distributed.world import ALONE, World

__all__ = [
    "ALONE",
    "BatchPart",
    "SharedBatchNorm",
    "World",
    "check_devices",
    "count_gpus",
    "device_of_rank",
    "joined",
    "share_batch_norm",
    "whole_batch",
]
