"""Optional packages are asked for before work begins."""

from kdcore.export import check_packages


def test_formats_of_core_packages_need_nothing_more() -> None:
    check_packages(["safetensors", "torch_export"])


def test_development_environment_can_write_every_format() -> None:
    check_packages(["safetensors", "onnx", "torch_export"])
