"""`python -m worker.health`: whether this machine's worker has shown itself lately.

For the health check of a container: its host name is in the name of the worker that it runs.
"""

import socket
import sys

from sqlalchemy.exc import SQLAlchemyError

from kdstore import workers
from kdstore.db import make_engine, make_session_factory, reading
from kdstore.settings import Settings


def main() -> int:
    """Give 0 if a worker of this host was seen within its lease, else 1 with the reason."""
    settings = Settings()
    engine = make_engine(settings.database, pool_size=1)
    try:
        with reading(make_session_factory(engine)) as session:
            seen = workers.read_all(session, within_seconds=settings.lease_seconds)
    except SQLAlchemyError as error:
        return _unhealthy(f"The database does not answer: {type(error).__name__}.")
    finally:
        engine.dispose()
    if any(worker.name.startswith(f"{socket.gethostname()}-") for worker in seen):
        return 0
    return _unhealthy(f"No worker of {socket.gethostname()} was seen lately; its log says why.")


def _unhealthy(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
