"""One validation of a model or dataset, from claim to decision."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from kdstore import datasets, models, uploads, validation
from kdstore.db import reading
from kdstore.errors import ObjectCondemned, UploadNotStored, ValidationLost
from kdstore.log import log_fields
from kdstore.objects import Check
from kdstore.queue import VALIDATE_DATASET, VALIDATE_MODEL
from kdstore.tables import Dataset, Model
from kdstore.validation import Rejection, Subject, ValidationFence
from worker.inputs import StoredFile
from worker.messages import (
    BuiltinOrder,
    DatasetAccepted,
    DatasetOrder,
    DeclaredNetwork,
    IngestOrder,
    ModelAccepted,
    ModelOrder,
)
from worker.reader import Answer, limits_for, read_in_child
from worker.reader_watch import ReaderWatch
from worker.retries import ResultT, retry, write
from worker.runtime import Runtime
from worker.stored_results import store_dataset, store_weights
from worker.undecided import Undecided, suspect, undecided_by

_log = logging.getLogger(__name__)

Decision = Callable[[Session], None]

_FETCH_SECONDS = 60.0  # for which storage may be away before the next try is put off

_TASKS: dict[Subject, str] = {"model": VALIDATE_MODEL, "dataset": VALIDATE_DATASET}


def validate(runtime: Runtime, subject: Subject, subject_id: str) -> None:
    """Claim a model or dataset and decide it; do nothing if there is none to claim."""
    fence = write(
        runtime.session_factory,
        lambda session: validation.claim(
            session, subject, subject_id, lease_seconds=runtime.settings.lease_seconds
        ),
        abandon=runtime.stopping,
    )
    if fence is None:
        _log.debug("nothing to validate", extra={"subject_id": subject_id})
        return
    with (
        log_fields(worker=runtime.name, subject_id=subject_id),
        runtime.tracing.span(f"validate {subject}", subject_id=subject_id, worker=runtime.name),
    ):
        try:
            Validation(runtime, fence).run()
        except ValidationLost:
            _log.info("validation lost")


class Validation:
    """One validation that holds its model or dataset."""

    def __init__(self, runtime: Runtime, fence: ValidationFence) -> None:
        self._runtime = runtime
        self._fence = fence

    def run(self) -> None:
        """Read and decide.

        Raises:
            ValidationLost: another worker holds it; the reader is gone, nothing was written.
        """
        self._say("validation started")
        name = f"{self._fence.id}-{self._fence.number}"
        with (
            self._runtime.scratch.work_folder(name) as folder,
            ReaderWatch(self._runtime, self._fence) as watch,
            self._runtime.hand_backs.holding(self._hand_back),
        ):
            decision = self._work(folder, watch)
            if isinstance(decision, Undecided):
                self._leave(decision)
                return
            try:
                self._write(decision)
            except ObjectCondemned as error:
                self._leave(Undecided(error.code))
                return
        self._say("validation ended")

    def _work(self, folder: Path, watch: ReaderWatch) -> Decision | Undecided:
        """Do everything but the decision."""
        try:
            if self._fence.subject == "model":
                return self._read_model(folder, watch)
            return self._read_dataset(folder, watch)
        except ValidationLost:
            raise
        except Exception as error:  # noqa: BLE001  # the boundary of a validation
            return undecided_by(error)

    def _read_model(self, folder: Path, watch: ReaderWatch) -> Decision | Undecided:
        runtime, fence = self._runtime, self._fence
        with reading(runtime.session_factory) as session:
            model = models.read_validating(session, fence)
            source = _source_of_model(session, model)
        self._fetch(source.file, folder / "source", check=watch.check)
        order = ModelOrder(
            source=folder / "source",
            declared=self._declared(model, source.description_key),
            destination=folder / "weights.safetensors",
            limits=limits_for((folder / "source").stat().st_size),
        )
        answer = self._read(order, watch)
        match answer:
            case ModelAccepted():
                ready = store_weights(runtime, answer, order.destination, check=watch.check_storing)
                return lambda session: models.mark_ready(session, fence, ready)
            case Rejection():
                return lambda session: validation.reject(session, fence, answer)
            case Undecided():
                return answer
            case _:
                return suspect("reader_confused")

    def _declared(self, model: Model, description_key: str | None) -> DeclaredNetwork:
        """Give what a person said of an upload, or what a job wrote of its network."""
        if description_key is None:
            text = json.dumps(model.requested)
        else:
            text = self._patiently(
                lambda: self._runtime.objects.get_bytes(description_key)
            ).decode()
        return DeclaredNetwork.model_validate_json(text)

    def _read_dataset(self, folder: Path, watch: ReaderWatch) -> Decision | Undecided:
        runtime, fence = self._runtime, self._fence
        order = self._dataset_order(folder, check=watch.check)
        answer = self._read(order, watch)
        match answer:
            case DatasetAccepted():
                ready = store_dataset(
                    runtime,
                    order.destination,
                    thumbnails=answer.thumbnails,
                    thumbnail_folder=order.thumbnails,
                    check=watch.check_storing,
                )
                return lambda session: datasets.mark_ready(session, fence, ready)
            case Rejection():
                return lambda session: validation.reject(session, fence, answer)
            case Undecided():
                return answer
            case _:
                return suspect("reader_confused")

    def _dataset_order(self, folder: Path, *, check: Check) -> DatasetOrder | BuiltinOrder:
        with reading(self._runtime.session_factory) as session:
            dataset = datasets.read_validating(session, self._fence)
            source = None if dataset.builtin else _source_of_dataset(session, dataset)
        if source is None:
            return BuiltinOrder(
                name=dataset.name,
                destination=folder / "dataset",
                thumbnails=folder / "thumbnails",
                limits=limits_for(0),
            )
        path = folder / "source"
        self._fetch(source, path, check=check)
        return DatasetOrder(
            source=path,
            format=dataset.format,
            name=dataset.name,
            class_names=tuple(dataset.requested_class_names),
            destination=folder / "dataset",
            thumbnails=folder / "thumbnails",
            limits=limits_for(path.stat().st_size),
            max_bytes=self._runtime.settings.max_dataset_bytes,
            max_decoders=self._runtime.num_threads,
        )

    def _fetch(self, file: StoredFile, path: Path, *, check: Check) -> None:
        self._patiently(lambda: self._runtime.inputs.fetch_checked(file, path, check=check))

    def _patiently(self, action: Callable[[], ResultT]) -> ResultT:
        return retry(action, abandon=self._runtime.stopping, max_seconds=_FETCH_SECONDS)

    def _read(self, order: IngestOrder, watch: ReaderWatch) -> Answer:
        """Have the file read; the row tells meanwhile that its reader is at work."""
        self._write(lambda session: validation.begin_reading(session, self._fence))
        answer = read_in_child(self._runtime, order, watch)
        self._write(lambda session: validation.end_reading(session, self._fence))
        return answer

    def _leave(self, undecided: Undecided) -> None:
        """Leave it to another try: at once if this worker shuts down, else after a while."""
        cause, suspicion = undecided.code, undecided.suspicion
        if suspicion is None and self._runtime.stopping.is_set():
            self._hand_back()
            return
        _log.warning("validation put off", extra={"subject_id": self._fence.id, "cause": cause})
        self._write(
            lambda session: validation.postpone(
                session, self._fence, cause=cause, suspicion=suspicion
            )
        )

    def _hand_back(self) -> None:
        self._say("validation handed back")
        self._write(lambda session: validation.release(session, self._fence))
        self._runtime.postbox.post(_TASKS[self._fence.subject], self._fence.id)

    def _write(self, action: Decision) -> None:
        write(self._runtime.session_factory, action, abandon=self._runtime.abandon)

    def _say(self, message: str, **facts: object) -> None:
        _log.info(message, extra={"subject_id": self._fence.id, **facts})


@dataclass(frozen=True)
class _ModelSource:
    file: StoredFile
    description_key: str | None


def _source_of_model(session: Session, model: Model) -> _ModelSource:
    if model.source_job_id is not None:
        found = models.weights_of_job(
            session, workspace_id=model.workspace_id, job_id=model.source_job_id
        )
        weights = StoredFile(found.weights.object_key, found.weights.sha256)
        return _ModelSource(weights, found.description.object_key)
    file = _stored_upload(session, model.workspace_id, model.source_upload_id)
    return _ModelSource(file, None)


def _source_of_dataset(session: Session, dataset: Dataset) -> StoredFile:
    return _stored_upload(session, dataset.workspace_id, dataset.source_upload_id)


def _stored_upload(session: Session, workspace_id: str | None, upload_id: str | None) -> StoredFile:
    if workspace_id is None or upload_id is None:
        raise AssertionError("what was uploaded has a workspace and an upload")
    upload = uploads.get(session, workspace_id=workspace_id, upload_id=upload_id)
    if upload.object_key is None or upload.sha256 is None:
        raise UploadNotStored(
            upload_id, status=upload.status, purpose=upload.purpose, wanted=upload.purpose
        )
    return StoredFile(upload.object_key, upload.sha256)
