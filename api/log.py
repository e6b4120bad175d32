"""The fields that the API's log lines may hold; nothing else gets out."""

FIELDS = (
    "request_id",
    "trace_id",
    "span_id",
    "operation",
    "method",
    "status",
    "code",
    "duration_ms",
    "workspace_id",
    "key_id",
    "job_id",
    "model_id",
    "dataset_id",
    "upload_id",
    "task",
    "subject_id",
    "address",
    "part",
    "cause",
)
