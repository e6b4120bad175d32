"""Parts of a batch: together they are the batch, and their shares add up to one."""

import pytest

from kdcore.distributed import BatchPart


def parts(num_images: int, world_size: int) -> list[BatchPart]:
    return [BatchPart(num_images, rank, world_size) for rank in range(world_size)]


@pytest.mark.parametrize("num_images", [3, 4, 64, 65, 127])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_parts_follow_each_other_and_make_up_the_batch(num_images: int, world_size: int) -> None:
    rows = [row for part in parts(num_images, world_size) for row in range(200)[part.rows]]
    assert rows == list(range(num_images))


@pytest.mark.parametrize(("num_images", "sizes"), [(8, (4, 4)), (7, (4, 3)), (2, (1, 1))])
def test_parts_differ_by_one_image_at_most(num_images: int, sizes: tuple[int, ...]) -> None:
    assert all(part.sizes == sizes for part in parts(num_images, 2))


def test_parts_count_by_their_images() -> None:
    assert [part.share_of_mean for part in parts(7, 2)] == [4 / 7, 3 / 7]
    assert [part.share_of_whole for part in parts(7, 2)] == [1 / 2, 1 / 2]


def test_batch_of_fewer_images_than_processes_is_everyones() -> None:
    for part in parts(2, 3):
        assert not part.is_split
        assert part.rows == slice(0, 2)
        assert part.share_of_mean == pytest.approx(1 / 3)


def test_one_process_has_all_of_it() -> None:
    (part,) = parts(5, 1)
    assert not part.is_split
    assert (part.rows, part.share_of_mean) == (slice(0, 5), 1.0)
