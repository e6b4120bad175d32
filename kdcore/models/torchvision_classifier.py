"""The `torchvision/<name>` family: torchvision's classifiers as torchvision builds them."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from kdcore.errors import IncompatibleInputs
from kdcore.models.dry_run import dry_run
from kdcore.models.torchvision_import import import_torchvision_models
from kdcore.spec.architectures import TorchvisionClassifier
from kdcore.spec.networks import ImageInput

# Each classifier takes at least one of them: most 32, a vit or maxvit 224, inception_v3 80.
_SIZES_TO_SUGGEST = (32, 48, 64, 80, 96, 128, 160, 192, 224, 299)


def torchvision_classifier(
    architecture: TorchvisionClassifier, *, image: ImageInput, num_classes: int
) -> nn.Module:
    """Build the classifier without pretrained weights, on the current default device.

    The auxiliary classifiers of googlenet and inception_v3 are left out, so the only output is
    logits. A vit or maxvit is built for the size of `image`; all others take any size that
    survives their pooling.

    Raises:
        IncompatibleInputs: the images have other than 3 channels, or a size that does not fit.
    """
    if image.channels != 3:
        raise IncompatibleInputs(
            "channels_do_not_fit",
            f"{architecture.architecture} takes images of 3 channels and these have "
            f"{image.channels}. Use RGB images, or one of the architectures mlp, cnn, "
            "resnet_cifar or wrn, which take any number of channels.",
            pointer="/architecture",
        )
    name = architecture.torchvision_name
    try:
        return _construct_fitting(name, image, num_classes=num_classes)
    except _Misfit as misfit:
        raise IncompatibleInputs(
            "image_size_does_not_fit",
            f"{architecture.architecture} does not take images of {image.height}x{image.width} "
            f"pixels: {misfit}. {_advice(name, image)}",
            pointer="/architecture",
        ) from None


class _Misfit(Exception):
    """The images have a size that the network does not take; the message is the reason."""


def _construct_fitting(name: str, image: ImageInput, *, num_classes: int) -> nn.Module:
    if name.startswith("vit_") and image.height != image.width:
        raise _Misfit("they must be square")
    try:
        network = _construct(name, image, num_classes=num_classes)
        dry_run(network, image)
    except NotImplementedError:  # a RuntimeError that is not about the images
        raise
    except (RuntimeError, ValueError, AssertionError) as error:  # torch uses all three
        reason = str(error).partition("\n")[0]
        if isinstance(error, ValueError):  # maxvit goes on with advice for its own developers
            reason = reason.partition(". ")[0]
        raise _Misfit(reason.rstrip(".!")) from None
    return network


def _construct(name: str, image: ImageInput, *, num_classes: int) -> nn.Module:
    options: dict[str, Any] = {"num_classes": num_classes}  # torchvision's own keywords
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options["image_size"] = image.height
    elif name == "maxvit_t":
        options["input_size"] = (image.height, image.width)
    models = import_torchvision_models()
    with _WidthsOnCpu() if name.startswith("regnet_") else nullcontext():
        network: nn.Module = models.get_model(name, weights=None, **options)
    return network


class _WidthsOnCpu(TorchFunctionMode):
    """Lets regnet, which reads its block widths back from a tensor, be built on meta."""

    # Any: torch gives the function and its arguments as they come.
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.arange or (func is torch.tensor and isinstance(args[0], list)):
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


def _advice(name: str, image: ImageInput) -> str:
    side = next(side for side in _SIZES_TO_SUGGEST if _fits(name, image, side=side))
    return f"Images of {side}x{side} pixels would fit; or choose another architecture."


def _fits(name: str, image: ImageInput, *, side: int) -> bool:
    square = image.model_copy(update={"height": side, "width": side})
    try:
        with torch.device("meta"):
            _construct_fitting(name, square, num_classes=2)
    except _Misfit:
        return False
    return True
