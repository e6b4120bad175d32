"""The whole of Potstill on this machine: migrations, first key, API and one worker."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from kdclient import children
from kdclient.children import Child
from kdclient.errors import PortOccupied, ServiceFailure
from kdclient.settings import Connection, read_connection, write_connection

_LOCK_NAME = "up.lock"
_READY_SECONDS = 60.0
_TRAINABLE_SECONDS = 30.0
_POLL_SECONDS = 0.05
# Longer than a worker takes to write a checkpoint and hand its job back.
_GRACE_SECONDS = 25.0


class Services:
    """API and worker as child processes; a context manager that leaves none of them behind.

    Start it from the main thread: the children live as long as the thread that started them.
    `environment` is what the children get, with data folder, host and port set.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        environment: Mapping[str, str],
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_folder = self.data_dir / "logs"
        self._host = host
        self._port = port
        self._environment = dict(environment)
        self._children: list[Child] = []
        self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Connection:
        """Start everything and wait until it is ready; writes the connection file.

        Raises:
            PortOccupied: another program listens at the port.
            ServiceFailure: another `potstill up` runs on this data folder.
            ServiceDied: a service ended or did not become ready.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        with _reserve(self._host, self._port) as reserved:
            port = reserved.getsockname()[1]
            if sys.platform != "linux":  # elsewhere nobody else could listen at it
                reserved.close()
            connection = self._start_at(port)
        write_connection(self.data_dir, connection)
        return connection

    def _start_at(self, port: int) -> Connection:
        url = f"http://{_reachable(self._host)}:{port}"
        self._environment |= {
            "POTSTILL_DATA_DIR": str(self.data_dir),
            "POTSTILL_HOST": self._host,
            "POTSTILL_PORT": str(port),
        }
        self._run("migrate", "migrations")
        api = self._spawn("api", "api")
        self._spawn("worker", "worker")
        saved = read_connection(self.data_dir)
        api_key = saved.api_key if saved else self._make_key()
        with httpx.Client(base_url=url, timeout=5.0, trust_env=False) as http:
            self._wait_until_ready(api, http)
            if not _is_accepted(http, api_key):  # revoked, or of a database that is gone
                api_key = self._make_key()
            self._wait_until_trainable(http, api_key)
        return Connection(url=url, api_key=api_key)

    def wait(self) -> None:
        """Block while all is well. Raises ServiceDied when a service ends."""
        while True:
            for child in self._children:
                child.raise_if_dead()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop everything: gracefully first, then surely."""
        try:
            children.stop(self._children, grace_seconds=_GRACE_SECONDS)
        finally:
            self._children.clear()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _spawn(self, name: str, *arguments: str, stdout: int | None = None) -> Child:
        child = children.start(
            name,
            arguments,
            environment=self._environment,
            log_folder=self.log_folder,
            stdout=stdout,
        )
        self._children.append(child)
        return child

    def _run(self, name: str, *arguments: str) -> str:
        """Run a module to its end and return what it printed."""
        child = self._spawn(name, *arguments, stdout=subprocess.PIPE)
        output, _ = child.process.communicate()
        if child.process.returncode != 0:
            child.raise_if_dead()
        self._children.remove(child)
        return output.decode(errors="replace")

    def _make_key(self) -> str:
        # Only hashes are kept: a key that was not saved here cannot be shown again.
        return str(json.loads(self._run("first_key", "api.first_key", "--new"))["token"])

    def _wait_until_ready(self, api: Child, http: httpx.Client) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        last = "no answer"
        while time.monotonic() < deadline:
            for child in self._children:
                child.raise_if_dead()
            try:
                response = http.get("/readyz")
            except httpx.TransportError:
                time.sleep(_POLL_SECONDS)
                continue
            if response.is_success:
                return
            last = response.text[:300]
            time.sleep(_POLL_SECONDS)
        raise api.died(f"was not ready after {_READY_SECONDS:.0f} seconds ({last})")

    def _wait_until_trainable(self, http: httpx.Client, api_key: str) -> None:
        """Wait for the worker to have prepared the built-in dataset, its first work of all.

        A slow one is not waited for: jobs then say themselves that the dataset is not ready.
        """
        deadline = time.monotonic() + _TRAINABLE_SECONDS
        while time.monotonic() < deadline:
            for child in self._children:
                child.raise_if_dead()
            answer = http.get("/v1/datasets/digits", headers=_bearer(api_key))
            if answer.is_success and answer.json()["status"] != "validating":
                return
            time.sleep(_POLL_SECONDS)

    def _take_lock(self) -> None:
        self._lock = os.open(self.data_dir / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock(self._lock):
            raise ServiceFailure(
                f"Another `potstill up` runs on {self.data_dir}. Use that one, or choose another "
                "folder with --data-dir."
            )


def is_in_use(data_dir: Path) -> bool:
    """Tell whether services run on this data folder."""
    try:
        descriptor = os.open(data_dir / _LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the lock, which ends with this process however that ends; False if it is taken."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_accepted(http: httpx.Client, api_key: str) -> bool:
    response = http.get("/v1/jobs", params={"limit": 1}, headers=_bearer(api_key))
    return response.status_code != httpx.codes.UNAUTHORIZED


def _bearer(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"}


def _reserve(host: str, port: int) -> socket.socket:
    """Bind a port, or a free one for 0, without listening: nobody else is given it meanwhile.

    Raises:
        PortOccupied: another program listens there.
        ServiceFailure: the address is not of this machine, or the port is for others.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    # With this option on both sockets, Linux lets the API bind and listen all the same.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        if error.errno == errno.EADDRINUSE:
            raise PortOccupied(host, port) from error
        raise ServiceFailure(
            f"Cannot listen at {host} port {port}: {error.strerror}. "
            "Choose another --host or --port."
        ) from error
    return reserved


def _reachable(host: str) -> str:
    """How clients on this machine write the address that the API listens on."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (a lookup, no bind)
    return f"[{shown}]" if ":" in shown else shown
