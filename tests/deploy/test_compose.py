"""docker-compose.yml is valid and holds no password; each container may do what it must."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema
from opentelemetry.sdk import environment_variables

from kdstore.settings import Settings
from tests.deploy.files import MONITORING, ROOT, read_compose, read_stages, read_yaml

COMPOSE = read_compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
OURS = ("api", "migrate", "worker-cpu", "worker-gpu")
# What a container decides for itself.
FIXED = {
    "POTSTILL_HOST",
    "POTSTILL_PORT",
    "POTSTILL_DATA_DIR",
    "POTSTILL_DEVICE",
    "POTSTILL_METRICS_HOST",
    "POTSTILL_METRICS_PORT",
}

each_service = pytest.mark.parametrize("name", SERVICES)


def test_it_is_valid_by_the_compose_specification() -> None:
    jsonschema.validate(COMPOSE, get_builtin_schema("vendor.compose-spec"))


@each_service
def test_image_is_built_here_or_pinned_by_digest(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["build"]["target"] in read_stages()
    else:
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", service["image"])


@each_service
def test_container_is_not_root_and_can_change_nothing(name: str) -> None:
    service = SERVICES[name]
    user = service.get("user") or read_stages()[service["build"]["target"]].values("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:\d+", user)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])


@each_service
def test_container_has_limits(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory", "pids"}


@each_service
def test_health_is_checked(name: str) -> None:
    service = SERVICES[name]
    if name in {"migrate", "rclone"}:  # they end
        assert service["healthcheck"] == {"disable": True}
    elif "healthcheck" in service:
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    else:
        assert read_stages()[service["build"]["target"]].values("HEALTHCHECK")


@each_service
def test_logs_cannot_fill_the_disk(name: str) -> None:
    assert SERVICES[name]["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


@each_service
def test_published_ports_are_for_this_machine_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"\$\{\w+:-127\.0\.0\.1:\d+\}:\d+", port)


def test_api_can_be_scaled() -> None:
    assert not {"container_name", "ports", "volumes", "hostname"} & SERVICES["api"].keys()


@pytest.mark.parametrize(
    ("name", "variable"),
    [("api", "POTSTILL_API_REPLICAS"), ("worker-cpu", "POTSTILL_WORKER_REPLICAS")],
)
def test_every_up_starts_as_many_as_env_says(name: str, variable: str) -> None:
    assert SERVICES[name]["deploy"]["replicas"] == f"${{{variable}:-1}}"
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert not re.findall(r"up [^`]*--scale", page)  # which the next `up` would undo


@each_service
def test_limits_are_no_more_than_the_cores_that_a_machine_must_have(name: str) -> None:
    cpus = SERVICES[name]["deploy"]["resources"]["limits"]["cpus"]
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (least,) = re.findall(r"at least (\d+) CPU cores", page)
    # That of workers is a variable, which `make env` writes by what the machine has.
    assert cpus == "${POTSTILL_WORKER_CPUS:-4}" or float(cpus) <= int(least)


def test_workers_reach_nothing_outside() -> None:
    for name in ("worker-cpu", "worker-gpu"):
        assert all(
            COMPOSE["networks"][network]["internal"] for network in SERVICES[name]["networks"]
        )


@pytest.mark.parametrize("name", ["postgres", "redis", "seaweedfs"])
def test_data_services_are_on_inner_networks_alone(name: str) -> None:
    assert all(COMPOSE["networks"][network]["internal"] for network in SERVICES[name]["networks"])
    assert "ports" not in SERVICES[name]


def test_proxy_reaches_the_bucket_but_not_the_database() -> None:
    reached = set(SERVICES["proxy"]["networks"])
    beside = {name for name in SERVICES if reached & set(SERVICES[name]["networks"])}
    assert beside == {"proxy", "api", "seaweedfs", "rclone"}


def test_links_and_answers_name_the_ports_that_are_published() -> None:
    published = {port.split("}")[0].split(":-")[1] for port in SERVICES["proxy"]["ports"]}
    environment = SERVICES["api"]["environment"]
    for name in ("POTSTILL_PUBLIC_URL", "POTSTILL_OBJECTS_PUBLIC_ENDPOINT"):
        assert environment[name].partition(":-http://")[2].rstrip("}") in published


@pytest.mark.parametrize("name", OURS)
def test_environment_holds_settings_only(name: str) -> None:
    known = {f"POTSTILL_{field}".upper() for field in Settings.model_fields}
    given = {key for key in SERVICES[name]["environment"] if key.startswith("POTSTILL_")}
    assert given <= known
    assert known - FIXED <= given  # whatever may be set, may be set in .env


def test_proxy_does_not_let_the_metrics_out() -> None:
    lines = (ROOT / "deploy" / "compose" / "Caddyfile").read_text(encoding="utf-8").splitlines()
    directives = [line.strip() for line in lines]
    assert "@metrics path /metrics" in directives
    assert "respond @metrics 404" in directives


@pytest.mark.parametrize("given", [{"POTSTILL_METRICS_TOKEN": "0123456789abcdef"}, {}])
def test_prometheus_has_the_token_of_the_api_in_the_file_that_it_reads(
    given: dict[str, str], tmp_path: Path
) -> None:
    service = SERVICES["prometheus"]
    assert service["environment"]["POTSTILL_METRICS_TOKEN"] is None
    assert SERVICES["api"]["environment"]["POTSTILL_METRICS_TOKEN"] is None
    (script,) = service["command"]
    jobs = read_yaml(MONITORING / "prometheus.yml")["scrape_configs"]
    (job,) = (each for each in jobs if each["job_name"] == "api")
    file = Path(job["authorization"]["credentials_file"])
    assert any(mount.startswith(f"{file.parent}:") for mount in service["tmpfs"])
    # As the container does it, elsewhere, and with another program in Prometheus' place.
    here = script.replace("$$", "$").replace(str(file.parent), str(tmp_path))
    done = subprocess.run(
        [*service["entrypoint"], here.replace("exec /bin/prometheus", "exec echo")],
        env={"PATH": os.environ["PATH"], "PROMETHEUS_RETENTION": "9d", **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / file.name).read_text() == given.get("POTSTILL_METRICS_TOKEN", "")
    assert (tmp_path / file.name).stat().st_mode & 0o777 == 0o600
    assert done.stdout.split() == [
        "--config.file=/etc/prometheus/prometheus.yml",
        "--storage.tsdb.path=/prometheus",
        "--storage.tsdb.retention.time=9d",
    ]


@pytest.mark.parametrize("name", ["api", "worker-cpu", "worker-gpu"])
def test_traces_are_asked_for_by_what_stands_in_env_alone(name: str) -> None:
    given = {key: value for key, value in SERVICES[name]["environment"].items() if "OTEL" in key}
    assert set(given.values()) == {None}
    page = (ROOT / "docs" / "tracing.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"OTEL_[A-Z_]+[A-Z]", page))
    alike = {key for key in vars(environment_variables) if key.startswith("OTEL_BSP_")}
    assert len(alike) >= 4
    assert documented | alike <= given.keys()


def test_every_setting_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    for field in Settings.model_fields:
        assert f"# POTSTILL_{field.upper()}=" in example


def test_no_secret_has_a_default() -> None:
    for name, default in re.findall(r"\$\{(\w+):?-([^}]*)\}", TEXT):
        assert not re.search(r"PASSWORD|SECRET|KEY|TOKEN", name), default


def test_no_secret_is_written_down() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|_KEY|AUTH$", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)


def test_variables_with_defaults_are_documented() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    for name, _ in re.findall(r"\$\{(\w+):?-([^}]*)\}", TEXT):
        assert f"`{name}`" in page


@pytest.mark.parametrize("name", ["worker-cpu", "worker-gpu"])
def test_worker_has_time_to_hand_its_job_back(name: str) -> None:
    grace_seconds = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace_seconds >= 2 * Settings().stop_grace_seconds + 10


@each_service
def test_mounted_files_are_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_grafana_and_prometheus_read_what_is_mounted() -> None:
    provisioning = ROOT / "deploy" / "monitoring" / "grafana" / "provisioning"
    boards = (provisioning / "dashboards" / "potstill.yml").read_text(encoding="utf-8")
    targets = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert any(f"path: {target}" in boards for target in targets)
