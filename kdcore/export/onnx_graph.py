"""`<run>.onnx`: the classifier as one ONNX graph, checked by running it in onnxruntime.

B batch, C channels, H height, W width, K classes. onnx and onnxruntime are imported where they
are used: they are optional, and slow to import.
"""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import kdcore
from kdcore.errors import ExportFailed
from kdcore.export.atomic import write_bytes
from kdcore.export.torch_program import without_stack_traces
from kdcore.export.verification import Reference, check_program, removed_if_wrong
from kdcore.spec.networks import NetworkDescription

if TYPE_CHECKING:
    import onnx

INPUT_NAME = "images"
OUTPUT_NAME = "logits"
_BATCH_AXIS = "batch"
# Protocol buffers hold no more in one file; the graph itself takes a little.
_MAX_WEIGHT_BYTES = 2**31 - 2**24


def write_onnx(
    program: torch.export.ExportedProgram,
    path: Path,
    *,
    description: NetworkDescription,
    reference: Reference,
) -> Path:
    """Write the ONNX graph of a traced classifier and run the file; gives `path`.

    Input `images`: float32 [batch, C, H, W] in [0, 1]; output `logits`: float32 [batch, K]; any
    batch size. Class names, input and the whole description are in the model's metadata. The
    bytes depend on network, description and package versions alone.

    Raises:
        ExportFailed: the network cannot be written as one ONNX file, or onnxruntime computes
            something else from it.
    """
    _check_size(program)
    try:
        with warnings.catch_warnings(), without_stack_traces():
            # torch's own exporter still uses what torch's own pytree has deprecated.
            warnings.filterwarnings(
                "ignore",
                message=r"`isinstance\(treespec, LeafSpec\)` is deprecated",
                category=FutureWarning,
            )
            exported = torch.onnx.export(
                program,
                (),
                dynamo=True,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportFailed(
            "torch cannot write this network as ONNX. Leave 'onnx' out of `exports`."
        ) from error
    if exported is None:  # torch types it so for its older exporter
        raise ExportFailed("torch gave no ONNX graph.")
    model = exported.model_proto
    _tidy(model)
    _describe(model, description)
    write_bytes(path, model.SerializeToString(deterministic=True))
    with removed_if_wrong(path):
        verify_onnx(path, reference)
    return path


def verify_onnx(path: Path, reference: Reference) -> None:
    """Run an ONNX file in onnxruntime on the reference images.

    Raises:
        ExportFailed: onnxruntime refuses it, or it does not compute what the network computes.
    """
    import onnxruntime as ort  # noqa: PLC0415  # optional and slow to import
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # noqa: PLC0415  # same

    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3

    def run(images_BCHW: torch.Tensor) -> torch.Tensor:
        (logits_BK,) = session.run([OUTPUT_NAME], {INPUT_NAME: images_BCHW.numpy()})
        return torch.from_numpy(logits_BK)

    try:
        session = ort.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
        check_program(run, reference, name=path.name)
    except (
        ort_errors.Fail,
        ort_errors.InvalidArgument,
        ort_errors.InvalidGraph,
        ort_errors.InvalidProtobuf,
        ort_errors.NotImplemented,
        ort_errors.RuntimeException,
    ) as error:
        raise ExportFailed(f"onnxruntime cannot run {path.name}.") from error


def _check_size(program: torch.export.ExportedProgram) -> None:
    num_bytes = sum(tensor.nbytes for tensor in program.state_dict.values())
    if num_bytes > _MAX_WEIGHT_BYTES:
        raise ExportFailed(
            f"The weights take {num_bytes} bytes and one ONNX file holds at most 2 GiB. "
            "Leave 'onnx' out of `exports`."
        )


def _tidy(model: "onnx.ModelProto") -> None:
    """Drop the exporter's notes on every node, and give the batch axis a name to read."""
    graph = model.graph
    del graph.value_info[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH_AXIS


def _describe(model: "onnx.ModelProto", description: NetworkDescription) -> None:
    channels, height, width = description.input.shape_CHW
    image = {
        "name": INPUT_NAME,
        "shape": [_BATCH_AXIS, channels, height, width],
        "type": "float32",
        "range": [0.0, 1.0],
        "pixels": "uint8 / 255; the graph subtracts mean and divides by std itself",
    }
    entries = {
        "class_names": json.dumps(list(description.class_names)),
        "input": json.dumps(image),
        "network": description.model_dump_json(),
    }
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name = "potstill"
    model.producer_version = kdcore.__version__
    model.doc_string = f"Takes {INPUT_NAME} in [0, 1], gives {OUTPUT_NAME}."
