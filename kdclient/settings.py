"""Where the service is and with which key: flags, then environment, then what `up` wrote."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from kdclient.errors import SettingsMissing

DEFAULT_DATA_DIR = Path("potstill-data")
_FILE_NAME = "client.json"


class Connection(BaseModel):
    """An address and a key for it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    api_key: str

    def __repr__(self) -> str:
        return f"Connection(url={self.url!r}, api_key=…)"

    __str__ = __repr__


@dataclass(frozen=True)
class Given:
    """What a person gave by flag; None where nothing."""

    url: str | None = None
    api_key: str | None = None


def data_dir_from(environment: Mapping[str, str]) -> Path:
    """The data folder that services started here use."""
    return Path(environment.get("POTSTILL_DATA_DIR") or DEFAULT_DATA_DIR)


def find_connection(given: Given, *, environment: Mapping[str, str]) -> Connection:
    """Decide address and key: flags win over POTSTILL_URL and POTSTILL_API_KEY over the file.

    The key in the file is only for the address in the file, and goes nowhere else.

    Raises:
        SettingsMissing: address or key is nowhere.
    """
    path = data_dir_from(environment) / _FILE_NAME
    saved = read_connection(path.parent)
    url = given.url or environment.get("POTSTILL_URL") or (saved.url if saved else None)
    if url is None:
        raise SettingsMissing("address", looked_in=str(path))
    api_key = given.api_key or environment.get("POTSTILL_API_KEY")
    if api_key is None and saved is not None and saved.url.rstrip("/") == url.rstrip("/"):
        api_key = saved.api_key
    if api_key is None:
        raise SettingsMissing(f"key for {url}", looked_in=str(path))
    return Connection(url=url, api_key=api_key)


def read_connection(data_dir: Path) -> Connection | None:
    """Read what `write_connection` wrote; None if there is nothing (usable)."""
    try:
        text = (data_dir / _FILE_NAME).read_text(encoding="utf-8")
        return Connection.model_validate_json(text)
    except (OSError, ValidationError):
        return None


def write_connection(data_dir: Path, connection: Connection) -> Path:
    """Write address and key where only this user can read them; returns the file's path."""
    path = data_dir / _FILE_NAME
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    # Made with its mode: at no moment can anyone else open it.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(connection.model_dump(), file, indent=2)
    draft.replace(path)
    return path
