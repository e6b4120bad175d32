"""Of all workers one does a round when it is due; by hand one is done at once, or only told."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.upload_bytes import blob_key
from tests.worker.jobs_on_digits import wait_until
from worker.retention import collect_if_due, main, run_retention
from worker.runtime import Runtime

ORPHAN = blob_key("e" * 64)


def test_one_worker_does_the_round_that_is_due(
    make_runtime: Callable[..., Runtime], object_store: ObjectStore
) -> None:
    object_store.put_bytes(ORPHAN, b"nobody's")
    first, second = (make_runtime(orphan_grace_seconds=0) for _ in range(2))
    collected = collect_if_due(first)
    assert collected is not None
    assert collected.deleted == (ORPHAN,)
    assert collect_if_due(second) is None


def test_worker_looks_now_and_then_until_it_stops(
    make_runtime: Callable[..., Runtime], object_store: ObjectStore
) -> None:
    object_store.put_bytes(ORPHAN, b"nobody's")
    runtime = make_runtime(orphan_grace_seconds=0, collect_every_seconds=1)
    thread = threading.Thread(target=run_retention, args=(runtime,))
    thread.start()
    wait_until(lambda: not object_store.exists(ORPHAN))
    runtime.stopping.set()
    thread.join()


class TestByHand:
    @pytest.fixture(autouse=True)
    def _environment(
        self, monkeypatch: pytest.MonkeyPatch, settings: Settings, database_url: str
    ) -> None:
        monkeypatch.setenv("POTSTILL_DATA_DIR", str(settings.data_dir))
        monkeypatch.setenv("POTSTILL_DATABASE_URL", database_url)
        monkeypatch.setenv("POTSTILL_ORPHAN_GRACE_SECONDS", "0")

    def test_dry_run_prints_a_line_for_each_thing_and_leaves_it(
        self, object_store: ObjectStore, capsys: pytest.CaptureFixture[str]
    ) -> None:
        object_store.put_bytes(ORPHAN, b"nobody's")
        assert main(["--dry-run"]) == 0
        assert capsys.readouterr().out == f"object condemned\t{ORPHAN}\n"
        assert object_store.exists(ORPHAN)

    def test_round_by_hand_deletes(
        self, object_store: ObjectStore, capsys: pytest.CaptureFixture[str]
    ) -> None:
        object_store.put_bytes(ORPHAN, b"nobody's")
        assert main([]) == 0
        assert f"object deleted\t{ORPHAN}\n" in capsys.readouterr().out
        assert not object_store.exists(ORPHAN)

    def test_database_that_is_not_there_is_told(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("POTSTILL_DATABASE_URL", f"sqlite:///{tmp_path}/empty.sqlite3")
        assert main(["--dry-run"]) == 1
        assert "ended early" in capsys.readouterr().err
