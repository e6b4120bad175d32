"""One step of a method that reads logits and labels alone."""

# B batch, C classes

import torch

from kdcore.features import Observation
from kdcore.methods import Labels, LossTerms, MethodInputs, Step, build_stages
from kdcore.spec import ImageInput, MethodSpec, Mlp, NetworkDescription


def losses_of(
    spec: MethodSpec, student_BC: torch.Tensor, teacher_BC: torch.Tensor, labels_B: torch.Tensor
) -> LossTerms:
    """Compute what the one stage of `spec` minimises."""
    student = NetworkDescription(
        architecture=Mlp(hidden=(4,)),
        input=ImageInput(channels=1, height=2, width=2),
        num_classes=student_BC.shape[1],
    )
    (stage,) = build_stages(spec, MethodInputs(student))
    assert stage.name == "training"
    losses: LossTerms = stage.objective(
        Step(
            student=Observation(student_BC),
            teacher=Observation(teacher_BC),
            labels=Labels(labels_B),
            images_BCHW=torch.zeros(len(student_BC), 1, 2, 2),
            indices_B=torch.arange(len(student_BC)),
            epoch=0.0,
        )
    )
    return losses
