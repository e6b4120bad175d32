"""The API is asked where it listens and where clients reach it, and silence is judged by where."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.servers import PostgresServer, RedisServer, S3Server
from doctor.addresses import examine_api, is_of_this_machine
from doctor.connections import examine_objects
from kdcore import __version__
from kdstore import workers
from kdstore.capacity import Capacity
from kdstore.db import make_engine, make_session_factory, transaction
from kdstore.settings import Settings
from migrations import upgrade

SILENT = "http://127.0.0.1:9"
# Reserved for documentation and for names that there are not.
ELSEWHERE = "http://nobody.invalid"


def verdicts(settings: Settings, *, url: str = "", has_api: bool = True) -> dict[str, str]:
    found = list(examine_api(settings, url=url, has_api=has_api))
    assert all(finding.advice for finding in found if finding.verdict in {"failed", "warning"})
    assert not any("://" in f"{finding.detail}{finding.advice}" for finding in found)
    return {finding.name: finding.verdict for finding in found}


def at(url: str, public_url: str = "") -> Settings:
    """The settings of an API that listens at `url`, on every address."""
    return Settings(host="0.0.0.0", port=urlsplit(url).port or 0, public_url=public_url)  # noqa: S104


def test_api_that_is_named_is_asked_alone(live_api: str) -> None:
    (finding,) = examine_api(at(SILENT), url=live_api, has_api=False)
    assert (finding.verdict, finding.detail) == ("ok", f"answers, release {__version__}")
    assert verdicts(at(live_api, live_api), url=SILENT) == {"api": "failed"}


@pytest.mark.parametrize(
    ("public_url", "verdict"),
    [
        (SILENT, "not here"),  # of the host, seen from a container
        ("http://localhost:9", "not here"),
        (ELSEWHERE, "warning"),
    ],
)
def test_api_that_listens_is_well_though_its_public_address_is_out_of_reach(
    live_api: str, public_url: str, verdict: str
) -> None:
    assert verdicts(at(live_api)) == {"api": "ok"}
    assert verdicts(at(live_api, live_api)) == {"api": "ok", "public url": "ok"}
    assert verdicts(at(live_api, public_url)) == {"api": "ok", "public url": verdict}


def test_api_on_another_machine_is_found_by_its_public_address(live_api: str) -> None:
    assert verdicts(at(SILENT, live_api)) == {"api": "ok", "public url": "ok"}


def test_somebody_else_at_the_public_address_is_a_warning(live_api: str) -> None:
    assert verdicts(at(live_api, f"{live_api}/v1")) == {"api": "ok", "public url": "warning"}


def test_api_that_answers_nowhere_has_failed() -> None:
    assert verdicts(at(SILENT)) == {"api": "failed"}
    assert verdicts(at(SILENT, SILENT)) == {"api": "failed", "public url": "not here"}
    assert verdicts(Settings(port=0)) == {"api": "failed"}


def test_worker_asks_no_api() -> None:
    assert verdicts(at(SILENT, SILENT), has_api=False) == {"api": "not here"}


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://[::1]/", True),
        ("http://localhost", True),
        ("https://10.0.0.1", False),
        ("https://potstill.example.org", False),
        ("potstill", False),
    ],
)
def test_addresses_of_whichever_machine_are_told_apart(url: str, is_here: bool) -> None:
    assert is_of_this_machine(url) == is_here


@pytest.mark.xdist_group("s3")
class TestLinks:
    @pytest.fixture(autouse=True)
    def _storage(self, monkeypatch: pytest.MonkeyPatch, s3_server: S3Server) -> None:
        for name, value in s3_server.environment.items():
            monkeypatch.setenv(name, value)

    @pytest.mark.parametrize(
        ("endpoint", "verdict"),
        [("", "ok"), (SILENT, "not here"), (ELSEWHERE, "warning")],
    )
    def test_links_are_tried_where_clients_use_them(self, endpoint: str, verdict: str) -> None:
        settings = Settings(objects_public_endpoint=endpoint)
        objects, links = examine_objects(settings, has_api=True)
        assert (objects.name, objects.verdict) == ("objects", "ok")
        assert (links.name, links.verdict) == ("links", verdict)

    def test_link_that_somebody_else_answers_has_failed(self, live_api: str) -> None:
        settings = Settings(objects_public_endpoint=live_api)
        _, links = examine_objects(settings, has_api=True)
        assert (links.verdict, links.detail) == ("failed", "a signed link is refused (404)")

    def test_links_that_are_off_are_well(self) -> None:
        _, links = examine_objects(Settings(signed_links=False), has_api=True)
        assert links.detail == "off: files go through the API"

    def test_worker_makes_no_links(self) -> None:
        (objects,) = examine_objects(Settings(), has_api=False)
        assert objects.verdict == "ok"


@pytest.mark.xdist_group("s3")
@pytest.mark.parametrize(
    ("missing", "not_here"),
    [
        (["torch"], {"disk", "public url", "links"}),
        (["fastapi", "migrations"], {"api", "migrations"}),
    ],
    ids=["api", "worker"],
)
def test_healthy_container_of_compose_fails_in_nothing(
    missing: list[str],
    not_here: set[str],
    live_api: str,
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    """In the image of the API there is no torch, in that of workers neither API nor migrations."""
    engine = make_engine(postgres_server.url)
    upgrade(engine)
    with transaction(make_session_factory(engine)) as session:
        workers.seen(session, name="w", device="cpu", capacity=Capacity("cpu", 1, None))
    engine.dispose()
    # A read-only file system, which root writes to nevertheless: no folder can be where a file is.
    (tmp_path / "file").touch()
    is_worker = "torch" not in missing
    document = _examine_in_container(
        missing,
        {
            **postgres_server.environment,
            **redis_server.environment,
            **s3_server.environment,
            "POTSTILL_DATA_DIR": str(tmp_path if is_worker else tmp_path / "file"),
            "POTSTILL_PORT": "8000" if is_worker else str(urlsplit(live_api).port),
            "POTSTILL_PUBLIC_URL": SILENT,
            "POTSTILL_OBJECTS_PUBLIC_ENDPOINT": SILENT,
        },
    )
    found = {finding["name"]: finding["verdict"] for finding in document["findings"]}
    assert "failed" not in found.values(), document
    assert {name for name, verdict in found.items() if verdict == "not here"} == not_here
    assert {found[name] for name in found.keys() - not_here - {"disk"}} == {"ok"}


def _examine_in_container(missing: list[str], environment: dict[str, str]) -> dict[str, Any]:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing}))  # not installed\n"
        "from doctor.__main__ import main\n"
        "sys.exit(main(['--json', '--quick']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=False,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (not document["healthy"])
    return document
