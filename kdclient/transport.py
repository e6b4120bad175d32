"""Requests over httpx: authorised, retried with back-off, problems turned into errors."""

import ipaddress
import itertools
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from kdclient.errors import ConnectionFailed, UnexpectedAnswer
from kdclient.problems import problem_from, retry_after_seconds
from kdclient.retries import RetryPolicy, may_repeat
from kdcore import __version__

ModelT = TypeVar("ModelT", bound=BaseModel)

# Nothing had been sent when these were raised.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})

# Completing an upload hashes all of it before the answer comes.
DEFAULT_TIMEOUT = httpx.Timeout(60.0, connect=5.0, read=300.0)


@dataclass(frozen=True)
class Call:
    """One request. `content` is called anew for each attempt, so that bytes can be streamed.

    `repeatable` says that doing it twice is the same as doing it once; None asks the method.
    """

    method: str
    url: str
    json: Any = None  # any JSON value
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Callable[[], Iterable[bytes]] | None = None
    repeatable: bool | None = None
    timeout: httpx.Timeout | None = None  # None: the transport's own
    follows_redirects: bool = False  # the key stays here: httpx sends it to no other host

    @property
    def is_repeatable(self) -> bool:
        """Whether doing it twice is the same as doing it once."""
        if self.repeatable is not None:
            return self.repeatable
        return self.method in _REPEATABLE_METHODS or "Idempotency-Key" in self.headers


class Transport:
    """One connection pool to one service. Safe to use from several threads."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retries: RetryPolicy | None = None,
        timeout: httpx.Timeout = DEFAULT_TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = httpx.URL(base_url.rstrip("/") + "/")
        self._api_key = api_key
        self._retries = retries or RetryPolicy()
        self._timeout = timeout
        self.sleep = sleep
        self._http = httpx.Client(
            base_url=self.base_url,
            headers={"User-Agent": f"potstill/{__version__}"},
            trust_env=not _is_loopback(self.base_url.host),  # no proxy reaches this machine
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def send(self, call: Call) -> httpx.Response:
        """Send a request, again where that is safe, and return the answer, wholly read.

        Raises:
            ApiProblem: the service refused.
            ConnectionFailed: it could not be reached.
            UnexpectedAnswer: something else answered.
        """
        response = self._answer(call, read_body=True)
        _raise_for_problem(response)
        return response

    def read(self, call: Call, answer: type[ModelT]) -> ModelT:
        """Send a request and read its answer as `answer`. Raises as `send`."""
        return parse(self.send(call), answer)

    @contextmanager
    def open(self, call: Call) -> Generator[httpx.Response, None, None]:
        """Send a request and give the answer before its body is read. Raises as `send`.

        While the body is read, httpx.TransportError may come: the reader knows how to go on.
        """
        response = self._answer(call, read_body=False)
        try:
            _raise_for_problem(response)
            yield response
        finally:
            response.close()

    def _answer(self, call: Call, *, read_body: bool) -> httpx.Response:
        for attempt in itertools.count(1):
            wait = None
            try:
                response = self._http.send(
                    self._build(call),
                    stream=not read_body,
                    follow_redirects=call.follows_redirects,
                )
            except httpx.TransportError as error:
                if call.is_repeatable or isinstance(error, _NOT_SENT):
                    wait = self._retries.wait_seconds(attempt, retry_after_seconds=None)
                if wait is None:
                    raise ConnectionFailed(str(self._url(call)), _reason(error)) from error
            else:
                if may_repeat(response.status_code, repeatable=call.is_repeatable):
                    after = retry_after_seconds(response)
                    wait = self._retries.wait_seconds(attempt, retry_after_seconds=after)
                if wait is None:
                    return response
                response.close()
            self.sleep(wait)
        raise AssertionError("The loop above ends only by returning or raising.")

    def is_elsewhere(self, url: str) -> bool:
        """Tell whether a URL from an answer leads past the service, into object storage."""
        return _origin(self._url(Call("GET", url))) != _origin(self.base_url)

    def pause(self, num_failures: int) -> bool:
        """Wait before going on after a broken line; False when it has failed too often in a row."""
        if num_failures == 0:
            return True
        wait = self._retries.wait_seconds(num_failures, retry_after_seconds=None)
        if wait is None:
            return False
        self.sleep(wait)
        return True

    def _url(self, call: Call) -> httpx.URL:
        """Resolve a URL; routes of the service are asked where the service was reached.

        Answers name routes under the service's public address, which need not be the one that
        works from here. Signed links into object storage have a query, and stay as they are.
        """
        url = self.base_url.join(call.url)
        _, marker, route = url.path.partition("/v1/")
        if _origin(url) != _origin(self.base_url) and marker and not url.query:
            return self.base_url.join(f"v1/{route}")
        return url

    def _build(self, call: Call) -> httpx.Request:
        url = self._url(call)
        headers = dict(call.headers)
        if _origin(url) == _origin(self.base_url):
            # A signed link into object storage carries its own right; the key is not for it.
            headers["Authorization"] = f"Bearer {self._api_key}"
        return self._http.build_request(
            call.method,
            url,
            json=call.json,
            params=call.params or None,
            headers=headers,
            content=call.content() if call.content else None,
            timeout=call.timeout or self._timeout,
        )


def parse(response: httpx.Response, answer: type[ModelT]) -> ModelT:
    """Read the body of a successful answer. Raises UnexpectedAnswer."""
    try:
        # Fields may be added to any answer; a client must not break on them.
        return answer.model_validate_json(response.content, extra="ignore")
    except ValidationError as error:
        place = "/".join(str(part) for part in error.errors()[0]["loc"]) or "the body"
        raise UnexpectedAnswer(
            str(response.url),
            response.status_code,
            f"{place} is not what a {answer.__name__} has",
        ) from None


def _raise_for_problem(response: httpx.Response) -> None:
    if response.status_code < 300 or response.status_code == 304:  # 304: as it was last read
        return
    try:
        response.read()
    except httpx.TransportError as error:
        raise ConnectionFailed(str(response.url), _reason(error)) from error
    raise problem_from(response)


def _reason(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
