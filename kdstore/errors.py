"""Every error kdstore raises on purpose: facts with fields, and a message that says what to do.

KdstoreError
├── NotFound                     nothing with this id in this workspace
│   ├── JobNotFound
│   ├── ReportNotFound           the job exists, but has no report yet
│   ├── ArtifactNotFound
│   ├── ModelNotFound
│   ├── DatasetNotFound
│   ├── UploadNotFound
│   └── KeyNotFound
├── Refused                      the request does not fit the state: the caller can act on it
│   ├── InvalidTransition        a job cannot go from this status to that one
│   ├── CursorInvalid            a page cursor that we did not make
│   ├── KeyInvalid               an API key that is unknown, wrong or revoked
│   ├── IdempotencyConflict      an Idempotency-Key used before with another request
│   ├── UploadClosed             the upload is stored, abandoned or expired
│   ├── UploadNotStored          the upload is not complete yet, or serves another purpose
│   ├── UploadIncomplete         parts are missing
│   ├── UploadTooLarge           more bytes than this installation takes
│   ├── PartNumberInvalid        an upload has no such part
│   ├── PartSizeMismatch         a part has more or fewer bytes than it must have
│   └── DigestMismatch           the bytes that arrived are not those that were announced
├── AttemptLost                  an attempt that no longer owns its job tried to write
├── ValidationLost               the same, for the validation of a model or dataset
├── StorageError                 object storage did not do what it was asked
│   ├── ObjectNotFound
│   ├── ObjectCondemned          it was swept meanwhile: store it again, under its next key
│   └── StorageUnavailable       it may work later
└── QueueUnavailable             the broker did not take a message; the sweeper sends it again
"""

from collections.abc import Sequence


class KdstoreError(Exception):
    """Base of every error in this tree; `code` is stable and safe to show."""

    code: str = "kdstore_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(KdstoreError):
    """Nothing with this id is visible in this workspace."""

    code = "not_found"
    noun = "thing"

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        super().__init__(f"There is no {self.noun} {wanted!r} in this workspace.")


class JobNotFound(NotFound):
    """No such job."""

    code = "job_not_found"
    noun = "job"


class ReportNotFound(NotFound):
    """The job has no report: it has not succeeded (yet)."""

    code = "report_not_found"
    noun = "report of job"


class ArtifactNotFound(NotFound):
    """The job has no artifact of this name (yet)."""

    code = "artifact_not_found"
    noun = "artifact"


class ModelNotFound(NotFound):
    """No such model."""

    code = "model_not_found"
    noun = "model"


class DatasetNotFound(NotFound):
    """No such dataset."""

    code = "dataset_not_found"
    noun = "dataset"


class UploadNotFound(NotFound):
    """No such upload."""

    code = "upload_not_found"
    noun = "upload"


class KeyNotFound(NotFound):
    """No such API key."""

    code = "key_not_found"
    noun = "key"


class Refused(KdstoreError):
    """The request cannot be met in the present state; the caller can act on the code."""

    code = "refused"


class InvalidTransition(Refused):
    """A job cannot go from `from_status` to `to_status`."""

    code = "invalid_transition"

    def __init__(self, job_id: str, from_status: str, to_status: str) -> None:
        self.job_id = job_id
        self.from_status = from_status
        self.to_status = to_status
        super().__init__(
            f"Job {job_id} is {from_status} and cannot become {to_status}. "
            "Read its status again and choose another action."
        )


class CursorInvalid(Refused):
    """A page cursor that this service did not make."""

    code = "cursor_invalid"

    def __init__(self) -> None:
        super().__init__("The cursor is not one that a list returned. Leave it out to start anew.")


class KeyInvalid(Refused):
    """An API key that is unknown, wrong or revoked; which of these is not told."""

    code = "key_invalid"

    def __init__(self) -> None:
        super().__init__("The API key is not valid. Check it, or ask an admin for a new one.")


class IdempotencyConflict(Refused):
    """This Idempotency-Key was used before with another route or body."""

    code = "idempotency_conflict"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            "This Idempotency-Key was used before for another request. "
            "Use a new key for a new request."
        )


class UploadClosed(Refused):
    """The upload takes no more parts: it is `status`."""

    code = "upload_closed"

    def __init__(self, upload_id: str, status: str) -> None:
        self.upload_id = upload_id
        self.status = status
        super().__init__(f"Upload {upload_id} is {status}. Start a new upload.")


class UploadNotStored(Refused):
    """The upload cannot be used as a source: not complete, or made for another purpose."""

    code = "upload_not_stored"

    def __init__(self, upload_id: str, *, status: str, purpose: str, wanted: str) -> None:
        self.upload_id = upload_id
        self.status = status
        self.purpose = purpose
        self.wanted = wanted
        super().__init__(
            f"Upload {upload_id} is {status}, with purpose {purpose}. "
            f"Complete an upload with purpose {wanted} first."
        )


class UploadIncomplete(Refused):
    """Parts are missing; `missing` holds their numbers."""

    code = "upload_incomplete"

    def __init__(self, upload_id: str, missing: Sequence[int]) -> None:
        self.upload_id = upload_id
        self.missing = tuple(missing)
        shown = ", ".join(str(number) for number in self.missing[:20])
        more = f" and {len(self.missing) - 20} more" if len(self.missing) > 20 else ""
        super().__init__(f"Send the missing parts {shown}{more}, then complete the upload again.")


class UploadTooLarge(Refused):
    """More bytes than this installation takes in one upload."""

    code = "upload_too_large"

    def __init__(self, *, size_bytes: int, max_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.max_bytes = max_bytes
        super().__init__(f"An upload has at most {max_bytes} bytes here, not {size_bytes}.")


class PartNumberInvalid(Refused):
    """The upload has no part of this number; parts count from 1 to `num_parts`."""

    code = "part_number_invalid"

    def __init__(self, *, number: int, num_parts: int) -> None:
        self.number = number
        self.num_parts = num_parts
        super().__init__(f"Parts are numbered 1 to {num_parts}; there is no part {number}.")


class PartSizeMismatch(Refused):
    """A part has more or fewer bytes than it must have."""

    code = "part_size_mismatch"

    def __init__(self, *, number: int, expected_bytes: int, found_bytes: int) -> None:
        self.number = number
        self.expected_bytes = expected_bytes
        self.found_bytes = found_bytes
        found = f"{found_bytes}" if found_bytes <= expected_bytes else "more"
        super().__init__(
            f"Part {number} has {expected_bytes} bytes; {found} arrived. Send the part again."
        )


class DigestMismatch(Refused):
    """The bytes that arrived do not have the sha256 that was announced."""

    code = "digest_mismatch"

    def __init__(self, *, expected_sha256: str, found_sha256: str) -> None:
        self.expected_sha256 = expected_sha256
        self.found_sha256 = found_sha256
        super().__init__(
            f"The sha256 of what arrived is {found_sha256}, announced was {expected_sha256}. "
            "Check the file and send it again."
        )


class AttemptLost(KdstoreError):
    """Attempt `attempt` no longer owns job `job_id`: its lease ran out, or the job has ended.

    Whoever gets this stops at once and writes nothing more.
    """

    code = "attempt_lost"

    def __init__(self, job_id: str, attempt: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        super().__init__(f"Attempt {attempt} no longer owns job {job_id}; it must stop.")


class ValidationLost(KdstoreError):
    """This validation no longer owns its model or dataset: its lease ran out, or it is decided."""

    code = "validation_lost"

    def __init__(self, wanted: str, number: int) -> None:
        self.wanted = wanted
        self.number = number
        super().__init__(f"Validation {number} no longer owns {wanted}; it must stop.")


class StorageError(KdstoreError):
    """Object storage did not do what it was asked; `key` says with which object."""

    code = "storage_error"

    def __init__(self, message: str, *, key: str) -> None:
        self.key = key
        super().__init__(message)


class ObjectNotFound(StorageError):
    """There is no object with this key."""

    code = "object_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(f"There is no object {key!r}.", key=key)


class ObjectCondemned(StorageError):
    """An object that nobody referred to is to be deleted, and cannot be referred to any more."""

    code = "object_condemned"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key!r} is swept from object storage. Ask for its next key, and store it there.",
            key=key,
        )


class StorageUnavailable(StorageError):
    """Object storage cannot be reached, or failed; trying again may help."""

    code = "storage_unavailable"


class QueueUnavailable(KdstoreError):
    """The broker did not take a message. The row is queued; the sweeper publishes it again."""

    code = "queue_unavailable"

    def __init__(self, task: str, subject_id: str) -> None:
        self.task = task
        self.subject_id = subject_id
        super().__init__(f"The queue did not take {task} for {subject_id}; it will be sent again.")
