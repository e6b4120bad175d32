"""What a worker loads: only its children load torch."""

import subprocess
import sys


def loaded_by(statement: str) -> set[str]:
    """Modules of a fresh interpreter after `statement`."""
    text = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    return set(ended.stdout.split())


def test_worker_itself_loads_no_torch_and_no_numpy() -> None:
    loaded = loaded_by("import worker.__main__")
    assert "worker.supervisor" in loaded
    assert not {"torch", "torchvision", "numpy", "PIL", "opentelemetry"} & loaded


def test_child_that_trains_loads_no_database_and_no_queue() -> None:
    loaded = loaded_by("import worker.trainer_process")
    assert "torch" in loaded
    assert not {"sqlalchemy", "celery", "kombu", "obstore", "kdstore", "opentelemetry"} & loaded


def test_child_that_reads_loads_no_database_and_no_queue() -> None:
    loaded = loaded_by("import worker.ingest_process")
    assert not {"sqlalchemy", "celery", "kombu", "obstore", "kdstore"} & loaded
