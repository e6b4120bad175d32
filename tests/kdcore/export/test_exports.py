"""Every family in every format, checked with the readers that users have."""

# B batch, C channels or classes, H height, W width

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from kdcore.errors import ExportFailed
from kdcore.export import export_network, load_network
from kdcore.models import Classifier
from kdcore.spec import ExportFormat, NetworkDescription

Make = Callable[[NetworkDescription], Classifier]
Sample = Callable[[NetworkDescription], torch.Tensor]

ALL: tuple[ExportFormat, ...] = ("safetensors", "onnx", "torch_export")


def test_every_format_of_every_family_answers_as_the_network(
    description_of_each_family: NetworkDescription,
    make_classifier: Make,
    sample_images: Sample,
    tmp_path: Path,
) -> None:
    description = description_of_each_family
    classifier = make_classifier(description)
    images_BCHW = sample_images(description)

    paths = export_network(
        classifier,
        description,
        run="student",
        formats=ALL,
        folder=tmp_path,
        sample_images_BCHW=images_BCHW,
    )

    session = onnxruntime.InferenceSession(str(tmp_path / "student.onnx"))
    program = torch.export.load(tmp_path / "student.pt2").module()
    more_BCHW = torch.cat([images_BCHW, images_BCHW.flip(0)])
    with torch.inference_mode():
        expected_BC = classifier.eval()(more_BCHW)
        rebuilt_BC = load_network(tmp_path)(more_BCHW)
        program_BC = program(more_BCHW)
    (onnx_BC,) = session.run(["logits"], {"images": more_BCHW.numpy()})
    assert torch.equal(rebuilt_BC, expected_BC)
    torch.testing.assert_close(program_BC, expected_BC, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(onnx_BC), expected_BC, rtol=1e-4, atol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(p.name for p in paths)
    assert {path.name for path in paths} == {
        "student.json",
        "student.onnx",
        "student.pt2",
        "student.safetensors",
    }


@pytest.fixture(scope="module")
def exported_twice(
    make_classifier: Make,
    description: NetworkDescription,
    sample_images_BCHW: torch.Tensor,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    folders = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for folder in folders:
        classifier = make_classifier(description)
        _export(classifier, description, sample_images_BCHW, folder, formats=ALL)
    return folders


def test_same_network_gives_the_same_bytes(exported_twice: tuple[Path, Path]) -> None:
    first, second = exported_twice

    assert len(list(first.iterdir())) == 4
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_files_name_no_place_on_this_machine(exported_twice: tuple[Path, Path]) -> None:
    folder, _ = exported_twice

    with zipfile.ZipFile(folder / "student.pt2") as archive:
        contents = [archive.read(name) for name in archive.namelist()]
    contents.append((folder / "student.onnx").read_bytes())
    assert not any(b".py" in content or b"site-packages" in content for content in contents)


@pytest.mark.parametrize(
    ("wanted", "suffixes"),
    [
        ("safetensors", {".safetensors", ".json"}),
        ("onnx", {".onnx"}),
        ("torch_export", {".pt2"}),
    ],
)
def test_only_what_is_asked_for_is_written(
    wanted: ExportFormat,
    suffixes: set[str],
    make_classifier: Make,
    mlp: NetworkDescription,
    sample_images: Sample,
    tmp_path: Path,
) -> None:
    _export(make_classifier(mlp), mlp, sample_images(mlp), tmp_path, formats=[wanted])

    assert {path.suffix for path in tmp_path.iterdir()} == suffixes


def test_trained_network_is_left_as_it_was_and_nothing_is_printed(
    make_classifier: Make,
    mlp: NetworkDescription,
    sample_images: Sample,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    classifier = make_classifier(mlp).train()
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}

    _export(classifier, mlp, sample_images(mlp), tmp_path, formats=ALL)

    assert all(module.training for module in classifier.modules())
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    assert all(torch.equal(classifier.state_dict()[name], before[name]) for name in before)
    assert capfd.readouterr() == ("", "")


def test_description_that_rebuilds_another_network_is_found_out(
    classifier: Classifier,
    description: NetworkDescription,
    sample_images_BCHW: torch.Tensor,
    tmp_path: Path,
) -> None:
    wrong = description.model_copy(
        update={"input": description.input.model_copy(update={"mean": (0.0, 0.0, 0.0)})}
    )

    with pytest.raises(ExportFailed, match=r"student\.safetensors"):
        _export(classifier, wrong, sample_images_BCHW, tmp_path, formats=["safetensors"])


@pytest.mark.parametrize("wanted", ["onnx", "torch_export"])
def test_program_of_another_network_is_found_out_and_removed(
    wanted: ExportFormat,
    make_classifier: Make,
    mlp: NetworkDescription,
    sample_images: Sample,
    tmp_path: Path,
) -> None:
    class Lying(nn.Module):
        """Its answers are not those of its weights."""

        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
            return -self.network(images_BCHW)  # type: ignore[no-any-return]  # torch types calls of modules as Any

        def state_dict(self, *_args: object, **_kwargs: object) -> dict[str, torch.Tensor]:  # type: ignore[override]  # one form of many
            return self.network.state_dict()

    lying = Classifier(Lying(make_classifier(mlp).network), mlp.input)

    with pytest.raises(ExportFailed):
        _export(lying, mlp, sample_images(mlp), tmp_path, formats=[wanted])

    assert list(tmp_path.iterdir()) == []


class TestOnnxFile:
    @pytest.fixture
    def model(self, exported_twice: tuple[Path, Path]) -> onnx.ModelProto:
        return onnx.load(exported_twice[0] / "student.onnx")

    def test_model_is_valid(self, model: onnx.ModelProto) -> None:
        onnx.checker.check_model(model, full_check=True)

    def test_batch_is_the_only_free_dimension(self, model: onnx.ModelProto) -> None:
        shapes = [
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*model.graph.input, *model.graph.output)
        ]

        assert shapes == [["batch", 3, 8, 8], ["batch", 4]]
        assert [value.name for value in model.graph.input] == ["images"]
        assert [value.name for value in model.graph.output] == ["logits"]

    def test_metadata_tell_classes_and_input(
        self, model: onnx.ModelProto, description: NetworkDescription
    ) -> None:
        found = {entry.key: entry.value for entry in model.metadata_props}

        assert json.loads(found["class_names"]) == list(description.class_names)
        assert json.loads(found["input"])["range"] == [0.0, 1.0]
        assert NetworkDescription.model_validate_json(found["network"]) == description


_WITHOUT_PACKAGES = """
import sys

BLOCKED = {"onnx", "onnxscript", "onnxruntime", "sklearn", "jinja2", "pandas", "scipy"}

class Finder:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path = [Finder(finder) for finder in sys.meta_path]

import pathlib, tempfile, torch
from kdcore.errors import PackageMissing
from kdcore.export import check_packages, export_network, load_network
from kdcore.models import Classifier, build_network
from kdcore.spec import ImageInput, Mlp, NetworkDescription

description = NetworkDescription(
    architecture=Mlp(hidden=(4,)), input=ImageInput(channels=1, height=2, width=2), num_classes=2
)
classifier = Classifier(build_network(description, seed=0), description.input)
folder = pathlib.Path(tempfile.mkdtemp()) / "made"
try:
    export_network(classifier, description, run="student", formats=["safetensors", "onnx"],
                   folder=folder, sample_images_BCHW=torch.rand(2, 1, 2, 2))
except PackageMissing as error:
    print(error.packages, error.extra, folder.exists())
export_network(classifier, description, run="student", formats=["safetensors", "torch_export"],
               folder=folder, sample_images_BCHW=torch.rand(2, 1, 2, 2))
print(sorted(path.name for path in folder.iterdir()))
"""


def test_core_packages_suffice_for_all_but_onnx_which_says_what_it_needs() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _WITHOUT_PACKAGES], capture_output=True, text=True, check=True
    )

    assert answer.stdout.splitlines() == [
        "('onnx', 'onnxscript', 'onnxruntime') export False",
        "['student.json', 'student.pt2', 'student.safetensors']",
    ]


def test_importing_export_imports_nothing_optional() -> None:
    program = (
        "import sys, kdcore.export; "
        "print([n for n in ('onnx', 'onnxruntime', 'onnxscript', 'torchvision', 'sklearn') "
        "if n in sys.modules])"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"


def _export(
    classifier: Classifier,
    description: NetworkDescription,
    images_BCHW: torch.Tensor,
    folder: Path,
    *,
    formats: list[ExportFormat] | tuple[ExportFormat, ...],
) -> list[Path]:
    return export_network(
        classifier,
        description,
        run="student",
        formats=formats,
        folder=folder,
        sample_images_BCHW=images_BCHW,
    )
