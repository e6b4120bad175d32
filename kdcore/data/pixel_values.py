"""Operations on the values of pixels, batched: tables of 256 entries, and blends of two images.

All arithmetic is in integers, so that every device gives the same bytes. Where torchvision
computes in float32 and cuts off the fraction, the exact quotient is rounded down here: that
differs by one level at most, and only where rounding errors carry torchvision across a whole
number.

K images, H height, W width, C channels, V the 256 values of a pixel.
"""

import torch

NUM_VALUES = 256
_LARGEST = NUM_VALUES - 1
_LUMA = (2989, 5870, 1140)  # of 10,000, as torchvision weighs red, green and blue


def look_up(images_KHWC: torch.Tensor, tables_KCV: torch.Tensor) -> torch.Tensor:
    """Replace each value by its entry in the table of its image and channel: uint8 again."""
    entries = tables_KCV.to(torch.uint8).reshape(-1)
    return entries.index_select(0, _entry(images_KHWC).view(-1)).view(images_KHWC.shape)


def autocontrast_tables(images_KHWC: torch.Tensor) -> torch.Tensor:
    """Stretch each channel from 0 to 255; a channel of a single value stays. int32, KCV."""
    lowest_KC1 = images_KHWC.amin(dim=(1, 2)).to(torch.int32).unsqueeze(2)
    highest_KC1 = images_KHWC.amax(dim=(1, 2)).to(torch.int32).unsqueeze(2)
    range_KC1 = highest_KC1 - lowest_KC1
    value_V = values(images_KHWC.device)
    stretched_KCV = _divided((value_V - lowest_KC1) * _LARGEST, range_KC1.clamp(min=1))
    return torch.where(range_KC1 > 0, stretched_KCV, value_V)


def equalize_tables(images_KHWC: torch.Tensor) -> torch.Tensor:
    """Even out the histogram of each channel, as Pillow does. int32, KCV."""
    K, H, W, C = images_KHWC.shape
    entry = _entry(images_KHWC).view(-1).to(torch.int64)
    counts = torch.zeros(K * C * NUM_VALUES, dtype=torch.int32, device=entry.device)
    counts.scatter_add_(0, entry, torch.ones_like(entry, dtype=torch.int32))
    counts_KCV = counts.view(K, C, NUM_VALUES)
    highest_KC1 = images_KHWC.amax(dim=(1, 2)).to(torch.int64).unsqueeze(2)
    # The pixels below the brightest value, spread over 255 steps.
    step_KC1 = _quotient(H * W - counts_KCV.gather(2, highest_KC1), _LARGEST)
    below_KCV = counts_KCV.cumsum(2, dtype=torch.int32) - counts_KCV
    spread_KCV = _divided(below_KCV + _quotient(step_KC1, 2), step_KC1.clamp(min=1))
    return torch.where(step_KC1 > 0, spread_KCV, values(images_KHWC.device))


def solarize_table(magnitude: int, device: torch.device) -> torch.Tensor:
    """Invert values from 255·(1 - magnitude/30) on. int32, V."""
    value_V = values(device)
    return torch.where(60 * value_V >= 2 * _LARGEST * (30 - magnitude), _LARGEST - value_V, value_V)


def posterize_table(magnitude: int, device: torch.device) -> torch.Tensor:
    """Keep the 8 - magnitude/7.5 highest bits, rounded to a whole number of bits. int32, V."""
    dropped_bits = round(magnitude / 7.5)
    return (values(device) >> dropped_bits) << dropped_bits


def brightness_tables(percent_K: torch.Tensor) -> torch.Tensor:
    """Multiply by so many percent. int32, K1V."""
    value_V = values(percent_K.device)
    return _divided(value_V * percent_K.to(torch.int32).view(-1, 1, 1), 100)


def contrast_tables(images_KHWC: torch.Tensor, percent_K: torch.Tensor) -> torch.Tensor:
    """Blend with the mean of the grey image: percent of the value, the rest of the mean.

    The mean is not rounded, hence int64 on the way: its denominator is the number of pixels.
    int32, K1V.
    """
    _, H, W, _ = images_KHWC.shape
    percent_K11 = percent_K.to(torch.int64).view(-1, 1, 1)
    sum_K11 = grey(images_KHWC).sum(dim=(1, 2, 3), dtype=torch.int64).view(-1, 1, 1)
    value_V = values(images_KHWC.device).to(torch.int64)
    blend_K1V = value_V * percent_K11 * (H * W) + sum_K11 * (100 - percent_K11)
    return _divided(blend_K1V, 100 * H * W).to(torch.int32)


def grey(images_KHWC: torch.Tensor) -> torch.Tensor:
    """Weigh red, green and blue by brightness, and other channels alike. int32, KHW1."""
    channels_KHWC = images_KHWC.to(torch.int32)
    if channels_KHWC.shape[3] != len(_LUMA):
        return _quotient(
            channels_KHWC.sum(3, keepdim=True, dtype=torch.int32), images_KHWC.shape[3]
        )
    red, green, blue = (
        weight * channel for weight, channel in zip(_LUMA, channels_KHWC.unbind(3), strict=True)
    )
    return _quotient(red + green + blue, 10_000).unsqueeze(3)


def blurred(images_KHWC: torch.Tensor) -> torch.Tensor:
    """Average 3×3 pixels, the middle five times, to the nearest; the border stays. int32."""
    image_KHWC = images_KHWC.to(torch.int32)
    rows = image_KHWC[:, :-2] + image_KHWC[:, 1:-1] + image_KHWC[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * image_KHWC[:, 1:-1, 1:-1]
    result_KHWC = image_KHWC.clone()
    result_KHWC[:, 1:-1, 1:-1] = _quotient(sums + 6, 13)
    return result_KHWC


def blended(
    images_KHWC: torch.Tensor, others_KHWC: torch.Tensor, percent_K: torch.Tensor
) -> torch.Tensor:
    """Take percent of the image and 100 less percent of the other, within 0 to 255: uint8."""
    percent_K111 = percent_K.to(torch.int32).view(-1, 1, 1, 1)
    sum_KHWC = images_KHWC.to(torch.int32) * percent_K111 + others_KHWC * (100 - percent_K111)
    return _divided(sum_KHWC, 100).to(torch.uint8)


def values(device: torch.device) -> torch.Tensor:
    """Count from 0 to 255: the table that changes nothing. int32, V."""
    return torch.arange(NUM_VALUES, dtype=torch.int32, device=device)


def _entry(images_KHWC: torch.Tensor) -> torch.Tensor:
    """Where each value's entry is in all tables laid end to end: int32, or int64 if need be."""
    K, _, _, C = images_KHWC.shape
    index_type = torch.int32 if K * C * NUM_VALUES < 2**31 else torch.int64
    first_KC = torch.arange(K * C, dtype=index_type, device=images_KHWC.device) * NUM_VALUES
    return images_KHWC.to(index_type) + first_KC.view(K, 1, 1, C)


def _divided(numerator: torch.Tensor, denominator: torch.Tensor | int) -> torch.Tensor:
    """Round the quotient down and keep it within 0 to 255."""
    return _quotient(numerator, denominator).clamp_(0, _LARGEST)


def _quotient(numerator: torch.Tensor, denominator: torch.Tensor | int) -> torch.Tensor:
    return torch.div(numerator, denominator, rounding_mode="floor")
