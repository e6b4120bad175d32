"""Predictions on a whole split."""

# N examples, B batch, C channels, H height, W width

import numpy as np
import pytest
import torch

from kdcore.data import ArrayDataset
from kdcore.evaluation import predict_logits
from kdcore.models import Classifier

CPU = torch.device("cpu")


def test_images_are_bytes_over_255_in_the_order_of_the_split(
    classifier: Classifier, dataset: ArrayDataset
) -> None:
    images_NHWC = torch.from_numpy(np.array(dataset.test.images_NHWC))
    classifier.eval()
    with torch.no_grad():
        expected_NC = classifier(images_NHWC.permute(0, 3, 1, 2) / 255)

    found_NC = predict_logits(classifier, dataset.test, batch_size=21, device=CPU)

    torch.testing.assert_close(found_NC, expected_NC)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batch_size_changes_nothing_but_rounding(
    classifier: Classifier, dataset: ArrayDataset, batch_size: int
) -> None:
    whole_NC = predict_logits(classifier, dataset.test, batch_size=21, device=CPU)

    found_NC = predict_logits(classifier, dataset.test, batch_size=batch_size, device=CPU)

    torch.testing.assert_close(found_NC, whole_NC)


def test_network_in_training_stays_in_training_with_its_statistics(
    classifier: Classifier, dataset: ArrayDataset
) -> None:
    classifier.train()
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}

    predict_logits(classifier, dataset.test, batch_size=8, device=CPU)

    assert all(module.training for module in classifier.modules())
    after = classifier.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_logits_are_exact_float32_inside_autocast(
    classifier: Classifier, dataset: ArrayDataset
) -> None:
    plain_NC = predict_logits(classifier, dataset.test, batch_size=8, device=CPU)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found_NC = predict_logits(classifier, dataset.test, batch_size=8, device=CPU)

    assert found_NC.dtype is torch.float32
    assert torch.equal(found_NC, plain_NC)


def test_logits_carry_no_gradient(classifier: Classifier, dataset: ArrayDataset) -> None:
    assert not predict_logits(classifier, dataset.test, batch_size=8, device=CPU).requires_grad
