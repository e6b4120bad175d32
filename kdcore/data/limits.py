"""How large the parts of a stranger's dataset may be; docs say why, tests make them smaller."""

from dataclasses import dataclass

# As pixels, and unpacked from its zip; whoever ingests may set another bound.
MAX_DATASET_BYTES = 64 * 2**30


@dataclass(frozen=True)
class ArchiveLimits:
    """Bounds on a zip file, all checked before the thing they bound is read.

    `max_ratio` bounds unpacked over packed bytes of each entry above `ratio_free_bytes`: images
    and label lists stay far below it, deflate's worst is 1032.
    """

    max_entries: int = 200_000
    max_directory_bytes: int = 64 * 2**20
    max_name_bytes: int = 512
    max_depth: int = 8
    max_total_bytes: int = MAX_DATASET_BYTES
    max_ratio: int = 200
    ratio_free_bytes: int = 2**20


MAX_IMAGE_FILE_BYTES = 128 * 2**20
MAX_IMAGE_PIXELS = 25_000_000
MAX_UNDECODABLE_SHARE = 0.005
SHARD_BYTES = 512 * 2**20
MAX_EXAMPLES = 10_000_000
MIN_TRAIN_EXAMPLES = 10
CHUNK_BYTES = 4 * 2**20
