"""What a report says of the machine and the software."""

import importlib.metadata
import platform
import re
import subprocess
import sys

import torch

import kdcore
from kdcore.devices import Compute
from kdcore.evaluation import describe_environment, device_name

CPU = Compute(torch.device("cpu"), "float32", 3)


def test_environment_says_what_the_run_used() -> None:
    found = describe_environment(CPU, seed=17)

    assert (found.device, found.num_threads, found.precision, found.seed) == (
        "cpu",
        3,
        "float32",
        17,
    )


def test_versions_are_those_installed() -> None:
    versions = describe_environment(CPU, seed=0).versions

    assert versions["python"] == platform.python_version()
    assert versions["potstill"] == kdcore.__version__
    for package in ("torch", "torchvision", "numpy"):
        assert versions[package] == importlib.metadata.version(package)


def test_describing_does_not_import_torchvision() -> None:
    program = """
import sys, torch
from kdcore.devices import Compute
from kdcore.evaluation import describe_environment
describe_environment(Compute(torch.device("cpu"), "float32", 1), seed=0)
print("torchvision" in sys.modules)
"""

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "False"


def test_cpu_has_a_name_for_people() -> None:
    name = device_name(torch.device("cpu"))

    assert re.search(r"\w", name)
    assert name == name.strip()
