"""The parameters of `mutual_learning`. Its formula is in `kdcore/methods/mutual_learning.py`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.architectures import Architecture
from kdcore.spec.base import problem
from kdcore.spec.methods.base import MethodFields, Weight

MAX_PEERS = 4


class MutualLearning(MethodFields):
    """Zhang et al. 2018 (arXiv:1706.00384): networks that learn together, without a teacher."""

    NUM_TEACHERS: ClassVar[tuple[int, int]] = (0, 0)
    NEEDS_LABELS: ClassVar[bool] = True

    name: Literal["mutual_learning"] = "mutual_learning"
    num_peers: int = Field(
        1,
        ge=1,
        le=MAX_PEERS,
        description="Networks that learn beside the student, of its architecture and with other "
        "first weights.",
    )
    peers: Annotated[tuple[Architecture, ...], Field(strict=False, max_length=MAX_PEERS)] = Field(
        (), description="Architectures of the peers, one for each; empty: the student's own."
    )
    temperature: float = Field(
        1.0, gt=0.0, le=1000.0, description="T of softmax(z/T) between networks; 1 in the paper."
    )
    ce_weight: float = Field(
        1.0, gt=0.0, le=1e6, description="Weight of each network's cross-entropy with the labels."
    )
    kd_weight: Weight = Field(
        1.0,
        description="Weight, in each network, of the mean of T^2 * KL(other || it) over the "
        "others; with 0 there are no peers.",
    )

    def architectures(self, student: Architecture) -> tuple[Architecture, ...]:
        """Give the architecture of each peer of `student`."""
        return self.peers or (student,) * self.num_peers

    @model_validator(mode="before")
    @classmethod
    def _count_peers(cls, data: object) -> object:
        if not isinstance(data, Mapping) or "num_peers" in data:
            return data
        peers = data.get("peers")
        if not isinstance(peers, list | tuple) or not peers:
            return data
        return {**data, "num_peers": len(peers)}

    @model_validator(mode="after")
    def _check_peers(self) -> Self:
        if self.peers and len(self.peers) != self.num_peers:
            raise problem(
                "peers_miscounted",
                f"num_peers is {self.num_peers} and peers lists {len(self.peers)}; leave num_peers "
                "out.",
                field="num_peers",
            )
        return self
