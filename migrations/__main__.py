"""`python -m migrations` brings the database up to date; `check` compares it with the tables."""

import argparse
import sys

from kdstore.db import make_engine
from kdstore.settings import Settings
from migrations.commands import TablesInUse, create_revision, downgrade, find_drift, upgrade
from migrations.losses import DataWouldBeLost
from migrations.strangers import UnknownRevision

_LEFT = (
    "The database is at revision {}, of a newer release; this release works on it as it is, and "
    "nothing has been changed. To go on, start the newer release again; to undo its migrations, "
    'see "Rolling back" in docs/deployment.md.'
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command against the database of `POTSTILL_DATABASE_URL`; 0 if all is well."""
    parser = argparse.ArgumentParser(prog="python -m migrations", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("upgrade", help="run all migrations that are missing (the default)")
    down = commands.add_parser("downgrade", help="undo migrations down to a revision")
    down.add_argument("revision", help="a revision, -1 for the last one, or base for all")
    down.add_argument("--lose-data", action="store_true", help="also where that deletes rows")
    commands.add_parser("check", help="fail if the tables differ from the migrated database")
    new = commands.add_parser("new", help="write a migration from what differs")
    new.add_argument("slug", help="a few words that name it, such as add_webhooks")
    options = parser.parse_args(arguments)

    engine = make_engine(Settings().database)
    try:
        match options.command:
            case "downgrade":
                downgrade(engine, revision=options.revision, may_lose_data=options.lose_data)
            case "check":
                return _report(find_drift(engine))
            case "new":
                print(create_revision(engine, slug=options.slug))  # noqa: T201  # a command line
            case _:
                left_at = upgrade(engine)
                if left_at is not None:
                    print(_LEFT.format(left_at))  # noqa: T201  # a command line
    except (TablesInUse, DataWouldBeLost, UnknownRevision) as error:
        return _report([str(error)])
    finally:
        engine.dispose()
    return 0


def _report(drift: list[str]) -> int:
    for line in drift:
        print(line, file=sys.stderr)  # noqa: T201  # a command line
    return 1 if drift else 0


if __name__ == "__main__":
    sys.exit(main())
