"""What one forward pass gave: logits, and the layers that were asked for.

B batch, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, eq=False)
class Observation:
    """Logits and features of one batch.

    `logits_BC` is None where the network was run only as far as its last tapped layer.
    `features` holds each tapped layer under its name as it was asked for, batch first.
    """

    logits_BC: torch.Tensor | None
    features: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def logits(self) -> torch.Tensor:
        """The logits_BC, for those that know they were computed.

        Raises:
            ValueError: the network was not run to its end.
        """
        if self.logits_BC is None:
            raise ValueError("The network was run only as far as its last tapped layer.")
        return self.logits_BC
