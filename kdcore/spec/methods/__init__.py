"""The parameters of each distillation method. Formulas are in `kdcore/methods/<name>.py`."""

from typing import Annotated

from pydantic import Discriminator

from kdcore.spec.methods.base import MethodFields
from kdcore.spec.methods.dkd import Dkd
from kdcore.spec.methods.features import Fsp
from kdcore.spec.methods.layers import FlowPair, LayerPair
from kdcore.spec.methods.logits import LogitKd, LogitMatching
from kdcore.spec.methods.reviewkd import ReviewKd
from kdcore.spec.methods.rkd import Rkd

MethodSpec = Annotated[
    Dkd | Fsp | LogitKd | LogitMatching | ReviewKd | Rkd,
    Discriminator("name"),
]

__all__ = [
    "Dkd",
    "FlowPair",
    "Fsp",
    "LayerPair",
    "LogitKd",
    "LogitMatching",
    "MethodFields",
    "MethodSpec",
    "ReviewKd",
    "Rkd",
]
