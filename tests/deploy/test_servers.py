"""Servers come back at their address with their data, and end with whoever started them."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from deploy.servers import PostgresServer, RedisServer, S3Server, Server, ServerFailed
from deploy.servers.ports import ReservedPort, accepts
from kdstore.errors import StorageUnavailable
from kdstore.objects import ObjectStore

pytestmark = pytest.mark.xdist_group("s3")


class Keeper:
    """Keeps one word in a server."""

    def __init__(
        self, server: Server, *, write: Callable[[str], object], read: Callable[[], str]
    ) -> None:
        self.server = server
        self.write = write
        self.read = read


@pytest.fixture(params=["postgres", "redis", "s3"])
def keeper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    """A word kept in each kind of server."""
    server = request.getfixturevalue(f"{request.param}_server")
    if isinstance(server, PostgresServer):
        return _in_postgres(server)
    if isinstance(server, RedisServer):
        return _in_redis(server)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    objects = ObjectStore.from_url(server.environment["POTSTILL_OBJECTS_URL"])
    return Keeper(
        server,
        write=lambda word: objects.put_bytes("word", word.encode()),
        read=lambda: objects.get_bytes("word").decode(),
    )


def _in_redis(server: RedisServer) -> Keeper:
    def write(word: str) -> None:
        with redis.Redis.from_url(server.url) as client:
            client.set("word", word)

    def read() -> str:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            return str(client.get("word"))

    return Keeper(server, write=write, read=read)


def _in_postgres(server: PostgresServer) -> Keeper:
    url = server.url.replace("+psycopg", "")

    def write(word: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("DROP TABLE IF EXISTS words")
            connection.execute("CREATE TABLE words (word TEXT)")
            connection.execute("INSERT INTO words VALUES (%s)", [word])

    def read() -> str:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT word FROM words").fetchone()
            connection.execute("DROP TABLE words")
        assert row is not None
        return str(row[0])

    return Keeper(server, write=write, read=read)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_server_comes_back_at_its_address_with_its_data(keeper: Keeper, how: str) -> None:
    address = keeper.server.address
    keeper.write(how)
    getattr(keeper.server, how)()
    assert not keeper.server.is_running
    assert not keeper.server.is_ready()
    keeper.server.start()
    assert keeper.server.address == address
    assert keeper.read() == how


def test_frozen_server_accepts_and_does_not_answer_until_it_thaws(keeper: Keeper) -> None:
    port = int(keeper.server.address.rpartition(":")[2])
    keeper.server.freeze()
    assert accepts(port)
    assert not keeper.server.is_ready()
    keeper.server.thaw()
    assert keeper.server.is_ready()


def test_wiped_redis_comes_back_empty(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("word", "gone")
        redis_server.stop()
        redis_server.wipe()
        redis_server.start()
        assert client.keys() == []


def test_no_server_answers_to_a_stranger(
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://potstill@{postgres_server.address}/potstill")
    with (
        redis.Redis.from_url(f"redis://{redis_server.address}/0") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    strange = s3_server.environment | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    for name, value in strange.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageUnavailable):
        ObjectStore.from_url(strange["POTSTILL_OBJECTS_URL"]).put_bytes("key", b"")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach as well."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


_ABANDONED = """
import sys, time
from pathlib import Path
from deploy.servers import PostgresServer, RedisServer
servers = [PostgresServer(Path(sys.argv[1]) / "p"), RedisServer(Path(sys.argv[1]) / "r")]
for server in servers:
    server.start()
print(*(server.address.rpartition(":")[2] for server in servers), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_servers_end_with_a_parent_that_is_killed(folder: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _ABANDONED, str(folder)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": ".", "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        ports = [int(port) for port in parent.stdout.readline().split()]
        assert len(ports) == 2
        assert all(accepts(port) for port in ports)
        parent.send_signal(signal.SIGKILL)
    while any(accepts(port) for port in ports):
        time.sleep(0.05)


def test_server_that_does_not_start_says_what_its_log_says(tmp_path: Path) -> None:
    class Broken(RedisServer):
        def command(self) -> list[str]:
            return [*super().command(), "--no-such-option", "1"]

    with pytest.raises(ServerFailed, match="no-such-option"), Broken(tmp_path):
        pass


def test_reserved_port_is_given_to_nobody_else_until_it_is_closed() -> None:
    ports = [ReservedPort() for _ in range(50)]
    assert len({port.number for port in ports}) == 50
    for port in ports:
        port.close()
        port.close()
