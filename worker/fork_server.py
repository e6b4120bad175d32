"""The fork server: `python -m worker.fork_server` loads torch once and forks children that train.

What is forked must be one thread that has opened no device: locks that another thread held would
stay locked in the child for ever, and CUDA does not survive a fork. So the server imports and
waits, nothing more; whatever computes comes after the fork.
"""

import argparse
import contextlib
import gc
import importlib
import os
import selectors
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from worker.child_link import end_with_parent
from worker.fork_protocol import (
    Ended,
    Forked,
    ForkRequest,
    Refused,
    receive_request,
    send_answer,
)

_TRAINER = "worker.trainer_process"
# What nearly every job loads late; torch its compiler's front for the first optimizer. To take a
# step here instead could open the GPU. Not onnxruntime: it starts a thread when it is imported.
_LOADED_LATE = ("torch._dynamo", "onnx", "onnxscript")

DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri")


def main() -> None:
    """Load everything, then fork a child for every request, until the worker is gone."""
    parser = argparse.ArgumentParser(prog="python -m worker.fork_server")
    parser.add_argument("--control-fd", type=int, required=True)
    arguments = parser.parse_args()
    end_with_parent()
    os.set_inheritable(arguments.control_fd, False)  # so named by os
    trainer = importlib.import_module(_TRAINER)
    for module in _LOADED_LATE:
        importlib.import_module(module)
    # What is here now stays for good: children need not look through it, which would copy it.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=arguments.control_fd) as control:
        _Server(control, trainer.main).serve()


class _Forked:
    """A child of the server, from fork to the moment when the worker lets go of its id."""

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self.line = line
        self.handle = os.pidfd_open(pid)

    def close(self) -> None:
        self.line.close()
        os.close(self.handle)


class _Server:
    def __init__(self, control: socket.socket, run: Callable[[Sequence[str]], None]) -> None:
        self._control = control
        self._run = run
        self._pid = os.getpid()
        self._children: dict[int, _Forked] = {}
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Answer requests until the worker closes its end; what still runs ends with this."""
        self._selector.register(self._control, selectors.EVENT_READ, self._answer)
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _answer(self) -> None:
        received = receive_request(self._control)
        if received is None:
            os._exit(0)
        request, (stdin, stdout, events, line_fd) = received
        line = socket.socket(fileno=line_fd)
        reason = obstacle()
        if reason is not None:
            with line, contextlib.suppress(OSError):
                send_answer(line, Refused(reason=reason))
        else:
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                self._become_child(request, (stdin, stdout, events), line)
            self._watch(_Forked(pid, line))
        for descriptor in (stdin, stdout, events):
            os.close(descriptor)

    def _watch(self, child: _Forked) -> None:
        def tell_end() -> None:
            self._selector.unregister(child.handle)
            # The worker may be gone already; then this process is about to end as well.
            with contextlib.suppress(OSError):
                send_answer(child.line, Ended(status=_status_of(child.pid)))
            self._selector.register(child.line, selectors.EVENT_READ, collect)

        def collect() -> None:
            # Only now can the id become another process's: the worker signals it no more.
            self._selector.unregister(child.line)
            os.waitpid(child.pid, 0)
            del self._children[child.pid]
            child.close()

        self._children[child.pid] = child
        self._selector.register(child.handle, selectors.EVENT_READ, tell_end)

    def _become_child(
        self, request: ForkRequest, pipes: tuple[int, int, int], line: socket.socket
    ) -> NoReturn:
        """Be the process that `python -m worker.trainer_process` would be, and end as it would."""
        status = 1
        try:
            end_with_parent(self._pid)
            os.setsid()
            with line:
                self._let_go()
                events = _take_pipes(*pipes)
                send_answer(line, Forked(pid=os.getpid()))
            _reseed()
            self._run(["--events-fd", str(events), *request.arguments])
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        except BaseException:  # noqa: BLE001  # the boundary of the process
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _let_go(self) -> None:
        """Close what is the server's: the worker must see it end, whoever of its children lives."""
        self._selector.close()
        self._control.close()
        for child in self._children.values():
            child.close()


def _take_pipes(stdin: int, stdout: int, events: int) -> int:
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.dup2(stdout, 2)
    os.close(stdin)
    os.close(stdout)
    return events


def _reseed() -> None:
    """Let global generators differ from other children's; `random` does so itself.

    No result depends on them: training derives its randomness from counters.
    """
    seed = int.from_bytes(os.urandom(4))
    importlib.import_module("numpy").random.seed(seed)
    importlib.import_module("torch").default_generator.manual_seed(seed)


def _status_of(pid: int) -> int:
    """Give the status of a process that has ended, and leave it to be collected."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if ended is None:
        raise AssertionError("the process has ended")
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def obstacle(devices: tuple[str, ...] = DEVICES) -> str | None:
    """Say why this process must not be forked; None if it may be.

    It must be one thread, and have nothing open whose path begins like one of `devices`.
    """
    num_threads = len(list(Path("/proc/self/task").iterdir()))
    if num_threads != 1:
        return f"the server has {num_threads} threads, and may have one"
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the folder itself, listed and closed
            opened = str(descriptor.readlink())
            if opened.startswith(devices):
                return f"the server has opened {opened}"
    return None


if __name__ == "__main__":
    main()
