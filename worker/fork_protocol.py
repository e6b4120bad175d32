"""What a worker and its fork server say to one another: a message a packet, with descriptors."""

import socket
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, TypeAdapter

_MAX_PACKET_BYTES = 65_536


class _Packet(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ForkRequest(_Packet):
    """Fork a child. With it come its stdin, its stdout, its pipe for messages, and its line.

    The line is a socket of its own, on which everything is answered that concerns this child.
    When the worker closes its end, it has done with the child's id.
    """

    arguments: tuple[str, ...]


class Forked(_Packet):
    """The child itself says that it runs, in a session of its own."""

    type: Literal["forked"] = "forked"
    pid: int


class Refused(_Packet):
    """The server will not fork: what it would copy is not fit for it."""

    type: Literal["refused"] = "refused"
    reason: str


class Ended(_Packet):
    """The child has ended; its id stays taken until the line is closed."""

    type: Literal["ended"] = "ended"
    status: int
    """As subprocess gives it: -9 for SIGKILL."""


Answer = Annotated[Forked | Refused | Ended, Discriminator("type")]

_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)

NUM_DESCRIPTORS = 4


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Make two connected sockets that keep packets apart and tell when the other end is gone."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_request(control: socket.socket, request: ForkRequest, descriptors: Sequence[int]) -> None:
    """Ask for a child. Raises OSError when the server is gone."""
    socket.send_fds(control, [request.model_dump_json().encode()], list(descriptors))


def receive_request(control: socket.socket) -> tuple[ForkRequest, list[int]] | None:
    """Take the next request with its descriptors; None when the worker has gone."""
    packet, descriptors, _, _ = socket.recv_fds(
        control, _MAX_PACKET_BYTES, NUM_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
    )
    return (ForkRequest.model_validate_json(packet), descriptors) if packet else None


def send_answer(line: socket.socket, answer: Forked | Refused | Ended) -> None:
    """Say something of a child on its line. Raises OSError when the worker has closed it."""
    line.send(answer.model_dump_json().encode())


def receive_answer(line: socket.socket, flags: int = 0) -> Answer | None:
    """Take the next answer; None when the server is gone.

    Raises:
        OSError: there was none in time, or none yet.
    """
    packet = line.recv(_MAX_PACKET_BYTES, flags)
    return _ANSWER.validate_json(packet) if packet else None
