"""`feature_matching`: layers of the student learn layers of the teacher, beside the task.

The hints of FitNets (Romero and others, arXiv:1412.6550) in one stage with the task, between any
number of layers: loss = ce_weight · CE + kd_weight · T²/B · Σ KL +
feature_weight · Σ_pairs 1/(B·n) · Σ_B ‖r(F_s) − F_t‖², the last being `layer_distance`; B batch,
n numbers of the teacher's layer for one image, r the adapter that the pair names, or none. The
paper has no such weight; 1, the default, is what the hint has in a stage of its own.
"""

from kdcore.methods.layer_distance import layer_distance
from kdcore.methods.objective import Objective
from kdcore.methods.pair_term import PairTerm
from kdcore.methods.stage import TRAINING_STAGE, MethodInputs, MethodStage
from kdcore.methods.task import task_terms
from kdcore.pairing import resolve_layers
from kdcore.spec.methods import FeatureMatching


def feature_matching_stages(spec: FeatureMatching, inputs: MethodInputs) -> tuple[MethodStage, ...]:
    """Build the one stage of `feature_matching`.

    Raises:
        IncompatibleInputs: as `kdcore.pairing.resolve_layers`.
    """
    spec = resolve_layers(spec, student=inputs.student_layers, teacher=inputs.teacher_layers)
    layers = PairTerm("feature_matching", layer_distance, spec.layers, inputs)
    objective = Objective([*task_terms(spec), (spec.feature_weight, layers)])
    return (MethodStage(TRAINING_STAGE, objective),)
