"""The fields that the worker's log lines may hold; nothing else gets out."""

FIELDS = (
    "request_id",
    "trace_id",
    "span_id",
    "worker",
    "device",
    "job_id",
    "attempt",
    "subject_id",
    "task",
    "status",
    "cause",
    "pid",
    "detail",
    "address",
)
