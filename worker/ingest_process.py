"""The child that reads a stranger's file: `python -m worker.ingest_process`, one, then it ends."""

import argparse
import errno
import os
import traceback
from typing import cast

from kdcore.checkpoints import (
    infer_num_classes,
    load_foreign_weights,
    open_checkpoint,
    write_safetensors,
)
from kdcore.data import DatasetFormat, builtin, ingest
from kdcore.errors import (
    CheckpointRejected,
    DatasetRejected,
    InvalidInput,
    KdcoreError,
    SpecInvalid,
)
from kdcore.models import build_network, count_flops, count_parameters, tappable_layers
from kdcore.spec import NetworkDescription, parse_network
from worker.child_link import ParentLink
from worker.messages import (
    INGEST_ORDER,
    BuiltinOrder,
    DatasetAccepted,
    DatasetOrder,
    Failed,
    IngestOrder,
    Layer,
    ModelAccepted,
    ModelOrder,
    Rejected,
)
from worker.process_limits import apply_limits
from worker.thumbnails import write_thumbnails

Answer = ModelAccepted | DatasetAccepted | Rejected | Failed


def main() -> None:
    """Wait for the order, carry it out within its limits, and answer."""
    parser = argparse.ArgumentParser(prog="python -m worker.ingest_process")
    parser.add_argument("--events-fd", type=int, required=True)
    link = ParentLink(parser.parse_args().events_fd)
    order = INGEST_ORDER.validate_json(link.receive_order())
    apply_limits(order.limits)
    link.send(_answer(order))
    # Everything is on disk and told: taking the interpreter apart would only cost time.
    os._exit(0)


def _answer(order: IngestOrder) -> Answer:
    try:
        return _read_model(order) if isinstance(order, ModelOrder) else _read_dataset(order)
    except InvalidInput as error:
        return _rejection(error)
    except MemoryError:
        return _TOO_MUCH_MEMORY
    except Exception as error:  # noqa: BLE001  # the boundary of the process
        traceback.print_exc()
        return _unexpected(error)


def _unexpected(error: Exception) -> Rejected | Failed:
    match error:
        case KdcoreError(code=code, message=message):
            return Failed(code=code, message=message, fault="system", cause="system_error")
        case OSError():
            return _TOO_LARGE if error.errno == errno.EFBIG else _disk_failure(error)
        case RuntimeError() if "can't allocate memory" in str(error):
            return _TOO_MUCH_MEMORY  # torch's allocator on CPU has no error class of its own
        case _:
            return _UNREADABLE


def _read_model(order: ModelOrder) -> ModelAccepted:
    with open_checkpoint(order.source) as checkpoint:
        declared = order.declared
        num_classes = declared.num_classes or infer_num_classes(
            checkpoint, declared.architecture, declared.input
        )
        source_format = checkpoint.format
    said = declared.model_dump(mode="json")
    description = parse_network({**said, "num_classes": num_classes})
    weights = load_foreign_weights(order.source, description)
    write_safetensors(order.destination, weights)
    return _accepted_model(description, source_format)


def _accepted_model(description: NetworkDescription, source_format: str) -> ModelAccepted:
    network = build_network(description, device="meta")
    return ModelAccepted(
        description=description,
        format=source_format,
        parameters=count_parameters(network),
        flops=count_flops(network, description.input),
        layers=tuple(
            Layer(name=layer.name, shape=layer.shape) for layer in tappable_layers(description)
        ),
    )


def _read_dataset(order: DatasetOrder | BuiltinOrder) -> DatasetAccepted:
    if isinstance(order, BuiltinOrder):
        builtin(order.name, order.destination)
    else:
        ingest(
            order.source,
            # Checked by ingest itself, which knows the formats.
            format=cast("DatasetFormat", order.format),
            name=order.name,
            destination=order.destination,
            class_names=order.class_names,
            max_bytes=order.max_bytes,
            max_decoders=order.max_decoders,
        )
    return DatasetAccepted(thumbnails=write_thumbnails(order.destination, order.thumbnails))


def _rejection(error: InvalidInput) -> Rejected:
    match error:
        case SpecInvalid(problems=problems):
            details = tuple(f"{problem.pointer}: {problem.message}" for problem in problems)
            return Rejected(code=problems[0].code, message=error.message, details=details)
        case CheckpointRejected(tensor=tensor, expected=expected, found=found):
            facts = {"tensor": tensor, "expected": expected, "found": found}
            details = tuple(f"{name}: {value}" for name, value in facts.items() if value)
            return Rejected(code=error.code, message=error.message, details=details)
        case DatasetRejected(entries=entries):
            return Rejected(code=error.code, message=error.message, details=entries)
        case _:
            return Rejected(code=error.code, message=error.message)


def _disk_failure(error: OSError) -> Failed:
    is_disk = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Failed(
        code="disk_full" if is_disk else "worker_disk_failed",
        message="The worker could not write what it read.",
        fault="system",
        cause="disk_full" if is_disk else "system_error",
    )


_TOO_MUCH_MEMORY = Rejected(
    code="validation_out_of_memory",
    message="Reading this file takes more memory than a file of its size may. Save it anew, "
    "without anything but what is needed.",
)
_TOO_LARGE = Rejected(
    code="validation_too_large",
    message="Unpacked, this file is larger than is taken. Split it, or make its images smaller.",
)
_UNREADABLE = Rejected(
    code="validation_failed",
    message="This file could not be read, for a reason that has no name here. Save it anew and "
    "upload it again; report it if that does not help.",
)


if __name__ == "__main__":
    main()
