"""Run a program that dies with its parent: `python tether.py <parent pid> <program> <args…>`.

Run as a file and not as a module, with nothing but the standard library, so that it costs a few
milliseconds; it then becomes the program. On Linux the kernel kills the program when the parent
is gone, even if that was killed with -9. Elsewhere the program simply runs.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, then become the program. Does not return."""
    parent_pid, *command = arguments
    if sys.platform == "linux":
        # Survives execv. Killed and not asked: nobody is left to wait for a graceful end.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent_pid):  # the parent died before the line above
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
