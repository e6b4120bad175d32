"""Every error this client raises on purpose: facts with fields, and a message that says what to do.

PotstillError
├── ConnectionFailed             the service could not be reached, or the line kept breaking
├── UnexpectedAnswer             something answered, but not as the contract says
├── ApiProblem                   the service refused a request; `code` says why (RFC 9457)
├── SettingsMissing              no address or no key is known
├── SplitNotReported             a report has nothing on this split of the dataset
├── WaitTimedOut                 what was waited for did not happen in time
├── NotUsable                    waited for something that ended otherwise
│   ├── ResourceRejected         an uploaded model or dataset was looked at and refused
│   ├── JobFailed                the job ended as failed
│   └── JobCancelled             the job was cancelled
├── FileDamaged                  a file is not what was promised
│   ├── DigestMismatch           its sha256 differs from what the service says
│   └── FolderDamaged            files that the manifest lists are missing or changed
└── ServiceFailure               the services that `potstill up` starts
    ├── PortOccupied             another program listens there
    └── ServiceDied              a service ended, or did not become ready
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class PotstillError(Exception):
    """Base of every error in this tree."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConnectionFailed(PotstillError):
    """Nothing (useful) came back from `url`, after all retries."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(
            f"Cannot reach {url}: {reason}. Check that the service runs there "
            "(`potstill up` starts one) and that the address is right."
        )


class UnexpectedAnswer(PotstillError):
    """An answer that Potstill does not give: most likely another program listens at the address."""

    def __init__(self, url: str, status: int, reason: str) -> None:
        self.url = url
        self.status = status
        super().__init__(
            f"{url} answered {status}, but {reason}. Check that this is the address of a Potstill "
            "service and that nothing in between changes its answers."
        )


@dataclass(frozen=True)
class FieldProblem:
    """One thing wrong with one place of a request.

    `pointer` is a JSON pointer into the body; `parameter` is set where it is a parameter instead.
    """

    pointer: str
    code: str
    message: str
    parameter: str | None = None

    @property
    def place(self) -> str:
        """The parameter, or the pointer into the body."""
        return self.parameter or self.pointer or "/"

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ApiProblem(PotstillError):
    """The service refused a request; act on `code`, which is stable."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        lines = [f"{detail} ({code})"]
        # Where one field is all that is wrong, the detail says the same already.
        lines += [
            f"  {each.place}" if each.message == detail else f"  {each}" for each in self.errors
        ]
        super().__init__("\n".join(lines))


class SettingsMissing(PotstillError):
    """No address or no key is known; `wanted` names what is missing."""

    def __init__(self, wanted: str, *, looked_in: str) -> None:
        self.wanted = wanted
        super().__init__(
            f"No {wanted} is known. Run `potstill up` in this folder, or give --url and "
            f"--api-key, or set POTSTILL_URL and POTSTILL_API_KEY. (Looked in {looked_in}.)"
        )


class SplitNotReported(PotstillError):
    """A report has nothing on `split`; `known` are those it has."""

    def __init__(self, split: str, *, known: Sequence[str]) -> None:
        self.split = split
        self.known = tuple(known)
        super().__init__(f"The report has no split {split!r}; it has {', '.join(known)}.")


class WaitTimedOut(PotstillError):
    """`resource_id` was still `status` after `waited_seconds`."""

    def __init__(self, resource_id: str, *, status: str, waited_seconds: float) -> None:
        self.resource_id = resource_id
        self.status = status
        self.waited_seconds = waited_seconds
        super().__init__(
            f"{resource_id} is still {status} after {waited_seconds:.0f} seconds. Wait longer, or "
            "check that a worker is running."
        )


class NotUsable(PotstillError):
    """What was waited for has ended, and not as wanted; `resource_id` says what."""

    def __init__(self, message: str, *, resource_id: str) -> None:
        self.resource_id = resource_id
        super().__init__(message)


class ResourceRejected(NotUsable):
    """A model or dataset was refused; `details` name tensors, fields or entries."""

    def __init__(
        self, resource_id: str, *, code: str, detail: str, details: Sequence[str] = ()
    ) -> None:
        self.code = code
        self.detail = detail
        self.details = tuple(details)
        lines = [f"{resource_id} was rejected: {detail} ({code})"]
        lines += [f"  {each}" for each in self.details]
        super().__init__("\n".join(lines), resource_id=resource_id)


class JobFailed(NotUsable):
    """The job failed; `fault` says whose it is: "user" means that another spec may succeed."""

    def __init__(self, job_id: str, *, code: str, detail: str, fault: str) -> None:
        self.code = code
        self.detail = detail
        self.fault = fault
        super().__init__(f"Job {job_id} failed: {detail} ({code})", resource_id=job_id)


class JobCancelled(NotUsable):
    """The job was cancelled."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"Job {job_id} was cancelled. `potstill retry {job_id}` goes on from its last "
            "checkpoint.",
            resource_id=job_id,
        )


class FileDamaged(PotstillError):
    """A file on this machine is not what the service promised."""

    def __init__(self, message: str, *, name: str) -> None:
        self.name = name
        super().__init__(message)


class DigestMismatch(FileDamaged):
    """The sha256 of `name` is not the promised one."""

    def __init__(self, name: str, *, expected_sha256: str, found_sha256: str) -> None:
        self.expected_sha256 = expected_sha256
        self.found_sha256 = found_sha256
        super().__init__(
            f"{name} has sha256 {found_sha256}, promised was {expected_sha256}. "
            "Delete the file and download it again.",
            name=name,
        )


class FolderDamaged(FileDamaged):
    """Files that a folder's manifest lists are `missing` or `changed`, or it has no manifest."""

    def __init__(
        self, folder: Path, reason: str, *, missing: Sequence[str], changed: Sequence[str]
    ) -> None:
        self.folder = folder
        self.missing = tuple(missing)
        self.changed = tuple(changed)
        super().__init__(f"{folder}: {reason}", name=str(folder))


class ServiceFailure(PotstillError):
    """A service could not be started or kept running."""


class PortOccupied(ServiceFailure):
    """Another program listens on this port."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        super().__init__(
            f"Port {port} of {host} is in use by another program. Stop that program, or choose "
            "another port with --port; --port 0 takes a free one."
        )


class ServiceDied(ServiceFailure):
    """A service ended although it should run, or did not become ready."""

    def __init__(self, service: str, *, what: str, log_path: Path, log_tail: str) -> None:
        self.service = service
        self.log_path = log_path
        self.log_tail = log_tail
        shown = f" It last wrote:\n{log_tail}" if log_tail else ""
        super().__init__(f"{service} {what}. Its log is {log_path}.{shown}")
