"""A network with its normalisation: what evaluation, teachers and exports run.

B batch, C channels, H height, W width, K classes.
"""

import torch
from torch import nn

from kdcore.spec.networks import ImageInput


class Classifier(nn.Module):
    """Normalise images in [0, 1] as the network expects, then run it.

    `(images - mean) / std` per channel. Mean and std are buffers, so they follow the device, but
    stay out of the state dict: `network.state_dict()` is what is stored, without a prefix.
    `image` is what the network takes.
    """

    mean_C11: torch.Tensor
    std_C11: torch.Tensor

    def __init__(self, network: nn.Module, image: ImageInput) -> None:
        super().__init__()
        self.network = network
        self.image = image
        device = next((parameter.device for parameter in network.parameters()), None)
        for name, values in (("mean_C11", image.mean), ("std_C11", image.std)):
            tensor = torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Take float images_BCHW in [0, 1], give logits_BK."""
        return self.network((images_BCHW - self.mean_C11) / self.std_C11)  # type: ignore[no-any-return]  # torch types calls of modules as Any
