"""The images hold all that their programs import, and nothing runs as root."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.files import ROOT, read_project, read_stages

STAGES = read_stages()
IMAGES = ("api", "worker", "proxy")

# All that the image's programs import, also late: the drivers behind the URLs of production.
DRIVERS = ("kombu.transport.redis", "kombu.transport.pyamqp", "psycopg", "obstore", "kdstore.otel")
PROGRAMS = {
    "api": (
        "api.__main__",
        "api.first_key",
        "migrations.__main__",
        "kdclient.cli.__main__",
        "doctor.__main__",
    ),
    "worker": (
        "worker.__main__",
        "worker.fork_server",
        "worker.health",
        "worker.retention",
        "doctor.__main__",
        "worker.ingest_process",
        "worker.trainer_process",
    ),
}
# Taken along by others where they happen to be installed, and not needed.
OPTIONAL = {"opentelemetry-api", "potstill", "psutil", "pyyaml", "setuptools"}

each_program_image = pytest.mark.parametrize("image", PROGRAMS)


def copied(image: str) -> list[str]:
    """What an image gets from this repository, by the stage that builds it."""
    stages = [STAGES["build"], STAGES[f"{image}-build"]] if image in PROGRAMS else [STAGES[image]]
    lines = [value.split() for stage in stages for value in stage.values("COPY")]
    return [source for line in lines for source in line[:-1] if not source.startswith("--")]


def test_it_passes_the_linter() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    result = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


def test_bases_are_pinned_by_digest() -> None:
    for stage in STAGES.values():
        assert stage.base in STAGES or re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", stage.base)


@pytest.mark.parametrize("image", IMAGES)
def test_image_is_not_root_by_number(image: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", STAGES[image].values("USER")[-1])


@pytest.mark.parametrize("image", IMAGES)
def test_copied_files_are_there_and_not_ignored(image: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    for source in copied(image):
        assert (ROOT / source).exists()
        assert source in kept


@each_program_image
def test_health_is_checked(image: str) -> None:
    assert STAGES[image].values("HEALTHCHECK")


@each_program_image
def test_program_is_one_of_those_tried_here(image: str) -> None:
    command = json.loads(STAGES[image].values("CMD")[-1])
    assert command[:2] == ["python", "-m"]
    assert f"{command[2]}.__main__" in PROGRAMS[image]


@each_program_image
def test_programs_find_all_that_they_import(image: str, tmp_path: Path) -> None:
    for source in copied(image):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source)
    modules, files = import_in(tmp_path, (*PROGRAMS[image], *DRIVERS))
    assert all(Path(file).is_relative_to(tmp_path) for file in files)
    by_module = packages_distributions()
    needed = {canonicalize_name(name) for module in modules for name in by_module.get(module, [])}
    assert needed - OPTIONAL <= installed_with(extras_of(image))


def import_in(folder: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Import modules where only `folder` holds ours; give all top names, and the files of ours."""
    script = (
        "import importlib, json, sys\n"
        f"for name in {list(names)}: importlib.import_module(name)\n"
        "tops = sorted({name.partition('.')[0] for name in sys.modules})\n"
        "ours = ('api', 'kdclient', 'kdcore', 'kdstore', 'migrations', 'worker')\n"
        "files = [sys.modules[top].__file__ for top in ours if top in sys.modules]\n"
        "print(json.dumps([tops, files]))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    output = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment,
    ).stdout
    modules, files = json.loads(output)
    return modules, files


def extras_of(image: str) -> list[str]:
    """The extras that the image installs."""
    (match,) = re.findall(r"/dependencies\[([\w,]+)\]", str(STAGES[f"{image}-build"].values("RUN")))
    return str(match).split(",")


def installed_with(extras: Sequence[str]) -> set[str]:
    """Name every distribution that pip would install for these extras of Potstill."""
    project = read_project()
    own = project["optional-dependencies"]
    waiting = [Requirement(line) for line in project["dependencies"]]
    waiting += [Requirement(f"potstill[{','.join(extras)}]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, wanted = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        if name == "potstill":
            waiting += [Requirement(line) for extra in wanted for line in own[extra]]
        else:
            waiting += dependencies_of(name, wanted)
    return {name for name, _ in seen}


def dependencies_of(name: str, extras: frozenset[str]) -> list[Requirement]:
    """List what an installed distribution needs here with these extras; nothing if it is none."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # its marker names another system
        return []
    found = [Requirement(line) for line in lines]
    return [
        each
        for each in found
        if each.marker is None or any(each.marker.evaluate({"extra": e}) for e in ("", *extras))
    ]
