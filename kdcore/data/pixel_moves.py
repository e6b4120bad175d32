"""Operations that move pixels, batched: turns, shears and shifts, to the nearest pixel.

Where a pixel comes from is computed with integers, in 1/65536 of half a pixel, so every device
picks the same one. What comes from outside the image is 0.

K images, H height, W width, C channels.
"""

import math
from dataclasses import dataclass

import torch

_UNIT = 1 << 16
_LARGEST_DEGREES = 30.0
_LARGEST_SHEAR = 0.3
_LARGEST_SHIFT = 150 / 331  # of the side
_LARGEST_MAGNITUDE = 30


@dataclass(frozen=True, eq=False)
class Directions:
    """Which way each image is moved: int32 of shape K, 0 for not at all, otherwise 1 or -1."""

    turn_K: torch.Tensor
    shear_x_K: torch.Tensor
    shear_y_K: torch.Tensor
    shift_x_K: torch.Tensor
    shift_y_K: torch.Tensor


def move_pixels(
    images_KHWC: torch.Tensor, directions: Directions, *, magnitude: int
) -> torch.Tensor:
    """Move each image in its directions.

    At magnitude 30 of 30 a turn has 30 degrees, counter-clockwise around the middle; a shear
    moves to the left, or up, by 0.3 pixels for each pixel of distance from the top, or the left;
    a shift has 150/331 of the side, in whole pixels, to the right or downwards.

    Args:
        images_KHWC: uint8, contiguous.
        directions: At most one of them not 0 for each image.
        magnitude: From 0 to 30.

    Returns:
        uint8 of the same shape.
    """
    K, H, W, C = images_KHWC.shape
    row_KHW, column_KHW = _sources(directions, magnitude=magnitude, height=H, width=W)
    inside_KHW = (row_KHW >= 0) & (row_KHW < H) & (column_KHW >= 0) & (column_KHW < W)
    index_type = torch.int32 if K * H * W < 2**31 else torch.int64
    first_K11 = torch.arange(K, dtype=index_type, device=images_KHWC.device).view(K, 1, 1) * H
    index_KHW = (first_K11 + row_KHW.clamp(0, H - 1)) * W + column_KHW.clamp(0, W - 1)
    moved = images_KHWC.view(-1, C).index_select(0, index_KHW.view(-1)).view(K, H, W, C)
    return moved * inside_KHW.unsqueeze(3)


def _sources(
    directions: Directions, *, magnitude: int, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tell the row and column that each pixel comes from, maybe outside: int32, KHW both."""
    strength = magnitude / _LARGEST_MAGNITUDE
    angle = math.radians(_LARGEST_DEGREES * strength)
    shear = round(_LARGEST_SHEAR * strength * _UNIT)
    sine, cosine = round(math.sin(angle) * _UNIT), round(math.cos(angle) * _UNIT)
    shift_x, shift_y = (int(_LARGEST_SHIFT * side * strength) for side in (width, height))
    turn_K, device = directions.turn_K, directions.turn_K.device
    # Twice the distance of a pixel's middle from the image's, a whole number.
    x_W = 2 * torch.arange(width, dtype=torch.int32, device=device) + 1 - width
    y_H = 2 * torch.arange(height, dtype=torch.int32, device=device) + 1 - height
    along_K = _UNIT + (cosine - _UNIT) * turn_K.abs()
    x_from_y_K = -sine * turn_K + shear * directions.shear_x_K
    y_from_x_K = sine * turn_K + shear * directions.shear_y_K
    # Shears leave the top or left edge where it is, not the middle.
    x_offset_K = shear * height * directions.shear_x_K - 2 * shift_x * _UNIT * directions.shift_x_K
    y_offset_K = shear * width * directions.shear_y_K - 2 * shift_y * _UNIT * directions.shift_y_K
    column_KHW = (
        _outer(along_K, x_W).unsqueeze(1)
        + _outer(x_from_y_K, y_H).unsqueeze(2)
        + (x_offset_K + width * _UNIT).view(-1, 1, 1)
    )
    row_KHW = (
        _outer(along_K, y_H).unsqueeze(2)
        + _outer(y_from_x_K, x_W).unsqueeze(1)
        + (y_offset_K + height * _UNIT).view(-1, 1, 1)
    )
    # From halves of 1/65536 to whole pixels, rounding down.
    return row_KHW >> 17, column_KHW >> 17


def _outer(factor_K: torch.Tensor, distance_S: torch.Tensor) -> torch.Tensor:
    return factor_K.unsqueeze(1) * distance_S
