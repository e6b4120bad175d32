"""Optimizers from their spec, fused where torch has a fused kernel."""

from collections.abc import Iterable

import torch
from torch import nn

from kdcore.spec import Adam, OptimizerSpec, Sgd


def build_optimizer(
    spec: OptimizerSpec, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Build the optimizer of `spec`; the schedule sets its learning rate before every step."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if isinstance(spec, Sgd):
        return torch.optim.SGD(
            trainable,
            lr=spec.learning_rate,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
            fused=True,
        )
    kind = torch.optim.Adam if isinstance(spec, Adam) else torch.optim.AdamW
    beta1, beta2 = spec.betas
    return kind(
        trainable,
        lr=spec.learning_rate,
        betas=(beta1, beta2),
        eps=spec.epsilon,
        weight_decay=spec.weight_decay,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Take the optimizer's state as flat names `<parameter>/<key>` (parameters by position)."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}/{key}": value
        for index, entries in state.items()
        for key, value in entries.items()
        if isinstance(value, torch.Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` took."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition("/")
        parameter = parameters[int(index)]
        # Fused kernels walk memory in order, so a moment must lie as its parameter lies
        # (channels_last); files hold plain row-major tensors.
        laid_out = (
            torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
            if tensor.shape == parameter.shape
            else tensor
        )
        state.setdefault(int(index), {})[key] = laid_out.detach()
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
