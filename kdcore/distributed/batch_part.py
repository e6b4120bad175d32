"""Which images of a batch one process works on, and how much they count."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchPart:
    """What the process number `rank` of `world_size` takes of a batch of `num_images`.

    Parts follow each other in the order of the ranks and differ by one image at most. A batch of
    fewer images than processes is not split: each process works on all of it, and counts as one
    of `world_size` that do the same.
    """

    num_images: int
    rank: int
    world_size: int

    @property
    def is_split(self) -> bool:
        """Whether processes have different images."""
        return 1 < self.world_size <= self.num_images

    @property
    def sizes(self) -> tuple[int, ...]:
        """Images of each rank."""
        if not self.is_split:
            return (self.num_images,) * self.world_size
        least, more = divmod(self.num_images, self.world_size)
        return tuple(least + (rank < more) for rank in range(self.world_size))

    @property
    def rows(self) -> slice:
        """The rows of the batch that are this rank's."""
        if not self.is_split:
            return slice(0, self.num_images)
        start = sum(self.sizes[: self.rank])
        return slice(start, start + self.sizes[self.rank])

    @property
    def share_of_mean(self) -> float:
        """What the mean over this part counts in the mean over the batch."""
        return self.sizes[self.rank] / sum(self.sizes)

    @property
    def share_of_whole(self) -> float:
        """What a value counts that every rank has computed from the whole batch."""
        return 1 / self.world_size
