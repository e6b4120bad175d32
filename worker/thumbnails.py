"""Thumbnails: a small picture of each class, from the canonical arrays.

N images, H height, W width, C channels.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from kdcore.data import load_dataset
from worker.messages import ThumbnailFile

_SIDE = 64
_MAX_CLASSES = 100


def write_thumbnails(dataset: Path, folder: Path) -> tuple[ThumbnailFile, ...]:
    """Write a PNG of the first training image of each class, for the first hundred classes.

    A class without a training image has none; images that are neither grey nor RGB have none.
    """
    arrays = load_dataset(dataset)
    train = arrays.split("train")
    num_channels = arrays.description.image.channels
    if num_channels not in (1, 3):
        return ()
    folder.mkdir(parents=True)
    thumbnails = []
    for label, class_name in enumerate(arrays.description.class_names[:_MAX_CLASSES]):
        examples_N = np.flatnonzero(train.labels_N == label)
        if len(examples_N) == 0:
            continue
        image_HWC = np.asarray(train.images_NHWC[examples_N[0]])
        picture = Image.fromarray(image_HWC[..., 0] if num_channels == 1 else image_HWC)
        thumbnail = ThumbnailFile(label=label, class_name=class_name)
        _scaled(picture).save(folder / thumbnail.name)
        thumbnails.append(thumbnail)
    return tuple(thumbnails)


def _scaled(picture: Image.Image) -> Image.Image:
    """Bring the longer side to 64 pixels: small images in whole pixels, large ones smoothly."""
    longer = max(picture.size)
    width, height = (max(1, round(side * _SIDE / longer)) for side in picture.size)
    how = Image.Resampling.NEAREST if longer < _SIDE else Image.Resampling.LANCZOS
    return picture.resize((width, height), how)
