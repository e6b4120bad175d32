"""What is set for the pods is a setting, no secret, and an address that policies let them reach."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import pytest

from kdstore.settings import Settings
from tests.deploy.files import KUBERNETES, ROOT, Document, read_all_yaml, read_settings

_BASE: Final = KUBERNETES / "base"
_MANAGED: Final = KUBERNETES / "components" / "managed-data"
_OF_AWS: Final = {"AWS_REGION", "AWS_ENDPOINT_URL"}
_PORTS: Final = {"postgresql+psycopg": 5432, "https": 443}

FILES: Final = sorted(KUBERNETES.rglob("*.env"))


def address_in_guide(variable: str) -> SplitResult:
    """Give the URL that the guide shows for a variable of the Secret."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    found = re.search(rf"--from-literal {variable}='([^']+)'", page)
    assert found, variable
    return urlsplit(found[1])


def ways_out(*paths: Path) -> list[Document]:
    """Every rule of egress in files of network policies."""
    policies = [policy for path in paths for policy in read_all_yaml(path)]
    return [way for policy in policies for way in policy["spec"].get("egress", [])]


def ports_to_data() -> set[int]:
    """The ports at which pods may speak with the namespaces that hold data."""
    data = {"namespaceSelector": {"matchLabels": {"potstill-role": "data"}}}
    return {
        port["port"]
        for way in ways_out(_BASE / "network-policies.yaml")
        if data in way["to"]
        for port in way["ports"]
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_settings_are_settings_and_no_secrets(path: Path) -> None:
    known = {f"POTSTILL_{field}".upper() for field in Settings.model_fields}
    secret = {"POTSTILL_DATABASE_URL", "POTSTILL_BROKER_URL", "POTSTILL_METRICS_TOKEN"}
    assert read_settings(path).keys() <= (known - secret) | _OF_AWS


def test_policies_let_pods_reach_database_broker_and_objects_where_guide_and_settings_say() -> None:
    objects = read_settings(_BASE / "settings.env")["AWS_ENDPOINT_URL"]
    addresses = [
        address_in_guide("POTSTILL_DATABASE_URL"),
        address_in_guide("POTSTILL_BROKER_URL"),
        urlsplit(objects),
    ]
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert "kubectl label namespace data potstill-role=data\n" in page
    assert {str(address.hostname).partition(".")[2] for address in addresses} == {"data"}
    assert {address.port or _PORTS[address.scheme] for address in addresses} == ports_to_data()


def test_objects_outside_the_cluster_can_be_reached_where_the_component_says() -> None:
    managed = read_settings(_MANAGED / "objects.env")
    endpoint = urlsplit(managed["AWS_ENDPOINT_URL"])
    ways = ways_out(_MANAGED / "broker-and-objects.yaml")
    ports = {port["port"] for way in ways for port in way["ports"]}
    assert (endpoint.port or _PORTS[endpoint.scheme]) in ports
    # Nothing is left of what the base says of the store inside.
    inside = read_settings(_BASE / "settings.env").keys()
    assert managed.keys() == inside & {"AWS_ENDPOINT_URL", "POTSTILL_OBJECTS_PUBLIC_ENDPOINT"}


def test_signed_links_name_an_address_that_clients_can_reach() -> None:
    settings = read_settings(_BASE / "settings.env")
    public = urlsplit(settings["POTSTILL_OBJECTS_PUBLIC_ENDPOINT"])
    assert public.scheme == "https"
    assert public.hostname != urlsplit(settings["AWS_ENDPOINT_URL"]).hostname
