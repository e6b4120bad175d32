"""A worker's pod has what its settings let it take, and fails in parts, not as a whole."""

from typing import Final

from kdstore.settings import Settings
from tests.deploy.files import KUBERNETES, Document, read_settings, read_yaml
from worker.reader import limits_for

_UNITS: Final = {"Mi": 2**20, "Gi": 2**30}
_DEPLOYMENT: Final = read_yaml(KUBERNETES / "worker" / "deployment.yaml")


# Measured: 350 MB for a worker, its fork server and its spare process.
_WORKER_ITSELF: Final = 512 * _UNITS["Mi"]


def container_of(deployment: Document) -> Document:
    """The one container of a deployment, or of a patch to it."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: Document = container
    return found


def bytes_of(quantity: str) -> int:
    """Read a quantity of Kubernetes, such as 8Gi."""
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


def volume(name: str) -> Document:
    """A volume of the worker's pod."""
    volumes = _DEPLOYMENT["spec"]["template"]["spec"]["volumes"]
    (found,) = (each for each in volumes if each["name"] == name)
    return {kind: value for kind, value in found.items() if kind != "name"}


def settings_of_pods() -> Settings:
    """The settings that API and workers get, defaults where nothing is said."""
    said = read_settings(KUBERNETES / "base" / "settings.env")
    fields = {name.removeprefix("POTSTILL_").lower(): value for name, value in said.items()}
    return Settings.model_validate(fields)


def test_volume_holds_all_that_the_settings_allow_and_has_an_end() -> None:
    # An emptyDir has none: the kubelet ends the pod instead.
    claim = volume("data")["ephemeral"]["volumeClaimTemplate"]["spec"]
    settings = settings_of_pods()
    reading = settings.max_upload_bytes + settings.max_dataset_bytes
    training = settings.max_dataset_bytes
    needed = settings.input_cache_bytes + reading + training
    assert bytes_of(claim["resources"]["requests"]["storage"]) >= needed


def test_what_counts_as_the_node_s_disk_is_within_its_limit() -> None:
    limit = container_of(_DEPLOYMENT)["resources"]["limits"]["ephemeral-storage"]
    assert bytes_of(volume("tmp")["emptyDir"]["sizeLimit"]) < bytes_of(limit)


def test_training_on_cpu_leaves_the_container_room_for_what_goes_on_beside_it() -> None:
    # Beyond the container's limit the kernel ends all of its processes, the worker among them.
    container = container_of(_DEPLOYMENT)
    environment = {each["name"]: each["value"] for each in container["env"]}
    training = int(environment["POTSTILL_TRAINING_MEMORY_BYTES"])
    shared = bytes_of(volume("shared-memory")["emptyDir"]["sizeLimit"])
    beside = _WORKER_ITSELF + limits_for(0).memory_bytes + shared
    limit = bytes_of(container["resources"]["limits"]["memory"])
    assert 0 < training <= limit - beside
    assert training >= limit // 2


def test_limit_of_cpu_workers_does_not_reach_gpu_workers() -> None:
    patch = read_yaml(KUBERNETES / "overlays" / "gpu" / "worker" / "gpu.yaml")
    environment = container_of(patch)["env"]
    assert {"name": "POTSTILL_TRAINING_MEMORY_BYTES", "value": "0"} in environment
