"""Batches depend on spec, seed, epoch and step alone, and hold what they say they hold.

B batch, N examples, H height, W width, C channels.
"""

from dataclasses import fields

import numpy as np
import pytest
import torch

from kdcore.data import ArraySplit, Batch, EvalView, TrainView
from kdcore.data.augmentation import build_augmentation
from kdcore.data.image_rows import ImageRows
from kdcore.spec import Crop, CutMix, Flip, Jitter, MixSpec, Mixup, NoMix, TransferSpec

_CPU = torch.device("cpu")
_DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture
def split() -> ArraySplit:
    rng = np.random.default_rng(0)
    images_NHWC = rng.integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)
    images_NHWC.flags.writeable = False  # as from a memory map
    labels_N = np.arange(50) % 4
    labels_N.flags.writeable = False
    return ArraySplit(images_NHWC, labels_N)


def _view(
    split: ArraySplit, transfer: TransferSpec | None = None, *, seed: int = 0, device: str = "cpu"
) -> TrainView:
    return TrainView(
        split,
        transfer=transfer or TransferSpec(augmentation=Crop(padding=2)),
        batch_size=16,
        seed=seed,
        device=torch.device(device),
    )


def _same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.images_BCHW, other.images_BCHW)
        and torch.equal(one.labels_B, other.labels_B)
        and torch.equal(one.indices_B, other.indices_B)
        and torch.equal(one.view_B, other.view_B)
    )


def test_the_last_short_batch_is_kept_and_an_epoch_sees_every_example_once(
    split: ArraySplit,
) -> None:
    view = _view(split)
    assert (view.num_examples, view.steps_per_epoch, view.num_views) == (50, 4, 50)
    batches = [view.batch(3, step) for step in range(4)]
    assert [len(batch.labels_B) for batch in batches] == [16, 16, 16, 2]
    seen = torch.cat([batch.indices_B for batch in batches])
    assert seen.sort().values.tolist() == list(range(50))
    assert seen.tolist() != list(range(50))


@pytest.mark.parametrize(("batch_size", "lengths"), [(7, [7] * 6 + [8]), (49, [50]), (60, [50])])
def test_single_image_left_over_goes_with_the_batch_before(
    split: ArraySplit, batch_size: int, lengths: list[int]
) -> None:
    transfer = TransferSpec(augmentation=Crop(padding=2), mix=Mixup())
    view = TrainView(split, transfer=transfer, batch_size=batch_size, seed=0, device=_CPU)
    batches = [view.batch(1, step) for step in range(view.steps_per_epoch)]
    assert [len(batch.images_BCHW) for batch in batches] == lengths
    seen = torch.cat([batch.indices_B for batch in batches])
    assert seen.sort().values.tolist() == list(range(50))
    assert view.smallest_batch == min(lengths)


def test_batches_of_one_image_are_told(split: ArraySplit) -> None:
    view = TrainView(split, transfer=TransferSpec(), batch_size=1, seed=0, device=_CPU)
    assert (view.steps_per_epoch, view.smallest_batch) == (50, 1)
    assert _view(split).smallest_batch == 2


def test_batches_are_float_channels_last_and_labelled(split: ArraySplit) -> None:
    batch = _view(split, TransferSpec()).batch(0, 0)
    assert batch.images_BCHW.dtype == torch.float32
    assert batch.images_BCHW.shape == (16, 3, 6, 5)
    assert batch.images_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels_B.dtype == batch.indices_B.dtype == batch.view_B.dtype == torch.int64
    indices_B = batch.indices_B.numpy()
    expected_BHWC = split.images_NHWC[indices_B].astype(np.float32) / np.float32(255)
    assert np.array_equal(batch.images_BCHW.permute(0, 2, 3, 1).numpy(), expected_BHWC)
    assert np.array_equal(batch.labels_B.numpy(), split.labels_N[indices_B])
    assert batch.view_B.tolist() == [0] * 16


@pytest.mark.parametrize("spec", [Crop(padding=2), Jitter(pixels=2), Flip()])
def test_index_and_view_determine_the_image(split: ArraySplit, spec: Crop | Jitter | Flip) -> None:
    view = _view(split, TransferSpec(augmentation=spec))
    augmentation = build_augmentation(spec, height=6, width=5)
    views_seen: set[int] = set()
    for epoch in range(3):
        for step in range(view.steps_per_epoch):
            batch = view.batch(epoch, step)
            originals = torch.from_numpy(split.images_NHWC[batch.indices_B.numpy()])
            varied_BHWC = augmentation.apply(originals, batch.view_B)
            found_BHWC = batch.images_BCHW.permute(0, 2, 3, 1) * 255
            assert torch.equal(found_BHWC.round().to(torch.uint8), varied_BHWC)
            views_seen.update(batch.view_B.tolist())
    assert view.num_views is not None
    assert len(views_seen) > view.num_views // 2


def test_one_seed_gives_the_same_batches_whatever_was_asked_before(split: ArraySplit) -> None:
    one, other = _view(split, seed=7), _view(split, seed=7)
    forwards = {(e, s): one.batch(e, s) for e in range(3) for s in range(4)}
    for (epoch, step), batch in reversed(forwards.items()):
        assert _same(other.batch(epoch, step), batch)


def test_epochs_and_seeds_differ(split: ArraySplit) -> None:
    view = _view(split)
    first = view.batch(0, 0)
    assert not torch.equal(view.batch(1, 0).indices_B, first.indices_B)
    assert not torch.equal(view.batch(1, 0).view_B, first.view_B)
    assert not torch.equal(_view(split, seed=1).batch(0, 0).indices_B, first.indices_B)


def test_augmentation_does_not_change_the_order(split: ArraySplit) -> None:
    plain = _view(split, TransferSpec()).batch(5, 2)
    assert torch.equal(plain.indices_B, _view(split).batch(5, 2).indices_B)


def test_excluded_classes_never_appear_and_indices_stay_those_of_the_split(
    split: ArraySplit,
) -> None:
    view = _view(split, TransferSpec(exclude_classes=(1, 2)))
    assert view.num_examples == 25
    indices = torch.cat([view.batch(0, step).indices_B for step in range(view.steps_per_epoch)])
    assert sorted(indices.tolist()) == [i for i in range(50) if i % 4 in (0, 3)]
    batch = view.batch(0, 1)
    assert np.array_equal(batch.labels_B.numpy(), split.labels_N[batch.indices_B.numpy()])
    kept = torch.tensor([i for i in range(50) if i % 4 in (0, 3)])
    assert torch.equal(kept[batch.member_B], batch.indices_B)


def test_unlabelled_images_carry_no_label(split: ArraySplit) -> None:
    labelled = _view(split, TransferSpec(unlabeled=True, fraction=0.5)).batch(0, 0)
    relabelled = ArraySplit(split.images_NHWC, split.labels_N[::-1].copy())
    other = _view(relabelled, TransferSpec(unlabeled=True, fraction=0.5)).batch(0, 0)
    assert labelled.labels_B.tolist() == [-1] * 16
    assert _same(labelled, other)
    with pytest.raises(IndexError):
        torch.nn.functional.cross_entropy(torch.zeros(16, 4), labelled.labels_B)


@pytest.mark.parametrize("mix", [Mixup(alpha=0.5), CutMix()])
def test_a_mixed_batch_is_the_augmented_one_with_the_one_before(
    split: ArraySplit, mix: MixSpec
) -> None:
    plain = _view(split)
    view = _view(split, TransferSpec(augmentation=Crop(padding=2), mix=mix))
    assert view.num_views is None
    for step in range(view.steps_per_epoch):
        mixed, own = view.batch(1, step), plain.batch(1, step)
        assert torch.equal(mixed.indices_B, own.indices_B)
        assert torch.equal(mixed.labels_B, own.labels_B)
        assert mixed.other_B is not None
        assert mixed.share_B is not None
        assert torch.equal(mixed.other_B, own.labels_B.roll(1))
        others_BCHW = own.images_BCHW.roll(1, 0)
        assert mixed.images_BCHW.is_contiguous(memory_format=torch.channels_last)
        if isinstance(mix, Mixup):
            share_B111 = mixed.share_B.view(-1, 1, 1, 1)
            expected = torch.lerp(others_BCHW, own.images_BCHW, share_B111)
            assert torch.allclose(mixed.images_BCHW, expected, atol=1e-6)
        else:
            taken = (mixed.images_BCHW != own.images_BCHW).any(dim=1)
            assert torch.equal(
                mixed.images_BCHW,
                torch.where(taken.unsqueeze(1), others_BCHW, own.images_BCHW),
            )


def test_mixes_depend_on_seed_and_epoch_alone(split: ArraySplit) -> None:
    spec = TransferSpec(mix=Mixup())
    one, other = _view(split, spec, seed=7), _view(split, spec, seed=7)
    later = one.batch(2, 1)
    one.batch(0, 3)
    again = one.batch(2, 1)
    assert _same(other.batch(2, 1), later)
    assert _same(again, later)
    assert later.share_B is not None
    assert not torch.equal(later.share_B, _shares(one, epoch=3))
    assert not torch.equal(later.share_B, _shares(_view(split, spec, seed=8), epoch=2))


def _shares(view: TrainView, *, epoch: int) -> torch.Tensor:
    share_B = view.batch(epoch, 1).share_B
    assert share_B is not None
    return share_B


@pytest.mark.parametrize("step", [-1, 4, 1000])
def test_a_step_beyond_the_epoch_is_an_error(split: ArraySplit, step: int) -> None:
    with pytest.raises(IndexError):
        _view(split).batch(0, step)


def test_global_random_state_is_neither_used_nor_touched(split: ArraySplit) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = _view(split).batch(0, 0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert _same(_view(split).batch(0, 0), first)


@pytest.mark.parametrize("device", _DEVICES)
def test_every_device_gives_the_cpu_s_batches(split: ArraySplit, device: str) -> None:
    for epoch in range(2):
        for step in range(4):
            batch = _view(split, device=device).batch(epoch, step)
            assert batch.images_BCHW.device.type == device
            moved = Batch(
                batch.images_BCHW.cpu(),
                batch.labels_B.cpu(),
                batch.indices_B.cpu(),
                batch.view_B.cpu(),
                batch.member_B.cpu(),
            )
            assert _same(moved, _view(split).batch(epoch, step))


@pytest.mark.parametrize("device", _DEVICES)
@pytest.mark.parametrize("batch_size", [1, 16, 50, 64])
def test_evaluation_goes_through_the_split_in_order(
    split: ArraySplit, batch_size: int, device: str
) -> None:
    view = EvalView(split, device=torch.device(device))
    batches = list(view.batches(batch_size))
    assert view.num_examples == 50
    assert max(len(batch.labels_B) for batch in batches) == min(batch_size, 50)
    images_NCHW = torch.cat([batch.images_BCHW for batch in batches]).cpu()
    expected_NHWC = np.asarray(split.images_NHWC, dtype=np.float32) / np.float32(255)
    assert np.array_equal(images_NCHW.permute(0, 2, 3, 1).numpy(), expected_NHWC)
    assert torch.cat([batch.labels_B for batch in batches]).tolist() == split.labels_N.tolist()
    assert torch.cat([batch.indices_B for batch in batches]).tolist() == list(range(50))
    assert all(not batch.view_B.any() for batch in batches)


def test_evaluation_can_be_repeated(split: ArraySplit) -> None:
    view = EvalView(split, device=_CPU)
    for one, other in zip(view.batches(16), view.batches(16), strict=True):
        assert _same(one, other)
        one.images_BCHW.zero_()


@pytest.mark.parametrize("mix", [NoMix(), Mixup(alpha=1.0), CutMix(alpha=1.0)])
def test_rows_of_a_batch_are_those_of_the_whole_batch(split: ArraySplit, mix: MixSpec) -> None:
    """An image at the edge of a part is mixed with the one before it, which another part has."""
    transfer = TransferSpec(augmentation=Crop(padding=2), mix=mix)
    view = _view(split, transfer)
    for step in range(view.steps_per_epoch):
        whole = view.batch(1, step)
        size = view.num_images(step)
        assert len(whole.labels_B) == size
        parts = [
            view.batch(1, step, rows=rows) for rows in (slice(0, size // 2), slice(size // 2, size))
        ]
        for field in fields(Batch):
            expected = getattr(whole, field.name)
            found = [getattr(part, field.name) for part in parts]
            if expected is None:
                assert found == [None, None]
            else:
                assert torch.equal(torch.cat(found), expected), field.name


def test_step_beyond_the_epoch_has_no_images(split: ArraySplit) -> None:
    with pytest.raises(IndexError, match="step 4 of 4"):
        _view(split).num_images(4)


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch, split: ArraySplit) -> ArraySplit:
    """The split in three shards, on a device that has no room for it."""
    monkeypatch.setattr("kdcore.data.device_images.HELD_SHARE", 0.0)
    pixels = np.asarray(split.images_NHWC)
    return ArraySplit(ImageRows(np.split(pixels, [20, 41])), split.labels_N)


@pytest.mark.parametrize("mix", [NoMix(), Mixup(alpha=1.0), CutMix(alpha=1.0)])
@pytest.mark.parametrize("device", _DEVICES)
def test_images_read_as_needed_make_the_batches_of_images_held(
    monkeypatch: pytest.MonkeyPatch,
    split: ArraySplit,
    streamed: ArraySplit,
    mix: MixSpec,
    device: str,
) -> None:
    transfer = TransferSpec(augmentation=Crop(padding=2), mix=mix, exclude_classes=(1,))
    reading = _view(streamed, transfer, device=device)
    monkeypatch.undo()
    holding = _view(split, transfer, device=device)
    assert reading.whereabouts == "images read as needed"
    assert holding.whereabouts == "images held in memory"
    asked = [(epoch, step) for epoch in range(3) for step in range(reading.steps_per_epoch)]
    for epoch, step in [*asked, (0, 1), (2, 0)]:
        for rows in (None, slice(3, 9)):
            one, other = (view.batch(epoch, step, rows=rows) for view in (reading, holding))
            for field in fields(Batch):
                found, expected = getattr(one, field.name), getattr(other, field.name)
                assert found is expected or torch.equal(found, expected), field.name


@pytest.mark.parametrize("device", _DEVICES)
def test_evaluation_reads_shards_as_it_reads_one_array(
    split: ArraySplit, streamed: ArraySplit, device: str
) -> None:
    reading = EvalView(streamed, device=torch.device(device)).batches(16)
    for one, other in zip(reading, EvalView(split, device=_CPU).batches(16), strict=True):
        assert torch.equal(one.images_BCHW.cpu(), other.images_BCHW)
        assert torch.equal(one.labels_B.cpu(), other.labels_B)


@pytest.mark.parametrize("device", _DEVICES)
def test_reading_as_needed_never_waits_for_the_device(streamed: ArraySplit, device: str) -> None:
    view = _view(streamed, device=device)
    for step in range(view.steps_per_epoch):
        view.batch(0, step)
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        batches = [view.batch(1, step) for step in range(view.steps_per_epoch)]
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert sum(len(batch.images_BCHW) for batch in batches) == 50
