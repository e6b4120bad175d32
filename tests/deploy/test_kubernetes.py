"""The manifests are valid, fit together, and give each pod no more than it needs."""

from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest

from api import parts
from api.main import ROUTERS
from kdstore.settings import Settings
from tests.deploy.custom_resources import CUSTOM
from tests.deploy.files import KUBERNETES, ROOT, Document, manifests, read_all_yaml, read_yaml
from worker import health as worker_health

VERSION = "1.34"
MANIFESTS = [document for _, document in manifests()]
WORKLOADS = [each for each in MANIFESTS if each["kind"] in {"Deployment", "Job"}]
KUSTOMIZATIONS = sorted(KUBERNETES.rglob("kustomization.yaml"))
OVERLAYS = sorted(path.parent for path in (KUBERNETES / "overlays").glob("*/kustomization.yaml"))
OF_KUSTOMIZE = {"Kustomization", "Component"}


def _id(manifest: Document) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


each_manifest = pytest.mark.parametrize("manifest", MANIFESTS, ids=_id)
each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=_id)
each_kustomization = pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda p: p.parent.name)


def pod_of(workload: Document) -> Document:
    pod: Document = workload["spec"]["template"]["spec"]
    return pod


def pod_labels() -> list[dict[str, str]]:
    return [workload["spec"]["template"]["metadata"]["labels"] for workload in WORKLOADS]


def deployed_names() -> set[str]:
    """The names of deployments after the overlays have put their suffixes on workers."""
    names = {workload["metadata"]["name"] for workload in WORKLOADS}
    workers = [read_yaml(overlay / "worker" / "kustomization.yaml") for overlay in OVERLAYS]
    return names | {f"worker{worker['nameSuffix']}" for worker in workers}


@each_manifest
def test_manifest_is_valid(manifest: Document) -> None:
    if manifest["kind"] in CUSTOM:
        jsonschema.validate(manifest, CUSTOM[manifest["kind"]])
    else:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


@each_kustomization
def test_what_a_kustomization_names_is_there(path: Path) -> None:
    kustomization = read_yaml(path)
    patches = [patch["path"] for patch in kustomization.get("patches", [])]
    files = [
        file for maker in kustomization.get("configMapGenerator", []) for file in maker["envs"]
    ]
    named = kustomization.get("resources", []) + kustomization.get("components", [])
    for name in (*named, *patches, *files):
        target = path.parent / name
        assert target.is_file() or (target / "kustomization.yaml").is_file()


def test_every_file_is_named_by_a_kustomization() -> None:
    named = {
        (path.parent / name).resolve()
        for path in KUSTOMIZATIONS
        for name in (
            *read_yaml(path).get("resources", []),
            *(patch["path"] for patch in read_yaml(path).get("patches", [])),
        )
    }
    files = {path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert files <= named


@pytest.mark.parametrize("path", sorted(KUBERNETES.rglob("*.yaml")), ids=str)
def test_patch_changes_what_is_there(path: Path) -> None:
    known = {(each["kind"], each["metadata"]["name"]) for each in MANIFESTS}
    for document in read_all_yaml(path):
        if document["kind"] not in OF_KUSTOMIZE:
            assert (document["kind"], document["metadata"]["name"]) in known


@each_workload
def test_pod_is_restricted(workload: Document) -> None:
    pod = pod_of(workload)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


@each_workload
def test_names_of_services_do_not_become_settings(workload: Document) -> None:
    # A service `potstill` would set POTSTILL_PORT to an address.
    assert pod_of(workload)["enableServiceLinks"] is False


@each_workload
def test_passwords_come_from_a_secret_that_is_not_here(workload: Document) -> None:
    for container in pod_of(workload)["containers"]:
        assert {"secretRef": {"name": "potstill-credentials"}} in container["envFrom"]
    assert all(manifest["kind"] != "Secret" for manifest in MANIFESTS)


def generated() -> set[str]:
    """The ConfigMaps whose names change with what they hold."""
    makers = [
        maker for path in KUSTOMIZATIONS for maker in read_yaml(path).get("configMapGenerator", [])
    ]
    return {maker["name"] for maker in makers}


@each_workload
def test_changed_setting_rolls_deployments_out_and_leaves_the_finished_job_alone(
    workload: Document,
) -> None:
    # A Job's pod cannot be changed: with another ConfigMap in it, `kubectl apply` fails.
    sources = [
        source["configMapRef"]["name"]
        for container in pod_of(workload)["containers"]
        for source in container["envFrom"]
        if "configMapRef" in source
    ]
    assert set(sources) == (generated() if workload["kind"] == "Deployment" else set())


@each_workload
def test_selectors_find_their_own_pods(workload: Document) -> None:
    if workload["kind"] == "Deployment":
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()


@each_manifest
def test_selectors_of_others_find_pods(manifest: Document) -> None:
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Service":
            selector = spec["selector"]
        case "PodDisruptionBudget" | "PodMonitor":
            selector = spec["selector"]["matchLabels"]
        case "NetworkPolicy":
            selector = spec["podSelector"].get("matchLabels", {})
        case _:
            return
    assert any(selector.items() <= labels.items() for labels in pod_labels())


def test_network_policies_know_every_component() -> None:
    components = {labels["app.kubernetes.io/component"] for labels in pod_labels()}
    for manifest in MANIFESTS:
        if manifest["kind"] == "NetworkPolicy":
            for expression in manifest["spec"]["podSelector"].get("matchExpressions", []):
                assert expression["key"] == "app.kubernetes.io/component"
                assert set(expression["values"]) <= components


def test_nothing_may_come_or_go_unless_a_policy_says_so() -> None:
    (deny,) = (each for each in MANIFESTS if each["metadata"]["name"] == "deny-all")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def paths_let_in(path: str) -> list[str]:
    """The rules of the ingress that let a path in, as Kubernetes reads them."""
    (ingress,) = (each for each in MANIFESTS if each["kind"] == "Ingress")
    (rule,) = ingress["spec"]["rules"]
    return [
        each["path"]
        for each in rule["http"]["paths"]
        if path == each["path"]
        or (each["pathType"] == "Prefix" and path.startswith(f"{each['path'].rstrip('/')}/"))
    ]


def test_ingress_lets_in_every_route_but_the_metrics() -> None:
    # OpenAPI's own route is FastAPI's.
    routes = {getattr(route, "path", "") for router in ROUTERS for route in router.routes}
    assert "/metrics" in routes
    for path in routes | {"/openapi.json"}:
        assert bool(paths_let_in(path)) == (path != "/metrics"), path


def test_prometheus_sends_the_token_that_the_api_asks_for() -> None:
    (monitor,) = (
        each
        for each in MANIFESTS
        if each["kind"] == "PodMonitor" and each["metadata"]["name"] == "api"
    )
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    credentials = endpoint["authorization"]["credentials"]
    assert "metrics_token" in Settings.model_fields
    assert credentials == {"name": "potstill-credentials", "key": "POTSTILL_METRICS_TOKEN"}
    (api,) = (each for each in WORKLOADS if each["metadata"]["name"] == "api")
    (container,) = pod_of(api)["containers"]
    assert {"secretRef": {"name": credentials["name"]}} in container["envFrom"]
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert f"--from-literal {credentials['key']}=" in page


def test_collector_of_traces_can_be_reached_where_its_address_is_shown() -> None:
    (policy,) = (each for each in MANIFESTS if each["metadata"]["name"] == "traces")
    (way,) = policy["spec"]["egress"]
    (port,) = way["ports"]
    settings = (KUBERNETES / "base" / "settings.env").read_text()
    assert f"# OTEL_EXPORTER_OTLP_ENDPOINT=http://collector.monitoring:{port['port']}\n" in settings


def test_scalers_name_deployments() -> None:
    scalers = [
        each for each in MANIFESTS if each["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
    ]
    assert {each["spec"]["scaleTargetRef"]["name"] for each in scalers} == {
        "api",
        "worker-cpu",
        "worker-gpu",
    }
    assert {each["spec"]["scaleTargetRef"]["name"] for each in scalers} <= deployed_names()


def test_deployment_with_a_scaler_has_no_number_of_its_own() -> None:
    # Every `kubectl apply` would set it back.
    assert all("replicas" not in each["spec"] for each in WORKLOADS)


def api_probe(name: str) -> Document:
    """A probe of the API's container."""
    (api,) = (each for each in WORKLOADS if each["metadata"]["name"] == "api")
    (container,) = pod_of(api)["containers"]
    probe: Document = container[name]
    return probe


def test_replica_that_has_started_stays_in_the_service_whatever_part_is_away() -> None:
    # tests/api/test_health.py: which of the two routes asks for the parts.
    assert api_probe("readinessProbe")["httpGet"]["path"] == "/healthz"
    assert api_probe("livenessProbe")["httpGet"]["path"] == "/healthz"


def test_replica_that_has_never_reached_its_parts_takes_no_requests_and_is_left_to_wait() -> None:
    probe = api_probe("startupProbe")
    assert probe["httpGet"]["path"] == "/readyz"
    assert probe["timeoutSeconds"] > parts.WAIT_SECONDS
    assert probe["failureThreshold"] * probe["periodSeconds"] >= 1800


def test_worker_must_show_itself_before_a_roll_out_goes_on() -> None:
    (worker,) = (each for each in WORKLOADS if each["metadata"]["name"] == "worker")
    (container,) = pod_of(worker)["containers"]
    assert container["startupProbe"]["exec"]["command"] == ["python", "-m", worker_health.__name__]


def test_worker_has_time_to_hand_its_job_back() -> None:
    (worker,) = (each for each in WORKLOADS if each["metadata"]["name"] == "worker")
    grace_seconds = pod_of(worker)["terminationGracePeriodSeconds"]
    assert grace_seconds >= 2 * Settings().stop_grace_seconds + 10


def test_gpu_workers_ask_for_a_gpu_on_nodes_that_have_one() -> None:
    pod = pod_of(read_yaml(KUBERNETES / "overlays" / "gpu" / "worker" / "gpu.yaml"))
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "POTSTILL_DEVICE", "value": "cuda"} in container["env"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
