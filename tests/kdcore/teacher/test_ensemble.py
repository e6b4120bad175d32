"""Several teachers answer as one, against closed forms and numpy, and stay what they were."""

# K teachers, B batch, C channels (images) or classes (logits), H height, W width

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from kdcore.methods import kd_loss, logit_matching_loss
from kdcore.models import Classifier, build_network
from kdcore.spec import Cnn, ImageInput, NetworkDescription
from kdcore.spec.architectures import ActivationLayer, Conv, Dropout, Norm
from kdcore.spec.jobs import TeacherAverage
from kdcore.teacher import Ensemble, Teacher

Array = npt.NDArray[np.float64]

ARCHITECTURE = Cnn(layers=(Conv(channels=4), Norm(), ActivationLayer(), Dropout(probability=0.5)))
WEIGHTS = (1.0, 2.0, 5.0)


def _classifier(seed: int) -> Classifier:
    """Make a network with BatchNorm and dropout, and with a normalisation of its own."""
    image = ImageInput(channels=3, height=6, width=6, mean=(0.1 * seed,) * 3, std=(0.3,) * 3)
    description = NetworkDescription(architecture=ARCHITECTURE, input=image, num_classes=5)
    network = build_network(description, seed=seed)
    # Larger logits, so that the two means differ.
    with torch.no_grad():
        network.get_parameter("classifier.weight").mul_(20)
    return Classifier(network, image)


def _ensemble(average: TeacherAverage = "probabilities", *, temperature: float = 1.0) -> Ensemble:
    teachers = [Teacher(_classifier(seed)) for seed in range(3)]
    return Ensemble(teachers, weights=WEIGHTS, average=average, temperature=temperature)


def _images_BCHW(seed: int = 0) -> torch.Tensor:
    return torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def _each_KBC(ensemble: Ensemble) -> Array:
    logits = [member(_images_BCHW()).double().numpy() for member in ensemble.members]
    return np.stack(logits)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


class TestAnswer:
    def test_mean_of_logits_is_weighted(self) -> None:
        ensemble = _ensemble("logits")
        expected_BC = np.average(_each_KBC(ensemble), axis=0, weights=WEIGHTS)
        np.testing.assert_allclose(ensemble(_images_BCHW()).numpy(), expected_BC, rtol=1e-5)

    @pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
    def test_kd_loss_is_that_of_the_mean_of_softened_probabilities(
        self, temperature: float
    ) -> None:
        ensemble = _ensemble(temperature=temperature)
        student_BC = torch.randn(8, 5, generator=torch.Generator().manual_seed(9))

        loss = kd_loss(student_BC, ensemble(_images_BCHW()), temperature=temperature)

        each_KBC = _softmax(_each_KBC(ensemble) / temperature)
        target_BC = np.average(each_KBC, axis=0, weights=WEIGHTS)
        own_BC = _softmax(student_BC.double().numpy() / temperature)
        divergence_B = (target_BC * np.log(target_BC / own_BC)).sum(axis=1)
        assert float(loss) == pytest.approx(temperature**2 * divergence_B.mean(), rel=1e-4)

    def test_the_two_means_differ(self) -> None:
        probabilities_BC = _ensemble()(_images_BCHW()).softmax(1)
        assert not torch.allclose(
            probabilities_BC, _ensemble("logits")(_images_BCHW()).softmax(1), atol=0.05
        )

    @pytest.mark.parametrize("average", ["logits", "probabilities"])
    def test_equal_teachers_are_one_teacher(self, average: TeacherAverage) -> None:
        teachers = [Teacher(_classifier(0)) for _ in range(3)]
        ensemble = Ensemble(teachers, weights=WEIGHTS, average=average, temperature=3.0)
        for temperature in (1.0, 3.0):
            torch.testing.assert_close(
                (ensemble(_images_BCHW()) / temperature).softmax(1),
                (teachers[0](_images_BCHW()) / temperature).softmax(1),
            )

    def test_identical_student_has_no_loss(self) -> None:
        logits_BC = _ensemble("logits")(_images_BCHW())
        assert float(logit_matching_loss(logits_BC, logits_BC)) == 0
        assert float(kd_loss(logits_BC, logits_BC, temperature=4.0)) == pytest.approx(0, abs=1e-6)

    def test_layers_are_refused(self) -> None:
        with pytest.raises(ValueError, match="no layer 'conv' together"):
            _ensemble().observe(_images_BCHW(), ["conv"])

    def test_autocast_of_the_caller_changes_nothing(self) -> None:
        ensemble = _ensemble()
        expected_BC = ensemble(_images_BCHW())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits_BC = ensemble(_images_BCHW())
        assert torch.equal(logits_BC, expected_BC)


class _Wrapper(nn.Module):
    """A module that holds student and teachers, as other libraries do."""

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.student = _classifier(7)
        self.ensemble = ensemble


class TestFrozen:
    def test_digest_is_the_same_after_training_a_student_under_it(self) -> None:
        wrapper = _Wrapper(_ensemble())
        before = wrapper.ensemble.digest()
        optimizer = torch.optim.SGD(wrapper.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)

        for step in range(3):
            wrapper.train()
            wrapper.requires_grad_(requires_grad=True)
            images_BCHW = _images_BCHW(step)
            teacher_BC = wrapper.ensemble(images_BCHW)
            assert not teacher_BC.requires_grad
            loss = kd_loss(wrapper.student(images_BCHW), teacher_BC, temperature=4.0)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()

        assert wrapper.ensemble.digest() == before
        assert all(weight.grad is None for weight in wrapper.ensemble.parameters())

    def test_train_leaves_every_member_in_eval_mode(self) -> None:
        wrapper = _Wrapper(_ensemble())
        wrapper.train()
        assert all(module.training for module in wrapper.student.modules())
        assert not any(module.training for module in wrapper.ensemble.modules())

    def test_members_switched_behind_its_back_are_switched_back_before_computing(self) -> None:
        ensemble = _ensemble()
        expected_BC, digest = ensemble(_images_BCHW()), ensemble.digest()
        for member in ensemble.members:
            member.classifier.train()
        assert torch.equal(ensemble(_images_BCHW()), expected_BC)
        assert ensemble.digest() == digest

    def test_requires_grad_cannot_be_switched_on(self) -> None:
        ensemble = _ensemble()
        assert ensemble.requires_grad_() is ensemble
        assert not any(weight.requires_grad for weight in ensemble.parameters())

    def test_digest_changes_with_the_order_of_its_members(self) -> None:
        teachers = [Teacher(_classifier(seed)) for seed in range(2)]
        one, other = (
            Ensemble(members, weights=(1.0, 1.0), average="logits")
            for members in (teachers, teachers[::-1])
        )
        assert one.digest() != other.digest()
