"""`python -m api.first_key`: make the first admin key of a new installation, and print it once."""

import argparse
import json
import sys

from sqlalchemy import func, select

from kdstore import keys, workspaces
from kdstore.db import make_engine, make_session_factory, transaction
from kdstore.settings import Settings
from kdstore.tables import ApiKey

WORKSPACE = "default"


def main(arguments: list[str] | None = None) -> int:
    """Print the key as one JSON object; without `--new`, only if there is none yet.

    Returns:
        0, or 1 with a message on standard error if there is a key already.
    """
    parser = argparse.ArgumentParser(prog="python -m api.first_key", description=__doc__)
    parser.add_argument("--new", action="store_true", help="make one even if there are others")
    given = parser.parse_args(arguments)
    engine = make_engine(Settings().database)
    try:
        with transaction(make_session_factory(engine)) as session:
            workspace = workspaces.ensure(session, name=WORKSPACE)
            valid = select(func.count()).where(
                ApiKey.workspace_id == workspace.id, ApiKey.revoked_at.is_(None)
            )
            if session.execute(valid).scalar_one() and not given.new:
                sys.stderr.write(
                    "There is a key already, and only its hash is kept. "
                    "Use it, or make another with --new.\n"
                )
                return 1
            new = keys.create(session, workspace_id=workspace.id, name="first key", role="admin")
    finally:
        engine.dispose()
    sys.stdout.write(
        json.dumps(
            {
                "token": new.token,
                "key_id": new.key.id,
                "workspace_id": workspace.id,
                "role": "admin",
            }
        )
        + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
