"""A stranger's weights for a declared network: every check of docs/security.md, in its order.

Header arithmetic, architecture on meta and its cost, exact names, shapes and types, finite
values, one forward pass. Nothing large is allocated before the third has passed.
"""

from pathlib import Path

import torch
from torch import nn

from kdcore.catalog.limits import MAX_PARAMETERS
from kdcore.checkpoints import limits
from kdcore.checkpoints.codes import Code, refusal
from kdcore.checkpoints.foreign import ForeignCheckpoint, open_checkpoint
from kdcore.checkpoints.match import ExpectedTensor, check_match, expected_tensors
from kdcore.checkpoints.trial_forward import check_forward
from kdcore.models import build_network, count_flops, count_parameters
from kdcore.spec.architectures import Architecture
from kdcore.spec.networks import MAX_CLASSES, ImageInput, NetworkDescription

_CHUNK_ELEMENTS = 1 << 22


def load_foreign_weights(
    path: Path,
    description: NetworkDescription,
    *,
    timeout_seconds: float = limits.FORWARD_TIMEOUT_SECONDS,
) -> dict[str, torch.Tensor]:
    """Read the weights of the declared network from a stranger's file.

    Returns the network's whole state dict on the CPU, row-major, in the network's own types.

    Raises:
        CheckpointRejected: naming the tensor, what was expected and what was found.
        SpecInvalid: if the described layers can never be built.
        IncompatibleInputs: if the architecture does not take the declared images.
    """
    with open_checkpoint(path) as checkpoint:
        network = _affordable_network(description)
        expected = expected_tensors(network)
        check_match(checkpoint.tensors, expected)
        weights = {name: _read(checkpoint, name, tensor) for name, tensor in expected.items()}
    check_forward(network, weights, description, timeout_seconds=timeout_seconds)
    return weights


def infer_num_classes(
    checkpoint: ForeignCheckpoint, architecture: Architecture, image: ImageInput
) -> int:
    """Return how many classes the file's network tells apart.

    That is the one size by which the architecture's tensors differ when it is built on meta for
    two and for three classes.

    Raises:
        CheckpointRejected: if the file lacks those tensors or they do not agree.
    """
    two, three = (
        expected_tensors(
            build_network(
                NetworkDescription(architecture=architecture, input=image, num_classes=count),
                device="meta",
            )
        )
        for count in (2, 3)
    )
    following = [name for name, tensor in two.items() if tensor.shape != three[name].shape]
    counts: set[int] = set()
    for name in following:
        shape = checkpoint.tensors[name].shape if name in checkpoint.tensors else ()
        if len(shape) != len(two[name].shape):
            raise _no_class_count(name)
        counts |= {
            size
            for size, with_two, with_three in zip(
                shape, two[name].shape, three[name].shape, strict=True
            )
            if with_two != with_three
        }
    if len(counts) != 1 or not 2 <= min(counts) <= MAX_CLASSES:
        raise _no_class_count(following[-1])
    return counts.pop()


def _no_class_count(tensor: str) -> Exception:
    return refusal(
        Code.CLASSES_NOT_FOUND,
        f"The number of classes cannot be told from tensor {tensor}. Check the architecture and "
        f"its parameters; a network has 2 to {MAX_CLASSES} classes.",
        tensor=tensor,
    )


def _affordable_network(description: NetworkDescription) -> nn.Module:
    """Build the network on meta and refuse it if training or running it would cost too much."""
    network = build_network(description, device="meta")
    num_parameters = count_parameters(network)
    if num_parameters > MAX_PARAMETERS:
        raise _too_large("parameters", num_parameters, MAX_PARAMETERS)
    flops = count_flops(network, description.input)
    if flops > limits.MAX_FLOPS:
        raise _too_large("operations for one image", flops, limits.MAX_FLOPS)
    return network


def _too_large(what: str, found: int, largest: int) -> Exception:
    return refusal(
        Code.ARCHITECTURE_TOO_LARGE,
        f"The architecture has {found:,} {what}; at most {largest:,} are taken. Choose a smaller "
        "one.",
        expected=f"at most {largest} {what}",
        found=f"{found} {what}",
    )


def _read(checkpoint: ForeignCheckpoint, name: str, expected: ExpectedTensor) -> torch.Tensor:
    tensor = checkpoint.read(name).to(expected.dtype)
    if not tensor.is_floating_point():
        return tensor
    # In chunks, because isfinite makes a mask and temporaries of the whole tensor's size.
    if not all(
        chunk.isfinite().all() for chunk in torch.split(tensor.reshape(-1), _CHUNK_ELEMENTS)
    ):
        raise refusal(
            Code.NOT_FINITE,
            f"Tensor {name} has values that are NaN, infinite or too large for float32. Upload "
            "weights from before the training diverged.",
            tensor=name,
            expected="finite float32 values",
        )
    return tensor
