"""The typed client: one method for each thing that the service does."""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Literal, Self

from kdclient.inputs import Inputs
from kdclient.jobs import Jobs
from kdclient.posting import post, read_list
from kdclient.resources import ApiKey, Method, Page
from kdclient.retries import RetryPolicy
from kdclient.transport import Call, Transport


class Potstill(Inputs, Jobs):
    """A service at `base_url`, used with an API key. Safe to share between threads.

    Every method may raise:
        ApiProblem: the service refused; act on its `code`.
        ConnectionFailed: it could not be reached, after retries with back-off.
        UnexpectedAnswer: what answers is not a Potstill service.
    Lists are read as they are consumed, newest first.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retries: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(Transport(base_url, api_key, retries=retries, sleep=sleep))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def methods(self) -> Iterator[Method]:
        """All methods that a job can name, as the service orders them."""
        return read_list(self._transport, "v1/methods", Page[Method])

    def create_key(self, name: str, *, role: Literal["admin", "member", "viewer"]) -> ApiKey:
        """Make a key. Its `token` is told now and never again."""
        return post(self._transport, "v1/keys", {"name": name, "role": role}, ApiKey)

    def keys(self) -> Iterator[ApiKey]:
        """All keys of the workspace, without their tokens."""
        return read_list(self._transport, "v1/keys", Page[ApiKey])

    def revoke_key(self, key_id: str) -> None:
        """End a key at once."""
        self._transport.send(Call("DELETE", f"v1/keys/{key_id}"))
