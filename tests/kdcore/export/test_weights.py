"""Weights and description: written, and rebuilt in one call."""

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from kdcore.errors import CheckpointRejected, ExportFailed, SpecInvalid
from kdcore.export import load_network, write_weights
from kdcore.export.verification import Reference
from kdcore.export.weights import verify_weights
from kdcore.models import Classifier
from kdcore.spec import NetworkDescription, parse_network

Make = Callable[[NetworkDescription], Classifier]
Sample = Callable[[NetworkDescription], torch.Tensor]


def test_rebuilt_network_equals_the_original_bit_for_bit(
    description_of_each_family: NetworkDescription,
    make_classifier: Make,
    sample_images: Sample,
    tmp_path: Path,
) -> None:
    description = description_of_each_family
    original = make_classifier(description)
    images_BCHW = sample_images(description)
    with torch.no_grad():
        expected_BC = original.eval()(images_BCHW)

    write_weights(original.network.state_dict(), description, run="student", folder=tmp_path)
    rebuilt = load_network(tmp_path / "student.json")

    found = rebuilt.network.state_dict()
    assert list(found) == list(original.network.state_dict())
    for name, tensor in original.network.state_dict().items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
    with torch.no_grad():
        assert torch.equal(rebuilt(images_BCHW), expected_BC)


class TestLoadNetwork:
    def test_network_is_ready_to_predict(
        self, classifier: Classifier, description: NetworkDescription, tmp_path: Path
    ) -> None:
        write_weights(classifier.network.state_dict(), description, run="network", folder=tmp_path)

        assert not load_network(tmp_path).training

    def test_folder_of_a_distillation_gives_the_student(
        self, classifier: Classifier, description: NetworkDescription, tmp_path: Path
    ) -> None:
        weights = classifier.network.state_dict()
        other = {name: tensor + 1 for name, tensor in weights.items()}
        write_weights(weights, description, run="student", folder=tmp_path)
        write_weights(other, description, run="control", folder=tmp_path)

        student, control = load_network(tmp_path), load_network(tmp_path, run="control")

        for name, tensor in weights.items():
            assert torch.equal(student.network.state_dict()[name], tensor)
            assert torch.equal(control.network.state_dict()[name], other[name])

    def test_control_has_no_description_of_its_own(
        self, classifier: Classifier, description: NetworkDescription, tmp_path: Path
    ) -> None:
        weights = classifier.network.state_dict()

        paths = write_weights(weights, description, run="control", folder=tmp_path)

        assert [path.name for path in paths] == ["control.safetensors"]

    def test_path_may_be_text(
        self, classifier: Classifier, description: NetworkDescription, tmp_path: Path
    ) -> None:
        write_weights(classifier.network.state_dict(), description, run="student", folder=tmp_path)

        assert isinstance(load_network(str(tmp_path / "student.json")), Classifier)

    def test_empty_folder_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"student\.json or network\.json"):
            load_network(tmp_path)

    def test_weights_of_another_network_are_refused(
        self, classifier: Classifier, description: NetworkDescription, tmp_path: Path
    ) -> None:
        weights = dict(classifier.network.state_dict())
        weights.pop("fc.bias")
        write_weights(weights, description, run="student", folder=tmp_path)

        with pytest.raises(CheckpointRejected) as caught:
            load_network(tmp_path)

        assert caught.value.tensor == "fc.bias"

    def test_truncated_weights_are_refused(
        self, classifier: Classifier, description: NetworkDescription, tmp_path: Path
    ) -> None:
        path, _ = write_weights(
            classifier.network.state_dict(), description, run="student", folder=tmp_path
        )
        path.write_bytes(path.read_bytes()[:-1])

        with pytest.raises(CheckpointRejected):
            load_network(tmp_path)

    def test_description_that_is_none_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "student.json").write_text('{"architecture": {"architecture": "abacus"}}')

        with pytest.raises(SpecInvalid):
            load_network(tmp_path)


class TestFiles:
    def test_names_are_the_plain_networks_own(
        self, classifier: Classifier, description: NetworkDescription, tmp_path: Path
    ) -> None:
        path, _ = write_weights(
            classifier.network.state_dict(), description, run="student", folder=tmp_path
        )

        found = safetensors.torch.load_file(path)

        assert set(found) == set(classifier.network.state_dict())

    def test_description_is_the_whole_description(
        self, classifier: Classifier, description: NetworkDescription, tmp_path: Path
    ) -> None:
        _, path = write_weights(
            classifier.network.state_dict(), description, run="student", folder=tmp_path
        )

        assert parse_network(path.read_bytes()) == description

    def test_weights_that_do_not_answer_as_the_network_are_removed(
        self,
        classifier: Classifier,
        description: NetworkDescription,
        sample_images_BCHW: torch.Tensor,
        tmp_path: Path,
    ) -> None:
        path, _ = write_weights(
            classifier.network.state_dict(), description, run="student", folder=tmp_path
        )

        with pytest.raises(ExportFailed):
            verify_weights(path, description, Reference(sample_images_BCHW, torch.ones(5, 4)))

        assert not path.exists()
