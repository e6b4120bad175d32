"""Ports that stay a server's own while it is down."""

import os
import random
import socket

# Below the ports that systems give to outgoing connections (32768 on Linux): a client that tries
# again and again to reach a server that is down must not end up talking to itself.
_RANGE = range(20_000, 32_000)
_HOST = "127.0.0.1"


class NoFreePort(Exception):
    """Every port that was tried is taken."""


class ReservedPort:
    """A TCP port of 127.0.0.1 that nobody listens at, and no other `ReservedPort` has.

    The UDP port of the same number is held as the token of that, until `close` or the end of this
    process.
    """

    def __init__(self) -> None:
        for number in random.sample(_RANGE, 200):
            token = _take(number)
            if token is not None:
                self.number = number
                self._token = token
                return
        raise NoFreePort(f"200 ports between {_RANGE.start} and {_RANGE.stop} are all taken.")

    def close(self) -> None:
        """Let others have the port."""
        if self._token >= 0:
            os.close(self._token)
            self._token = -1


def accepts(port: int) -> bool:
    """Tell whether something listens at a port of 127.0.0.1."""
    try:
        with socket.create_connection((_HOST, port), timeout=1.0):
            return True
    except OSError:
        return False


def _take(number: int) -> int | None:
    """Bind the UDP port of this number, if it and the TCP port are free; a file descriptor."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as token,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe,
    ):
        try:
            token.bind((_HOST, number))
            probe.bind((_HOST, number))
        except OSError:
            return None
        return token.detach()
