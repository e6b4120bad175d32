"""Migrations run up, down and up again on both databases, and make what the tables say."""

import ast
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, select, text

from deploy.servers import PostgresServer
from kdcore.spec import Mlp, Resources, TrainJob
from kdstore import jobs, workspaces
from kdstore.db import make_engine, make_session_factory, transaction
from kdstore.objects import ObjectStore
from kdstore.tables import Base, Checkpoint, Job
from migrations import (
    DataWouldBeLost,
    UnknownRevision,
    current_revision,
    downgrade,
    find_drift,
    head_revision,
    upgrade,
)
from migrations.__main__ import main
from migrations.commands import VERSIONS, create_revision
from tests.kdstore.holdings import Holdings

FIRST_REVISION = "6d0c1f7a92be"
ADDED_SINCE = {
    "wanted_device", "num_processes", "memory_bytes", "max_processes", "served_at",
    "reading_number", "claimable_at",
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database that no migration has seen."""
    if request.param == "sqlite":
        engine = make_engine(f"sqlite:///{tmp_path}/empty.sqlite3")
    else:
        engine = make_engine(_new_postgres_database(request.getfixturevalue("postgres_server").url))
    yield engine
    engine.dispose()


def _new_postgres_database(server_url: str) -> str:
    admin = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS potstill_empty"))
        connection.execute(text("CREATE DATABASE potstill_empty"))
    admin.dispose()
    return server_url.removesuffix("/potstill") + "/potstill_empty"


def _tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_migrations_run_up_down_and_up_again(empty_engine: Engine) -> None:
    upgrade(empty_engine)
    assert _tables(empty_engine) == set(Base.metadata.tables)
    downgrade(empty_engine, revision="base")
    assert _tables(empty_engine) == set()
    upgrade(empty_engine)
    assert _tables(empty_engine) == set(Base.metadata.tables)


def test_rows_survive_a_release_that_is_undone_and_done_again(
    empty_engine: Engine, tmp_path: Path
) -> None:
    upgrade(empty_engine)
    objects = ObjectStore.from_url(f"file://{tmp_path}/objects")
    holdings = Holdings(make_session_factory(empty_engine), objects)
    upload_id, _ = holdings.stored_upload()
    holdings.model(upload_id)
    holdings.succeed(holdings.running_job())
    kept = set(Base.metadata.tables) - {"condemned_objects", "duties"}
    before = _first_columns(empty_engine, kept)
    downgrade(empty_engine, revision=FIRST_REVISION)
    assert _first_columns(empty_engine, kept) == before
    upgrade(empty_engine)
    assert _first_columns(empty_engine, kept) == before
    assert find_drift(empty_engine) == []


def test_what_jobs_need_of_a_worker_survives_a_release_that_is_undone_and_done_again(
    empty_engine: Engine,
) -> None:
    upgrade(empty_engine)
    session_factory = make_session_factory(empty_engine)
    needs = [
        Resources(),
        Resources(device="gpu", num_processes=4, memory_bytes=3 * 2**33),
        Resources(device="cpu"),
        Resources(memory_bytes=2**30),
    ]
    with transaction(session_factory) as session:
        workspace = workspaces.ensure(session, name="ours")
        for resources in needs:
            spec = TrainJob(dataset="digits", network=Mlp(hidden=(8,)), resources=resources)
            jobs.create(session, workspace_id=workspace.id, spec=spec)
    before = _needs(empty_engine)
    assert len(set(before)) == len(needs)
    downgrade(empty_engine, revision=FIRST_REVISION)
    upgrade(empty_engine)
    assert _needs(empty_engine) == before


def test_checkpoints_that_succeeded_jobs_have_left_are_forgotten(
    empty_engine: Engine, tmp_path: Path
) -> None:
    upgrade(empty_engine)
    objects = ObjectStore.from_url(f"file://{tmp_path}/objects")
    session_factory = make_session_factory(empty_engine)
    holdings = Holdings(session_factory, objects)
    succeeded, running = holdings.running_job(), holdings.running_job()
    holdings.checkpoint(succeeded)
    kept = holdings.checkpoint(running)
    downgrade(empty_engine, revision=FIRST_REVISION)
    with empty_engine.begin() as connection:
        statement = text("UPDATE jobs SET status = 'succeeded' WHERE id = :id")
        connection.execute(statement, {"id": succeeded.job_id})
    upgrade(empty_engine)
    with transaction(session_factory) as session:
        assert session.scalars(select(Checkpoint.object_key)).all() == [kept]


def _needs(engine: Engine) -> list[tuple[object, ...]]:
    columns = (Job.id, Job.wanted_device, Job.num_processes, Job.memory_bytes)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(Job.id))]


def test_downgrade_that_would_lose_everything_is_refused_and_changes_nothing(
    empty_engine: Engine,
) -> None:
    upgrade(empty_engine)
    with transaction(make_session_factory(empty_engine)) as session:
        workspaces.ensure(session, name="ours")
    with pytest.raises(DataWouldBeLost, match=r"1 workspace.* jobs and keys; .* --lose-data"):
        downgrade(empty_engine, revision="base")
    # Nor are the migrations undone that come after it and lose nothing.
    assert current_revision(empty_engine) == head_revision()
    assert _tables(empty_engine) == set(Base.metadata.tables)
    assert find_drift(empty_engine) == []
    downgrade(empty_engine, revision="base", may_lose_data=True)
    assert _tables(empty_engine) == set()


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_every_migration_says_what_undoing_it_loses(path: Path) -> None:
    said = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    page = (VERSIONS.parents[1] / "docs" / "deployment.md").read_text(encoding="utf-8")
    (lost,) = re.findall(rf"^\| `{path.stem}` \| (nothing|.*refused)", page, re.MULTILINE)
    assert f"Undoing it loses {'nothing' if lost == 'nothing' else ''}" in said
    assert ("refuse_loss(" in path.read_text()) == (lost != "nothing")


def _first_columns(engine: Engine, tables: set[str]) -> dict[str, list[str]]:
    """The rows of each table by the columns that the first release had."""
    found = {}
    for name in tables:
        table = Base.metadata.tables[name]
        columns = [column for column in table.columns if column.name not in ADDED_SINCE]
        with engine.connect() as connection:
            found[name] = sorted(str(tuple(row)) for row in connection.execute(select(*columns)))
    return found


def test_migrated_database_has_no_drift_from_the_tables(empty_engine: Engine) -> None:
    upgrade(empty_engine)
    assert find_drift(empty_engine) == []


def test_drift_is_found_when_the_database_differs(empty_engine: Engine) -> None:
    upgrade(empty_engine)
    with empty_engine.begin() as connection:
        connection.execute(text("ALTER TABLE workers ADD COLUMN shoe_size INTEGER"))
    (difference,) = find_drift(empty_engine)
    assert "shoe_size" in difference


def test_migrations_and_tables_write_the_same_sqlite_schema(tmp_path: Path) -> None:
    """Alembic compares no CHECK constraint and no table option; this compares every word."""
    schemas = []
    for name, build in (("migrated", upgrade), ("declared", Base.metadata.create_all)):
        engine = make_engine(f"sqlite:///{tmp_path}/{name}.sqlite3")
        build(engine)
        with engine.connect() as connection:
            rows = connection.execute(
                text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'")
            )
            schemas.append({name: _clauses(sql) for name, sql in rows if sql is not None})
        engine.dispose()
    assert schemas[0] == schemas[1]


def _clauses(sql: str) -> list[str]:
    """Split a CREATE statement into its columns and constraints; their order means nothing."""
    clauses, depth = [""], 0
    for letter in sql.strip().removesuffix(")"):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter in ",(" and depth == 1:
            clauses.append("")
        else:
            clauses[-1] += letter
    return sorted(" ".join(clause.split()) for clause in clauses)


def test_migrating_twice_at_once_migrates_once(empty_engine: Engine) -> None:
    errors: list[Exception] = []

    def migrate() -> None:
        try:
            upgrade(empty_engine)
        except Exception as error:  # noqa: BLE001  # a thread's error must reach the test
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert _tables(empty_engine) == set(Base.metadata.tables)


def _made_newer(engine: Engine, *changes: str) -> None:
    """Migrate as a release would that this one does not know."""
    with engine.begin() as connection:
        for change in changes:
            connection.execute(text(change))
        connection.execute(text("UPDATE alembic_version SET version_num = 'f00dfeedcafe'"))


ADDITIONS = (
    "CREATE TABLE webhooks (id INTEGER PRIMARY KEY)",
    "ALTER TABLE jobs ADD COLUMN colour VARCHAR(8)",
    "ALTER TABLE jobs ADD COLUMN weight INTEGER DEFAULT 1 NOT NULL",
)


def test_code_that_is_rolled_back_alone_works_on_what_the_newer_release_has_added_to(
    empty_engine: Engine, tmp_path: Path
) -> None:
    assert upgrade(empty_engine) is None
    _made_newer(empty_engine, *ADDITIONS)
    assert upgrade(empty_engine) == current_revision(empty_engine) == "f00dfeedcafe"
    assert "webhooks" in _tables(empty_engine)
    objects = ObjectStore.from_url(f"file://{tmp_path}/objects")
    holdings = Holdings(make_session_factory(empty_engine), objects)
    assert holdings.succeed(holdings.running_job())


def test_database_that_a_newer_release_has_taken_from_is_refused_and_left_as_it_is(
    empty_engine: Engine,
) -> None:
    upgrade(empty_engine)
    _made_newer(
        empty_engine,
        "DROP TABLE duties",
        "ALTER TABLE workers DROP COLUMN memory_bytes",
        "CREATE TABLE duties_by_zone (id INTEGER PRIMARY KEY)",
        "ALTER TABLE upload_parts ADD COLUMN zone INTEGER NOT NULL"
        + (" DEFAULT 0" if empty_engine.dialect.name == "sqlite" else ""),
    )
    with pytest.raises(UnknownRevision, match="Rolling back") as caught:
        upgrade(empty_engine)
    assert {"table duties is missing", "workers.memory_bytes is missing"} <= {*caught.value.unmet}
    # SQLite adds no column without a default.
    is_filled = empty_engine.dialect.name == "sqlite"
    must_fill = "upload_parts.zone is new and must be filled"
    assert (must_fill in caught.value.unmet) == (not is_filled)
    assert current_revision(empty_engine) == caught.value.revision == "f00dfeedcafe"


def test_only_the_newer_release_undoes_its_migrations(empty_engine: Engine) -> None:
    upgrade(empty_engine)
    _made_newer(empty_engine, *ADDITIONS)
    with pytest.raises(UnknownRevision, match="f00dfeedcafe"):
        downgrade(empty_engine, revision="-1")
    assert {*Base.metadata.tables, "webhooks"} == _tables(empty_engine)


def test_failed_migration_leaves_nothing_behind(empty_engine: Engine) -> None:
    with empty_engine.begin() as connection:
        connection.execute(text("CREATE TABLE upload_parts (in_the_way INTEGER)"))
    with pytest.raises(Exception, match="upload_parts"):
        upgrade(empty_engine)
    assert _tables(empty_engine) == {"upload_parts"}


def test_new_migration_is_written_from_what_differs(empty_engine: Engine, tmp_path: Path) -> None:
    upgrade(empty_engine)
    with empty_engine.begin() as connection:
        connection.execute(text("ALTER TABLE workers DROP COLUMN last_seen_at"))
    path = create_revision(empty_engine, slug="see_workers", folder=tmp_path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-see_workers\.py", path.name)
    source = path.read_text()
    assert "op.add_column('workers', sa.Column('last_seen_at', sa.DateTime(timezone=True)" in source
    assert "op.drop_column('workers', 'last_seen_at')" in source
    assert "kdstore" not in source  # a migration must not change when our code does


class TestCommandLine:
    def test_without_a_command_upgrades_the_configured_database(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("POTSTILL_DATA_DIR", str(tmp_path / "data"))
        assert main([]) == 0
        engine = make_engine(f"sqlite:///{tmp_path}/data/potstill.sqlite3")
        assert _tables(engine) == set(Base.metadata.tables)
        engine.dispose()

    def test_check_fails_before_and_succeeds_after_the_upgrade(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("POTSTILL_DATA_DIR", str(tmp_path))
        assert main(["check"]) == 1
        assert "jobs" in capsys.readouterr().err
        assert main(["upgrade"]) == 0
        assert main(["check"]) == 0
        assert main(["downgrade", "base"]) == 0
        assert main(["check"]) == 1

    def test_refused_downgrade_says_what_would_go_and_how_to_let_it_go(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("POTSTILL_DATA_DIR", str(tmp_path))
        assert main([]) == 0
        engine = make_engine(f"sqlite:///{tmp_path}/potstill.sqlite3")
        with transaction(make_session_factory(engine)) as session:
            workspaces.ensure(session, name="ours")
        assert main(["downgrade", "base"]) == 1
        said = capsys.readouterr().err
        assert "nothing has been changed" in said
        assert "Traceback" not in said
        assert main(["check"]) == 0
        assert main(["downgrade", "base", "--lose-data"]) == 0
        assert _tables(engine) == set()
        engine.dispose()

    def test_migrate_of_rolled_back_code_succeeds_and_says_how_to_go_on(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("POTSTILL_DATA_DIR", str(tmp_path))
        assert main([]) == 0
        assert capsys.readouterr().out == ""
        engine = make_engine(f"sqlite:///{tmp_path}/potstill.sqlite3")
        _made_newer(engine, *ADDITIONS)
        assert main([]) == 0
        assert "f00dfeedcafe, of a newer release" in capsys.readouterr().out
        _made_newer(engine, "DROP TABLE duties")
        assert main([]) == 1
        assert main(["downgrade", "base"]) == 1
        said = capsys.readouterr().err
        assert "table duties is missing" in said
        assert "Traceback" not in said
        engine.dispose()

    def test_table_in_use_ends_a_migration_soon_and_leaves_nothing(
        self,
        monkeypatch: pytest.MonkeyPatch,
        postgres_server: PostgresServer,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        url = _new_postgres_database(postgres_server.url)
        engine = make_engine(url)
        upgrade(engine, revision=FIRST_REVISION)
        monkeypatch.setenv("POTSTILL_DATABASE_URL", url)
        with engine.begin() as somebody:
            # Columns of workers come after those of jobs: what was done before is undone, too.
            somebody.execute(text("LOCK TABLE workers IN ACCESS SHARE MODE"))
            assert main(["upgrade"]) == 1
        assert "nothing has been changed" in capsys.readouterr().err
        assert current_revision(engine) == FIRST_REVISION
        columns = {column["name"] for column in inspect(engine).get_columns("jobs")}
        assert columns.isdisjoint(ADDED_SINCE)
        assert main(["upgrade"]) == 0
        engine.dispose()
