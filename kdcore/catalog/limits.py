"""The largest networks that are accepted, of any architecture; free of torch."""

from dataclasses import dataclass

from kdcore.spec.networks import MAX_CLASSES

MAX_PARAMETERS = 2_000_000_000
"""Three times torchvision's largest classifier, regnet_y_128gf with 645 million."""

MAX_IMAGE_SIDE = 4096  # as ImageInput allows


@dataclass(frozen=True)
class Limits:
    """What an architecture can be asked for at most."""

    max_parameters: int = MAX_PARAMETERS
    max_classes: int = MAX_CLASSES
    max_image_side: int = MAX_IMAGE_SIDE
    """Pixels."""
    image_channels: tuple[int, ...] = tuple(range(1, 17))
    """Numbers of channels that images may have."""
