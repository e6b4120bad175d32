"""Jobs, events and streams as the service sends them."""

import json
from typing import Any

from tests.kdclient.scripted_server import Reply

Json = dict[str, Any]  # documents of any shape, hence Any

JOB_URL = "/v1/jobs/job_1"
EVENTS_URL = f"{JOB_URL}/events"


def job_document(status: str = "running", **fields: Any) -> Json:
    return {
        "id": "job_1",
        "kind": "train",
        "name": "a job",
        "status": status,
        "stage": "training" if status == "running" else None,
        "progress": None,
        "spec": {},
        "created_at": "2026-07-01T12:00:00Z",
        "a_field_of_a_newer_service": 1,
        **fields,
    }


def progress_document(fraction: float) -> Json:
    return {
        "fraction": fraction,
        "run": "network",
        "epoch": 1,
        "num_epochs": 2,
        "images_per_second": 1000.0,
        "eta_seconds": 65.0,
        "loss": 0.5,
        "accuracy": None,
    }


def status_event(number: int, to_status: str) -> Json:
    data = {"from_status": "running", "to_status": to_status}
    return {
        "number": number,
        "type": "status_changed",
        "data": data,
        "created_at": "2026-07-01T12:00:00Z",
    }


def stage_event(number: int, stage: str) -> Json:
    return {
        "number": number,
        "type": "stage_entered",
        "data": {"attempt": 1, "stage": stage},
        "created_at": "2026-07-01T12:00:00Z",
    }


def stream_reply(*documents: Json, is_cut: bool = False) -> Reply:
    """A live stream of events, and of progress, which has no number."""
    text = ": hello\n\n"
    for document in documents:
        if "number" in document:
            text += f"id: {document['number']}\nevent: {document['type']}\n"
        else:
            text += "event: progress\n"
        text += f"data: {json.dumps(document)}\n\n"
    body = text.encode()
    cut_after = len(body) if is_cut else None
    padding = b"data: never sent" if is_cut else b""
    return Reply(
        body=body + padding, headers={"Content-Type": "text/event-stream"}, cut_after=cut_after
    )
