"""`dkd` as the catalog describes it."""

from kdcore.catalog.methods.entry import MethodEntry
from kdcore.catalog.papers import Paper
from kdcore.spec.methods import Dkd


def dkd() -> MethodEntry:
    """Describe `dkd`."""
    return MethodEntry(
        name="dkd",
        title="Decoupled soft targets",
        summary="Soft targets split in two: how sure the teacher is of the labelled class, and "
        "how it ranks the others. The second part no longer fades where the teacher is sure.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ [target_weight · KL(b_t ‖ b_s) + "
        "non_target_weight · KL(q_t ‖ q_s)], with b = (p^T_y, 1 − p^T_y) and q = p^T of the "
        "classes other than y, brought to sum 1",
        paper=Paper(
            authors="Borui Zhao, Quan Cui, Renjie Song, Yiyu Qiu, Jiajun Liang",
            title="Decoupled Knowledge Distillation",
            year=2022,
            url="https://arxiv.org/abs/2203.08679",
        ),
        spec=Dkd,
        labels="always",
    )
