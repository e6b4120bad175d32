"""The catalogue is for processes that never load torch."""

import subprocess
import sys

MODULES = (
    "architectures",
    "cnn_shapes",
    "cost",
    "layer_shapes",
    "limits",
    "methods",
    "papers",
    "schemas",
)


def test_whole_catalogue_loads_and_answers_without_torch_and_numpy() -> None:
    script = (
        "import importlib, sys\n"
        f"for name in {MODULES!r}:\n"
        "    importlib.import_module('kdcore.catalog.' + name)\n"
        "import kdcore.pairing, kdcore.resolution\n"
        "from kdcore.catalog.architectures import architectures\n"
        "from kdcore.catalog.methods import methods\n"
        "[entry.json_schema() for entry in (*architectures(), *methods())]\n"
        "loaded = {'torch', 'torchvision', 'numpy'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True)
