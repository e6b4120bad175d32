"""What the tests of the deployment read: its files, parsed, by the paths that users know."""

import io
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
MONITORING = ROOT / "deploy" / "monitoring"
RUNBOOK = ROOT / "docs" / "runbook"

# YAML and TOML hold anything, hence Any throughout.
Document = dict[str, Any]


def read_yaml(path: Path) -> Document:
    """Read a file of one YAML document."""
    document: Document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def read_all_yaml(path: Path) -> list[Document]:
    """Read every YAML document of a file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def read_settings(path: Path) -> dict[str, str]:
    """Read a file of lines `NAME=value` for a ConfigMap; comments are left out."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def read_compose() -> Document:
    """Read docker-compose.yml, with its anchors in place and its variables as they are written."""
    return read_yaml(ROOT / "docker-compose.yml")


def read_project() -> Document:
    """Read the table `project` of pyproject.toml."""
    project: Document = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def manifests() -> Iterator[tuple[Path, Document]]:
    """List every Kubernetes object that a kustomization names as a resource, with its file."""
    for kustomization in KUBERNETES.rglob("kustomization.yaml"):
        for name in read_yaml(kustomization).get("resources", []):
            path = kustomization.parent / name
            if path.is_file():
                yield from ((path, document) for document in read_all_yaml(path))


@dataclass(frozen=True)
class Stage:
    """One stage of the Dockerfile: what it starts from, and its instructions, in capitals."""

    name: str
    base: str
    instructions: tuple[tuple[str, str], ...]

    def values(self, instruction: str) -> list[str]:
        """Give the arguments of every such instruction, in order."""
        return [value for name, value in self.instructions if name == instruction]


def read_stages() -> dict[str, Stage]:
    """Read the Dockerfile's stages by name."""
    content = (ROOT / "Dockerfile").read_bytes()
    stages: dict[str, Stage] = {}
    for line in DockerfileParser(fileobj=io.BytesIO(content)).structure:
        if line["instruction"] == "FROM":
            base, _, name = line["value"].partition(" AS ")
            stages[name] = Stage(name, base, ())
        elif line["instruction"] != "COMMENT":
            stage = stages[name]
            entry = (line["instruction"], line["value"])
            stages[name] = Stage(stage.name, stage.base, (*stage.instructions, entry))
    return stages
