"""Every operation equals torchvision's, and a view's number says which were done.

B batch, H height, W width, C channels.
"""

from collections.abc import Callable

import pytest
import torch

from kdcore.data.augmentation import build_augmentation
from kdcore.data.randaugment import NUM_CHOICES, Operation, RandAugmentation, changed
from kdcore.data.shifts import Shifts
from kdcore.errors import IncompatibleInputs
from kdcore.models.torchvision_import import import_torchvision_models
from kdcore.spec import RandAugment

Reference = Callable[[torch.Tensor, Operation, int, int], torch.Tensor]
"""From images_BCHW, operation, magnitude and sign to torchvision's result."""

_DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
_STILL = Shifts(padding=0, flips=False)
_TORCHVISION_NAMES = {
    operation: operation.name.title().replace("_", "").replace("contrast", "Contrast")
    for operation in Operation
}


@pytest.fixture(scope="module")
def reference() -> Reference:
    import_torchvision_models()
    from torchvision.transforms import v2  # noqa: PLC0415  # imports late, see there

    transform = v2.RandAugment(fill=0)

    def apply(
        images_BCHW: torch.Tensor, operation: Operation, magnitude: int, sign: int
    ) -> torch.Tensor:
        name = _TORCHVISION_NAMES[operation]
        strengths, is_signed = transform._AUGMENTATION_SPACE[name]
        values = strengths(31, *images_BCHW.shape[2:])
        value = 0.0 if values is None else float(values[magnitude])
        result: torch.Tensor = transform._apply_image_or_video_transform(
            images_BCHW,
            name,
            value * (sign if is_signed else 1),
            interpolation=transform.interpolation,
            fill=transform._fill,
        )
        return result

    return apply


def _images(channels: int = 3, *, height: int = 32, width: int = 27) -> torch.Tensor:
    """Make six images: noise, low contrast, one value, few values, two gradients."""
    generator = torch.Generator().manual_seed(0)
    shape = (height, width, channels)
    noise_HWC = torch.randint(256, shape, generator=generator)
    rows_HWC = torch.linspace(0, 255, height).view(-1, 1, 1).expand(shape).long()
    columns_HWC = torch.linspace(200, 30, width).view(1, -1, 1).expand(shape).long()
    images = [
        noise_HWC,
        100 + noise_HWC // 8,
        torch.full(shape, 77),
        noise_HWC // 100 * 100,
        rows_HWC,
        columns_HWC,
    ]
    return torch.stack(images).to(torch.uint8)


def _view_of(operation: Operation, sign: int) -> int:
    return 2 * operation + (sign < 0)


def _applied(
    images_BHWC: torch.Tensor, operation: Operation, magnitude: int, sign: int
) -> torch.Tensor:
    augmentation = RandAugmentation(_STILL, num_ops=1, magnitude=magnitude)
    return augmentation.apply(
        images_BHWC, torch.full((len(images_BHWC),), _view_of(operation, sign))
    )


# Computed by torchvision in float32, here in whole numbers.
_ROUNDED = {
    Operation.AUTOCONTRAST,
    Operation.BRIGHTNESS,
    Operation.CONTRAST,
    Operation.COLOR,
    Operation.SHARPNESS,
}


@pytest.mark.parametrize("operation", list(Operation), ids=lambda operation: operation.name)
@pytest.mark.parametrize("channels", [1, 3])
def test_operation_equals_torchvision_s(
    reference: Reference, operation: Operation, channels: int
) -> None:
    images_BHWC = _images(channels)
    images_BCHW = images_BHWC.permute(0, 3, 1, 2).contiguous()
    for magnitude in (0, 1, 5, 9, 17, 23, 30):
        for sign in (1, -1):
            found_BHWC = _applied(images_BHWC, operation, magnitude, sign)
            expected_BHWC = reference(images_BCHW, operation, magnitude, sign).permute(0, 2, 3, 1)
            if operation in _ROUNDED:
                off_BHWC = (found_BHWC.int() - expected_BHWC.int()).abs()
                assert int(off_BHWC.max()) <= 1
                # An image of one value may be off as a whole.
                assert float(off_BHWC.float().mean()) < 0.2
            else:
                assert torch.equal(found_BHWC, expected_BHWC)


def test_rounded_operations_give_the_exact_value_rounded_down() -> None:
    images_BHWC = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    brighter = _applied(images_BHWC, Operation.BRIGHTNESS, 10, 1).flatten().tolist()
    assert brighter == [min(255, value * 130 // 100) for value in range(256)]
    flatter = _applied(images_BHWC, Operation.CONTRAST, 10, -1).flatten().tolist()
    # 127.5 is the mean; 70 % of the value and 30 % of it.
    assert flatter == [(value * 1400 + 255 * 300) // 2000 for value in range(256)]


def test_view_0_is_the_image_itself() -> None:
    augmentation = build_augmentation(RandAugment(num_ops=3), height=32, width=27)
    images_BHWC = _images()
    assert torch.equal(augmentation.apply(images_BHWC, torch.zeros(6).long()), images_BHWC)


def test_a_view_is_its_shift_and_then_its_operations_in_order() -> None:
    spec = RandAugment(num_ops=2, magnitude=12, padding=2)
    augmentation = build_augmentation(spec, height=32, width=27)
    shifts = Shifts(padding=2, flips=True)
    assert augmentation.num_views == 50 * NUM_CHOICES**2
    images_BHWC = _images()
    first, second = _view_of(Operation.ROTATE, -1), _view_of(Operation.POSTERIZE, 1)
    view = 31 + 50 * (first + NUM_CHOICES * second)
    expected_BHWC = shifts.apply(images_BHWC, torch.full((6,), 31))
    for operation, sign in ((Operation.ROTATE, -1), (Operation.POSTERIZE, 1)):
        expected_BHWC = _applied(expected_BHWC, operation, 12, sign)
    found_BHWC = augmentation.apply(images_BHWC, torch.full((6,), view))
    assert torch.equal(found_BHWC, expected_BHWC)


def test_each_image_of_a_batch_gets_its_own_view() -> None:
    augmentation = build_augmentation(RandAugment(magnitude=15), height=32, width=27)
    images_BHWC = _images().repeat(40, 1, 1, 1)
    view_B = augmentation.draw_views(240, torch.Generator().manual_seed(0))
    together_BHWC = augmentation.apply(images_BHWC, view_B)
    for index in range(240):
        alone = augmentation.apply(images_BHWC[index : index + 1], view_B[index : index + 1])
        assert torch.equal(alone[0], together_BHWC[index])
    assert together_BHWC.is_contiguous()


def test_operations_are_drawn_uniformly() -> None:
    augmentation = RandAugmentation(_STILL, num_ops=1, magnitude=9)
    views = augmentation.draw_views(28_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(views, minlength=NUM_CHOICES).double()
    assert len(counts) == NUM_CHOICES
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 56.0  # chi-squared, 27 degrees, p 0.001


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 3), (1, 5, 1), (3, 1, 2), (4, 4, 5)])
def test_tiny_images_and_any_number_of_channels_are_taken(shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    images_BHWC = _images(channels, height=height, width=width)
    for operation in Operation:
        for sign in (1, -1):
            assert _applied(images_BHWC, operation, 20, sign).shape == images_BHWC.shape


def test_one_channel_is_its_own_grey() -> None:
    images_BHWC = _images(1)
    assert torch.equal(_applied(images_BHWC, Operation.COLOR, 20, 1), images_BHWC)


def test_picking_images_out_and_putting_the_others_back_are_the_same() -> None:
    images_BHWC = _images()
    choice_B = torch.arange(6)
    chosen_B = torch.tensor([True, False, True, False, False, True])

    def change(images_KHWC: torch.Tensor, choice_K: torch.Tensor) -> torch.Tensor:
        return images_KHWC + choice_K.view(-1, 1, 1, 1).to(torch.uint8)

    both = [
        changed(images_BHWC, choice_B, chosen_B, change, by_index=by_index)
        for by_index in (True, False)
    ]
    assert torch.equal(*both)
    nobody_B = torch.zeros_like(chosen_B)
    assert torch.equal(changed(images_BHWC, choice_B, nobody_B, change), images_BHWC)


@pytest.mark.parametrize("device", _DEVICES)
def test_every_device_gives_the_same_bytes(device: str) -> None:
    augmentation = build_augmentation(RandAugment(magnitude=13), height=32, width=27)
    images_BHWC = _images().repeat(50, 1, 1, 1)
    view_B = augmentation.draw_views(300, torch.Generator().manual_seed(0))
    there_BHWC = augmentation.apply(images_BHWC.to(device), view_B.to(device))
    assert torch.equal(there_BHWC.cpu(), augmentation.apply(images_BHWC, view_B))


def test_a_shift_out_of_the_picture_is_refused_at_its_field() -> None:
    with pytest.raises(IncompatibleInputs) as caught:
        build_augmentation(RandAugment(padding=4), height=4, width=8)
    assert caught.value.code == "shift_too_large"
    assert caught.value.pointer == "/transfer/augmentation/padding"
