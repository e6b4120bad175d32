"""All that Potstill needs in production, on this machine: database, broker, object storage."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.servers.postgres import PostgresServer
from deploy.servers.process import Server
from deploy.servers.redis import RedisServer
from deploy.servers.s3 import S3Server


class Backends:
    """PostgreSQL, Redis and an S3 store in one folder; a context manager that leaves none behind.

    `environment` is what Potstill's processes need to use them.
    """

    def __init__(self, folder: Path) -> None:
        self.postgres = PostgresServer(folder / "postgres")
        self.redis = RedisServer(folder / "redis")
        self.s3 = S3Server(folder / "s3")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start all of them at once, and wait until they are ready.

        Raises:
            ServerFailed: one of them did not start; none runs.
        """
        with ExitStack() as stack:
            for server in self.servers:
                stack.callback(server.close)
                server.launch()
            for server in self.servers:
                server.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def servers(self) -> tuple[Server, ...]:
        """Each of them; the slowest to start first."""
        return (self.s3, self.postgres, self.redis)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Potstill uses all of them."""
        return {**self.postgres.environment, **self.redis.environment, **self.s3.environment}
