"""`python -m worker`: work until SIGTERM or Ctrl-C, then hand everything back."""

import logging
import os
import signal
import sys
import threading
from types import FrameType

from kdstore.log import configure
from kdstore.settings import Settings
from kdstore.tracing import open_tracing
from worker.log import FIELDS
from worker.metrics import MetricsPortTaken
from worker.service import run_worker
from worker.spare import SpareFailed

_log = logging.getLogger(__name__)


def main() -> int:
    """Run the worker of this installation; 0 if everything ended in order."""
    settings = Settings()
    configure(settings.log_level, FIELDS, log_format=settings.log_format)
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    tracing = open_tracing("potstill-worker", os.environ)
    try:
        return 0 if run_worker(settings, stop, tracing) else 1
    except (SpareFailed, MetricsPortTaken) as error:
        _log.error(str(error))  # the trace would say nothing more
        return 1
    finally:
        tracing.close()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # A thread that still waits for a database that is away must not keep the process.
    os._exit(status)
