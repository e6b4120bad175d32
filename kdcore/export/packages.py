"""The optional packages that export formats need, asked for before they are used."""

import importlib.util
from collections.abc import Iterable

from kdcore.errors import PackageMissing
from kdcore.spec import ExportFormat

_PACKAGES: dict[ExportFormat, tuple[str, ...]] = {"onnx": ("onnx", "onnxscript", "onnxruntime")}


def check_packages(formats: Iterable[ExportFormat]) -> None:
    """Check that every format can be written here. Imports nothing; worth asking before training.

    Raises:
        PackageMissing: naming the packages and how to install them.
    """
    for wanted in formats:
        names = _PACKAGES.get(wanted, ())
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        if missing:
            raise PackageMissing(f"The export {wanted!r}", packages=missing, extra="export")
