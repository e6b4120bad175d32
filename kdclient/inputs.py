"""What jobs are made from: uploads, models and datasets."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from kdclient.errors import ResourceRejected, WaitTimedOut
from kdclient.posting import post, read_list
from kdclient.resources import Dataset, DatasetFormat, Model, Page, Upload, UploadPurpose
from kdclient.transport import Call, Transport
from kdclient.uploads import upload_file

OnBytes = Callable[[int], None]
Description = BaseModel | Mapping[str, Any]  # a mapping is the same as JSON
ResourceT = TypeVar("ResourceT", Model, Dataset)

_READY_POLL_SECONDS = 0.2


def ignore_bytes(num_bytes: int) -> None:
    """Report to nobody."""


class Inputs:
    """The part of `Potstill` that brings teachers and data into the service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(
        self, path: Path | str, purpose: UploadPurpose, *, on_bytes: OnBytes = ignore_bytes
    ) -> Upload:
        """Upload a file in parts and have its sha256 checked; goes on with an interrupted one.

        `on_bytes` is told how many more bytes have arrived, a negative number where some must be
        sent again; it is called from several threads.

        Raises:
            OSError: the file cannot be read.
        """
        return upload_file(self._transport, Path(path), purpose=purpose, on_bytes=on_bytes)

    def abandon_upload(self, upload_id: str) -> None:
        """Give up an upload that is not complete."""
        self._transport.send(Call("DELETE", f"v1/uploads/{upload_id}"))

    def create_model(
        self,
        name: str,
        *,
        upload_id: str,
        architecture: Description,
        image_input: Description | None = None,
        class_names: Sequence[str] = (),
    ) -> Model:
        """Have an uploaded checkpoint checked against the architecture that it is declared to be.

        The model is `validating`; `wait_until_ready` says how that ends.
        """
        body: dict[str, Any] = {
            "name": name,
            "upload_id": upload_id,
            "architecture": as_json(architecture),
        }
        if image_input is not None:
            body["input"] = as_json(image_input)
        if class_names:
            body["class_names"] = list(class_names)
        return post(self._transport, "v1/models", body, Model)

    def create_model_from_job(self, name: str, *, job_id: str) -> Model:
        """Make what a finished job trained into a model: students can teach."""
        return post(self._transport, "v1/models", {"name": name, "job_id": job_id}, Model)

    def model(self, model_id: str) -> Model:
        """Read one model."""
        return self._transport.read(Call("GET", f"v1/models/{model_id}"), Model)

    def models(self) -> Iterator[Model]:
        """All models of the workspace."""
        return read_list(self._transport, "v1/models", Page[Model])

    def create_dataset(
        self,
        name: str,
        *,
        upload_id: str,
        format: DatasetFormat,  # noqa: A002 (the field's name in the contract)
        class_names: Sequence[str] = (),
    ) -> Dataset:
        """Have an uploaded dataset read and rewritten as arrays.

        The dataset is `validating`; `wait_until_ready` says how that ends.
        """
        body: dict[str, Any] = {"name": name, "upload_id": upload_id, "format": format}
        if class_names:
            body["class_names"] = list(class_names)
        return post(self._transport, "v1/datasets", body, Dataset)

    def dataset(self, dataset_id: str) -> Dataset:
        """Read one dataset, by id or by the name of a built-in one."""
        return self._transport.read(Call("GET", f"v1/datasets/{dataset_id}"), Dataset)

    def datasets(self) -> Iterator[Dataset]:
        """All datasets of the workspace, and the built-in ones."""
        return read_list(self._transport, "v1/datasets", Page[Dataset])

    def wait_until_ready(self, resource: ResourceT, *, timeout_seconds: float = 600.0) -> ResourceT:
        """Wait until a model or dataset has been looked at, and return it as it then is.

        Raises:
            ResourceRejected: it was refused; the error says why and what to do.
            WaitTimedOut: it was still being looked at after `timeout_seconds`.
        """
        deadline = time.monotonic() + timeout_seconds
        while resource.status == "validating":
            if time.monotonic() >= deadline:
                raise WaitTimedOut(
                    resource.id, status=resource.status, waited_seconds=timeout_seconds
                )
            self._transport.sleep(_READY_POLL_SECONDS)
            if isinstance(resource, Model):
                resource = self.model(resource.id)
            else:
                resource = self.dataset(resource.id)
        if resource.status == "rejected":
            problem = resource.problem
            raise ResourceRejected(
                resource.id,
                code=problem.code if problem else "rejected",
                detail=problem.message if problem else "No reason was given.",
                details=problem.details if problem else (),
            )
        return resource


def as_json(description: Description) -> Any:
    """A description as plain JSON data."""
    if isinstance(description, BaseModel):
        return description.model_dump(mode="json")
    return dict(description)
