"""`fitnet`: hints from a middle layer, then soft targets.

Romero, Ballas, Kahou, Chassang, Gatta, Bengio: FitNets: Hints for Thin Deep Nets, ICLR 2015
(arXiv:1412.6550).

Stage `hint`: 1/(B·n) · Σ_B ‖r(F_s) − F_t‖², `layer_distance`, summed over pairs; B batch, n
numbers of the teacher's layer for one image, r the regressor that the pair names as its adapter.
The paper has n/2 times that (½‖·‖², equation 3): the mean is what live libraries take, and keeps
the learning rate apart from the layer's size. The paper's r repeats the teacher's non-linearity
and is as wide as the two sizes ask for; here it is linear and 1×1. It trains with the student up
to its layer, and goes with the stage.

Stage `training`: ce_weight · CE + kd_weight · T²/B · Σ KL, as `logit_kd`. The paper has T = 3 and
a weight of the soft targets, without T², that falls from 4 to 1.
"""

from kdcore.methods.layer_distance import layer_distance
from kdcore.methods.objective import Objective
from kdcore.methods.pair_term import PairTerm
from kdcore.methods.stage import TRAINING_STAGE, MethodInputs, MethodStage
from kdcore.methods.task import task_terms
from kdcore.pairing import resolve_layers
from kdcore.spec.methods import Fitnet


def fitnet_stages(spec: Fitnet, inputs: MethodInputs) -> tuple[MethodStage, ...]:
    """Build the two stages of `fitnet`: the hints alone, then the task.

    Raises:
        IncompatibleInputs: as `kdcore.pairing.resolve_layers`.
    """
    spec = resolve_layers(spec, student=inputs.student_layers, teacher=inputs.teacher_layers)
    hints = PairTerm("hint", layer_distance, spec.layers, inputs)
    return (
        MethodStage("hint", Objective([(1.0, hints)])),
        MethodStage(TRAINING_STAGE, Objective(task_terms(spec))),
    )
