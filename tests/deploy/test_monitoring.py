"""Rules and boards ask in PromQL for what is exported, and every alert has a runbook page."""

import json
import re
from pathlib import Path
from typing import get_args

import promql_parser
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api.latest import Latest
from api.metrics import ApiMetrics
from api.parts import Parts
from kdstore.backlog import Backlog
from kdstore.objects import ObjectStore
from kdstore.queue import INGEST_QUEUE, TRAINING_QUEUES
from kdstore.settings import Settings
from kdstore.tables.attempts import ExitCause
from tests.deploy.files import (
    KUBERNETES,
    MONITORING,
    ROOT,
    RUNBOOK,
    Document,
    read_all_yaml,
    read_compose,
    read_stages,
    read_yaml,
)
from worker.metrics import WorkerMetrics

RULES: list[Document] = [
    rule for group in read_yaml(MONITORING / "alerts.yml")["groups"] for rule in group["rules"]
]
BOARDS = sorted((MONITORING / "grafana" / "boards").glob("*.json"))
PAGES = sorted(path for path in RUNBOOK.glob("*.md") if path.name != "README.md")

SUFFIXES = {"gauge": ("",), "counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}

each_alert = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def panels() -> list[Document]:
    """Every panel of every board that shows something."""
    boards = [json.loads(board.read_text(encoding="utf-8")) for board in BOARDS]
    return [panel for board in boards for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Every PromQL expression that is deployed: alerts, boards, and what workers scale by."""
    scalers = [read_yaml(path) for path in KUBERNETES.glob("overlays/*/scaled-object.yaml")]
    return [
        *(rule["expr"] for rule in RULES),
        *(target["expr"] for panel in panels() for target in panel["targets"]),
        *(
            trigger["metadata"]["query"]
            for scaler in scalers
            for trigger in scaler["spec"]["triggers"]
        ),
    ]


@pytest.mark.parametrize("expression", expressions())
def test_expression_parses(expression: str) -> None:
    promql_parser.parse(expression)


@each_alert
def test_alert_says_how_bad_it_is_and_where_to_read_on(rule: Document) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    page = ROOT / rule["annotations"]["runbook"]
    assert page.read_text(encoding="utf-8").startswith(f"# {rule['alert']}\n")


@each_alert
def test_alert_is_in_the_index_of_the_runbook(rule: Document) -> None:
    page = rule["annotations"]["runbook"].rpartition("/")[2]
    row = f"| [{rule['alert']}]({page}) | {rule['labels']['severity']} |"
    assert row in (RUNBOOK / "README.md").read_text(encoding="utf-8")


def test_every_page_of_the_runbook_is_of_an_alert() -> None:
    assert {ROOT / rule["annotations"]["runbook"] for rule in RULES} == set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_says_what_it_means_where_to_look_and_what_to_do(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert all(part in text for part in ("**Means:**", "**Look at**", "**Do**"))


def test_outcomes_that_are_asked_for_exist() -> None:
    asked = re.findall(r'outcome=~?"([^"]+)"', " ".join(expressions()))
    assert {name for names in asked for name in names.split("|")} <= set(get_args(ExitCause))


def exported() -> dict[str, set[str]]:
    """The samples that API and worker export, by metric family."""
    objects = ObjectStore.from_url("memory://")
    api, worker = ApiMetrics(), WorkerMetrics()
    worker.watch(slots={}, objects=objects, device="cuda")
    nothing = Backlog(num_jobs={}, queues={}, num_open_uploads=0)
    with api.watching(parts=Parts({}), backlog=Latest(lambda: nothing), objects=objects):
        texts = [api.exposition().decode(), generate_latest(worker.registry).decode()]
    families = [each for text in texts for each in text_string_to_metric_families(text)]
    return {
        family.name: {family.name + suffix for suffix in SUFFIXES[family.type]}
        for family in families
        if family.name.startswith("potstill_")
    }


def test_every_metric_that_is_asked_for_is_exported() -> None:
    asked = set(re.findall(r"potstill_\w+", " ".join(expressions())))
    assert len(asked) >= 12
    assert asked <= {name for names in exported().values() for name in names}


def test_every_exported_metric_is_in_the_table_of_the_documentation() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(potstill_\w+)", page, re.MULTILINE))
    families = exported()
    totals = {f"{name}_total" for name, names in families.items() if f"{name}_total" in names}
    plain = {name for name in families if f"{name}_total" not in totals}
    assert documented == totals | plain


def test_prometheus_scrapes_services_of_the_compose_file() -> None:
    services = read_compose()["services"]
    configured = read_yaml(MONITORING / "prometheus.yml")["scrape_configs"]
    lookups = [each for job in configured for each in job.get("dns_sd_configs", [])]
    assert [name for each in lookups for name in each["names"]] == ["api", "worker"]
    assert all("metrics" in services[name]["networks"] for name in ("api", "prometheus"))


@pytest.mark.parametrize("name", ["worker-cpu", "worker-gpu"])
def test_workers_have_the_name_that_prometheus_asks_for_and_so_has_what_extends_them(
    name: str,
) -> None:
    services = read_compose()["services"]
    assert services[name]["networks"]["metrics"]["aliases"] == ["worker"]
    assert "worker" not in services  # or the name would be that service's
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (extended,) = re.findall(r"extends: \{file: docker-compose.yml, service: ([\w-]+)\}", page)
    assert extended == "worker-gpu"


def test_silent_worker_is_seen_before_its_lease_has_run_out() -> None:
    (rule,) = (rule for rule in RULES if rule["alert"] == "PotstillWorkerSilent")
    (threshold,) = re.findall(r"> (\d+)$", rule["expr"])
    scrape = read_yaml(MONITORING / "prometheus.yml")["global"]["scrape_interval"]
    monitors = read_all_yaml(KUBERNETES / "components" / "monitoring" / "pod-monitors.yaml")
    intervals = {each["interval"] for it in monitors for each in it["spec"]["podMetricsEndpoints"]}
    seconds = max(int(each.removesuffix("s")) for each in (scrape, *intervals))
    settings = Settings()
    assert "for" not in rule
    assert 2 * settings.heartbeat_seconds < int(threshold)  # one late heartbeat is no alarm
    assert int(threshold) + seconds <= settings.lease_seconds


def test_worker_that_is_taken_away_is_not_told_as_down() -> None:
    (rule,) = (rule for rule in RULES if rule["alert"] == "PotstillWorkerDown")
    grace_seconds = [
        int(read_compose()["services"]["worker-cpu"]["stop_grace_period"].removesuffix("s")),
        read_yaml(KUBERNETES / "worker" / "deployment.yaml")["spec"]["template"]["spec"][
            "terminationGracePeriodSeconds"
        ],
    ]
    assert int(rule["for"].removesuffix("m")) * 60 > max(grace_seconds)
    assert "heartbeat" not in rule["expr"]  # a frozen worker tells of none


def test_worker_serves_where_prometheus_asks() -> None:
    configured = read_yaml(MONITORING / "prometheus.yml")["scrape_configs"]
    (worker,) = (each for each in configured if each["job_name"] == "worker")
    port = worker["dns_sd_configs"][0]["port"]
    environment = " ".join(read_stages()["worker"].values("ENV"))
    assert f"POTSTILL_METRICS_PORT={port}" in environment
    assert "POTSTILL_METRICS_HOST=0.0.0.0" in environment
    deployment = read_yaml(KUBERNETES / "worker" / "deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "metrics", "containerPort": port} in container["ports"]


def test_workers_scale_by_queues_that_exist() -> None:
    asked = re.findall(r'queue=~?"([^"]+)"', " ".join(expressions()))
    named = {name for names in asked for name in names.split("|")}
    assert named == {*TRAINING_QUEUES.values(), INGEST_QUEUE}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_panels_of_a_board_do_not_overlap(board: Path) -> None:
    placed: set[tuple[int, int]] = set()
    for panel in json.loads(board.read_text(encoding="utf-8"))["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & placed
        placed |= cells
