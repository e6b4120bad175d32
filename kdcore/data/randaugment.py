"""RandAugment on whole batches: a few operations on each image, drawn from fourteen.

Cubuk, Zoph, Shlens, Le: RandAugment: Practical automated data augmentation with a reduced search
space, 2019 (arXiv:1909.13719). Operations and their magnitudes are torchvision's, in integers.

B batch, H height, W width, C channels, K images of the batch that an operation changes, V the
256 values of a pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import torch

from kdcore.data import pixel_values
from kdcore.data.pixel_moves import Directions, move_pixels
from kdcore.data.shifts import Shifts
from kdcore.spec.transfer import RandAugment


class Operation(IntEnum):
    """The fourteen, by how they work: tables of values, blends of images, moves of pixels."""

    IDENTITY = 0
    AUTOCONTRAST = 1
    EQUALIZE = 2
    SOLARIZE = 3
    POSTERIZE = 4
    BRIGHTNESS = 5
    CONTRAST = 6
    COLOR = 7
    SHARPNESS = 8
    ROTATE = 9
    SHEAR_X = 10
    SHEAR_Y = 11
    TRANSLATE_X = 12
    TRANSLATE_Y = 13


# Each operation forwards and backwards; those without a direction are the same both ways.
NUM_CHOICES = 2 * len(Operation)


@dataclass(frozen=True)
class RandAugmentation:
    """Shifts and mirroring, then `num_ops` operations one after the other, each drawn alone.

    View v of an image is view (v mod s) of `shifts`, which has s views; then, from the last
    digit on, each digit d of ⌊v/s⌋ in base 28 does operation ⌊d/2⌋, backwards if d is odd. So
    view 0 is always the image itself.

    Attributes:
        shifts: What is done first.
        num_ops: Operations on each image.
        magnitude: Of all operations that have one, from 0 to 30.
    """

    shifts: Shifts
    num_ops: int
    magnitude: int

    @classmethod
    def from_spec(cls, spec: RandAugment, *, height: int, width: int) -> Self:
        """Make the augmentation that a spec asks for. Raises IncompatibleInputs as `Shifts`."""
        shifts = Shifts.from_spec(spec, height=height, width=width)
        return cls(shifts, num_ops=spec.num_ops, magnitude=spec.magnitude)

    @property
    def num_views(self) -> int:
        """How many views each image has; many look alike."""
        return int(self.shifts.num_views * NUM_CHOICES**self.num_ops)

    def draw_views(self, size: int, generator: torch.Generator) -> torch.Tensor:
        """Draw `size` views uniformly: int64 on the generator's device."""
        return torch.randint(self.num_views, (size,), generator=generator, device=generator.device)

    def apply(self, images_BHWC: torch.Tensor, view_B: torch.Tensor) -> torch.Tensor:
        """Make one view of each image, as `Augmentation.apply` says."""
        images_BHWC = self.shifts.apply(images_BHWC, view_B % self.shifts.num_views)
        digits_B = _quotient(view_B, self.shifts.num_views)
        for _ in range(self.num_ops):
            images_BHWC = self._operate(images_BHWC, digits_B % NUM_CHOICES)
            digits_B = _quotient(digits_B, NUM_CHOICES)
        return images_BHWC

    def _operate(self, images_BHWC: torch.Tensor, choice_B: torch.Tensor) -> torch.Tensor:
        """Do one operation on each image."""
        operation_B = _quotient(choice_B, 2)
        groups: tuple[tuple[Operation, Operation, Change], ...] = (
            (Operation.AUTOCONTRAST, Operation.CONTRAST, self._change_values),
            (Operation.COLOR, Operation.SHARPNESS, self._blend),
            (Operation.ROTATE, Operation.TRANSLATE_Y, self._move),
        )
        for first, last, change in groups:
            chosen_B = (operation_B >= first) & (operation_B <= last)
            images_BHWC = changed(images_BHWC, choice_B, chosen_B, change)
        return images_BHWC

    def _change_values(self, images_KHWC: torch.Tensor, choice_K: torch.Tensor) -> torch.Tensor:
        device, percent_K = images_KHWC.device, self._percent(choice_K)
        tables = {
            Operation.AUTOCONTRAST: pixel_values.autocontrast_tables(images_KHWC),
            Operation.EQUALIZE: pixel_values.equalize_tables(images_KHWC),
            Operation.SOLARIZE: pixel_values.solarize_table(self.magnitude, device),
            Operation.POSTERIZE: pixel_values.posterize_table(self.magnitude, device),
            Operation.BRIGHTNESS: pixel_values.brightness_tables(percent_K),
            Operation.CONTRAST: pixel_values.contrast_tables(images_KHWC, percent_K),
        }
        operation_K11 = _quotient(choice_K, 2).view(-1, 1, 1)
        chosen_KCV = tables[Operation.AUTOCONTRAST]
        for operation, table in tables.items():
            chosen_KCV = torch.where(operation_K11 == operation, table, chosen_KCV)
        return pixel_values.look_up(images_KHWC, chosen_KCV)

    def _blend(self, images_KHWC: torch.Tensor, choice_K: torch.Tensor) -> torch.Tensor:
        is_color_K111 = (_quotient(choice_K, 2) == Operation.COLOR).view(-1, 1, 1, 1)
        others_KHWC = torch.where(
            is_color_K111, pixel_values.grey(images_KHWC), pixel_values.blurred(images_KHWC)
        )
        return pixel_values.blended(images_KHWC, others_KHWC, self._percent(choice_K))

    def _move(self, images_KHWC: torch.Tensor, choice_K: torch.Tensor) -> torch.Tensor:
        operation_K, sign_K = _quotient(choice_K, 2), _sign(choice_K)

        def direction(operation: Operation) -> torch.Tensor:
            return sign_K * (operation_K == operation)

        directions = Directions(
            turn_K=direction(Operation.ROTATE),
            shear_x_K=direction(Operation.SHEAR_X),
            shear_y_K=direction(Operation.SHEAR_Y),
            shift_x_K=direction(Operation.TRANSLATE_X),
            shift_y_K=direction(Operation.TRANSLATE_Y),
        )
        return move_pixels(images_KHWC, directions, magnitude=self.magnitude)

    def _percent(self, choice_K: torch.Tensor) -> torch.Tensor:
        """Factors of brightness, contrast, color and sharpness: 10 to 190, int32."""
        return 100 + 3 * self.magnitude * _sign(choice_K)


Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From images_KHWC and choice_K to changed images of the same shape."""


def changed(
    images_BHWC: torch.Tensor,
    choice_B: torch.Tensor,
    chosen_B: torch.Tensor,
    change: Change,
    *,
    by_index: bool | None = None,
) -> torch.Tensor:
    """Apply a change to the chosen images of a batch.

    Args:
        images_BHWC: uint8.
        choice_B: Handed to `change` with its images.
        chosen_B: Which images to change.
        change: What to do with them.
        by_index: Pick the chosen images out, which makes CUDA wait for their number; otherwise
            all are changed and those not chosen are put back. None decides by device.
    """
    if by_index is None:
        by_index = not images_BHWC.is_cuda
    if not by_index:
        return torch.where(chosen_B.view(-1, 1, 1, 1), change(images_BHWC, choice_B), images_BHWC)
    index_K = chosen_B.nonzero().squeeze(1)
    if not len(index_K):
        return images_BHWC
    return images_BHWC.index_copy(0, index_K, change(images_BHWC[index_K], choice_B[index_K]))


def _sign(choice: torch.Tensor) -> torch.Tensor:
    """Give 1 for forwards and -1 for backwards: int32."""
    return 1 - 2 * (choice % 2).to(torch.int32)


def _quotient(value: torch.Tensor, divisor: int) -> torch.Tensor:
    return torch.div(value, divisor, rounding_mode="floor")
