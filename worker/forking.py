"""The worker's end of its fork server: started clean, asked for children, ended with the worker."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from worker.fork_protocol import (
    Answer,
    Forked,
    ForkRequest,
    Refused,
    receive_answer,
    send_request,
    socket_pair,
)
from worker.output import log_output
from worker.processes import ForkedProcess

_log = logging.getLogger(__name__)

_LOADING_SECONDS = 120.0
_FORKING_SECONDS = 60.0


class ForkServerLost(Exception):
    """The server has ended, or does not answer: it is of no more use, another may be."""


class ForkRefused(Exception):
    """The server must not be forked, and another would be no better."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"The fork server does not fork: {reason}.")


class ForkServer:
    """A process that has loaded torch and forks children that train.

    Make it in a thread that lives as long as the worker: the kernel ends it with that thread.
    """

    def __init__(self, *, environment: Mapping[str, str], folder: Path) -> None:
        self._control, theirs = socket_pair()
        with theirs:
            self._process = subprocess.Popen(
                # -P: nothing in the working folder can be imported.
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "worker.fork_server",
                    f"--control-fd={theirs.fileno()}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        self._output = threading.Thread(target=self._read_output, daemon=True)
        self._output.start()
        self._patience_seconds = _LOADING_SECONDS

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def fork(self, arguments: Sequence[str]) -> tuple[ForkedProcess, int]:
        """Fork a child; give its process, and where its messages can be read.

        Waits for the server to have loaded torch.

        Raises:
            ForkServerLost: it is gone, or does not answer.
            ForkRefused: it may not be forked.
        """
        with ExitStack() as ours:
            line, their_line = (ours.enter_context(each) for each in socket_pair())
            with ExitStack() as theirs:
                theirs.enter_context(their_line)
                their_stdin, stdin = _pipe(read_by=theirs, written_by=ours)
                stdout, their_stdout = _pipe(read_by=ours, written_by=theirs)
                events, their_events = _pipe(read_by=ours, written_by=theirs)
                line.settimeout(self._patience_seconds)
                try:
                    send_request(
                        self._control,
                        ForkRequest(arguments=tuple(arguments)),
                        (their_stdin, their_stdout, their_events, their_line.fileno()),
                    )
                    theirs.close()
                    answer = receive_answer(line)
                except OSError as error:
                    raise ForkServerLost from error
            pid = _pid_of(answer)
            self._patience_seconds = _FORKING_SECONDS
            line.settimeout(None)
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError as error:  # not even collected by the server: both are gone
                raise ForkServerLost from error
            process = ForkedProcess(
                pid,
                handle=handle,
                line=line,
                stdin=os.fdopen(stdin, "wb"),
                stdout=os.fdopen(stdout, "rb"),
            )
            ours.pop_all()
            return process, events

    def close(self) -> None:
        """End the server, and with it every child that is left."""
        self._process.kill()
        self._process.wait()
        self._control.close()
        self._output.join()

    def _read_output(self) -> None:
        if self._process.stdout is None:
            raise AssertionError("the server is started with a pipe as stdout")
        log_output(self._process.stdout, lambda: {"pid": self.pid})


def _pid_of(answer: Answer | None) -> int:
    match answer:
        case Forked():
            return answer.pid
        case Refused():
            raise ForkRefused(answer.reason)
        case _:
            raise ForkServerLost


def _pipe(*, read_by: ExitStack, written_by: ExitStack) -> tuple[int, int]:
    """Make a pipe whose ends are closed with these stacks."""
    reading, writing = os.pipe()
    read_by.callback(os.close, reading)
    written_by.callback(os.close, writing)
    return reading, writing
