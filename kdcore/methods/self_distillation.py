"""`self_distillation`: generations of one network, each under the one before.

Furlanello, Lipton, Tschannen, Itti, Anandkumar: Born-Again Neural Networks, ICML 2018
(arXiv:1805.04770).

Generation 0 learns from labels alone. Generation k minimises, averaged over the batch,

    ce_weight · CE(y, z_k) + kd_weight · T²/B · Σ_B KL(p_(k−1)^T ‖ p_k^T)

with the frozen generation k−1 for a teacher. At T=1, the default, the second term has the gradient
of the paper's cross-entropy between the two generations' outputs. What differs from the paper: a
temperature may be chosen; each generation has the recipe and the data order of the one before; and
the last generation, which is the student, begins with the initial weights of generation 0, which
is its control, so that nothing but the teacher tells them apart (the ones between draw weights of
their own, as all do in the paper). Ensembles of generations (the paper's BANE) are not made.

B batch, z logits, T temperature, p^T = softmax(z/T).
"""

from functools import partial

from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodStage
from kdcore.spec.methods import SelfDistillation


def self_distillation_stages(spec: SelfDistillation) -> tuple[MethodStage, ...]:
    """Build the one stage of every generation but the first."""
    soft = LogitTerm("self_distillation", partial(kd_loss, temperature=spec.temperature))
    objective = Objective([(spec.ce_weight, CrossEntropy()), (spec.kd_weight, soft)])
    return (MethodStage(TRAINING_STAGE, objective),)
