"""A teacher stays what it was: mode, weights, statistics, gradients."""

# B batch, C channels (images) or classes (logits), H height, W width

import copy

import pytest
import torch
from torch import nn

from kdcore.methods import kd_loss
from kdcore.models import Classifier, build_network
from kdcore.spec import Cnn, ImageInput, NetworkDescription
from kdcore.spec.architectures import ActivationLayer, Conv, Dropout, Norm
from kdcore.teacher import Teacher

IMAGE = ImageInput(channels=3, height=6, width=6, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
DESCRIPTION = NetworkDescription(
    architecture=Cnn(
        layers=(Conv(channels=4), Norm(), ActivationLayer(), Dropout(probability=0.5))
    ),
    input=IMAGE,
    num_classes=5,
)


def _classifier(seed: int = 0) -> Classifier:
    return Classifier(build_network(DESCRIPTION, seed=seed), IMAGE)


def _images_BCHW(seed: int = 0) -> torch.Tensor:
    return torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


class _Wrapper(nn.Module):
    """A module that holds student and teacher, as other libraries do."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.student = _classifier(seed=1)
        self.teacher = teacher


def test_logits_are_the_classifiers_own_in_eval_mode() -> None:
    classifier = _classifier()
    expected_BC = copy.deepcopy(classifier).eval()(_images_BCHW())

    logits_BC = Teacher(classifier)(_images_BCHW())

    torch.testing.assert_close(logits_BC, expected_BC)


def test_images_are_normalised_by_the_teachers_own_statistics() -> None:
    classifier = _classifier()
    mean_C11 = torch.tensor(IMAGE.mean)[:, None, None]
    std_C11 = torch.tensor(IMAGE.std)[:, None, None]
    network = copy.deepcopy(classifier.network).eval()

    logits_BC = Teacher(classifier)(_images_BCHW())

    torch.testing.assert_close(logits_BC, network((_images_BCHW() - mean_C11) / std_C11))


def test_train_does_not_leave_eval_mode() -> None:
    teacher = Teacher(_classifier())

    assert teacher.train() is teacher
    assert teacher.train(mode=True) is teacher

    assert not any(module.training for module in teacher.modules())


def test_training_a_module_that_holds_the_teacher_leaves_it_in_eval_mode() -> None:
    wrapper = _Wrapper(Teacher(_classifier()))

    wrapper.train()

    assert all(module.training for module in wrapper.student.modules())
    assert not any(module.training for module in wrapper.teacher.modules())


def test_modules_switched_behind_its_back_are_switched_back_before_computing() -> None:
    teacher = Teacher(_classifier())
    expected_BC, digest = teacher(_images_BCHW()), teacher.digest()
    teacher.classifier.train()

    logits_BC = teacher(_images_BCHW())

    assert torch.equal(logits_BC, expected_BC)
    assert teacher.digest() == digest
    assert not any(module.training for module in teacher.modules())


def test_requires_grad_cannot_be_switched_on() -> None:
    teacher = Teacher(_classifier())

    assert teacher.requires_grad_() is teacher

    assert not any(weight.requires_grad for weight in teacher.parameters())


def test_weights_unfrozen_through_a_holder_are_frozen_again_before_computing() -> None:
    wrapper = _Wrapper(Teacher(_classifier()))
    wrapper.requires_grad_(requires_grad=True)

    logits_BC = wrapper.teacher(_images_BCHW())

    assert not logits_BC.requires_grad
    assert not any(weight.requires_grad for weight in wrapper.teacher.parameters())


def test_no_gradient_is_kept_for_what_comes_before_the_teacher() -> None:
    images_BCHW = _images_BCHW().requires_grad_()

    answer = Teacher(_classifier()).observe(images_BCHW, ["layers.0"])

    assert not answer.logits.requires_grad
    assert not answer.features["layers.0"].requires_grad


def test_logits_can_be_saved_for_the_backward_pass_of_a_loss() -> None:
    student = _classifier(seed=1)

    loss = kd_loss(student(_images_BCHW()), Teacher(_classifier())(_images_BCHW()), temperature=4)
    torch.autograd.backward(loss)

    assert all(weight.grad is not None for weight in student.parameters())


def test_digest_is_the_same_after_training_a_student_under_it() -> None:
    wrapper = _Wrapper(Teacher(_classifier()))
    before = wrapper.teacher.digest()
    optimizer = torch.optim.SGD(wrapper.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)

    for step in range(3):
        wrapper.train()
        images_BCHW = _images_BCHW(step)
        loss = kd_loss(wrapper.student(images_BCHW), wrapper.teacher(images_BCHW), temperature=4.0)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    assert wrapper.teacher.digest() == before


def test_digest_does_not_depend_on_memory_layout() -> None:
    classifier = _classifier()
    channels_last = Teacher(copy.deepcopy(classifier))

    contiguous = Teacher(classifier)
    contiguous.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stub lacks it

    assert contiguous.digest() == channels_last.digest()


@pytest.mark.parametrize("name", ["layers.0.weight", "layers.1.running_var"])
def test_digest_changes_with_any_weight_or_statistic(name: str) -> None:
    teacher = Teacher(_classifier())
    before = teacher.digest()

    values = teacher.classifier.network.state_dict()[name]
    values[(0,) * values.dim()] += 1e-3

    assert teacher.digest() != before


def test_weights_are_laid_out_channels_last() -> None:
    teacher = Teacher(_classifier())

    weight = teacher.classifier.network.get_parameter("layers.0.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_with_autocast_logits_are_near_and_float32() -> None:
    classifier = _classifier()
    exact_BC = Teacher(copy.deepcopy(classifier))(_images_BCHW())

    logits_BC = Teacher(classifier, autocast_dtype=torch.bfloat16)(_images_BCHW())

    assert logits_BC.dtype == torch.float32
    assert not torch.equal(logits_BC, exact_BC)
    torch.testing.assert_close(logits_BC, exact_BC, rtol=0.05, atol=0.05)


def test_without_autocast_dtype_the_callers_autocast_changes_nothing() -> None:
    teacher = Teacher(_classifier())
    expected_BC = teacher(_images_BCHW())

    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits_BC = teacher(_images_BCHW())

    assert torch.equal(logits_BC, expected_BC)
