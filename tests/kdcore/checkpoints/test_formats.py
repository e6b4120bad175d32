"""Every file that is not weights is told by its bytes, whatever its name, and nothing is run."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]  # joblib ships no types
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from kdcore.checkpoints import Code, open_checkpoint
from kdcore.errors import CheckpointRejected

Refused = Callable[[bytes], CheckpointRejected]
RefusedPath = Callable[[Path], CheckpointRejected]
Build = Callable[..., bytes]


class MakesFolder:
    """Makes a folder when it is unpickled: the canary."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def test_the_canary_would_show_that_something_ran(canary: Path) -> None:
    pickle.loads(pickle.dumps(MakesFolder(canary)))  # noqa: S301 - proves that the canary works
    assert canary.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights.pkl"])
def test_bare_pickle_is_refused_and_not_run(
    canary: Path, refused_path: RefusedPath, protocol: int, name: str
) -> None:
    path = canary.parent / name
    path.write_bytes(pickle.dumps(MakesFolder(canary), protocol=protocol))
    assert refused_path(path).code == Code.PICKLE
    assert not canary.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_dict_is_refused(refused: Refused, protocol: int) -> None:
    data = pickle.dumps({"weight": [1.0, 2.0]}, protocol=protocol)
    assert refused(data).code == Code.PICKLE


def test_legacy_stacked_pickle_is_refused_and_not_run(
    canary: Path, refused: Refused, saved_by_torch: Callable[..., bytes]
) -> None:
    data = saved_by_torch(
        {"w": torch.ones(2), "x": MakesFolder(canary)}, _use_new_zipfile_serialization=False
    )
    assert refused(data).code == Code.LEGACY_TORCH
    assert not canary.exists()


@pytest.mark.parametrize("compress", [0, 3])
def test_joblib_dump_is_refused(tmp_path: Path, refused_path: RefusedPath, compress: int) -> None:
    path = tmp_path / "model.safetensors"
    joblib.dump({"w": np.ones(3)}, path, compress=compress)
    assert refused_path(path).code == Code.JOBLIB


def test_tar_is_refused(refused: Refused) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    assert refused(buffer.getvalue()).code == Code.TAR


@pytest.mark.filterwarnings("ignore")  # torch has announced TorchScript's end
def test_torchscript_is_refused(refused: Refused) -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer)
    assert refused(buffer.getvalue()).code == Code.TORCHSCRIPT


@pytest.mark.parametrize("name", ["m/constants.pkl", "m/code/__torch__.py", "code/x.py"])
def test_torchscript_by_any_of_its_files_is_refused(
    refused: Refused, zip_bytes: Build, name: str
) -> None:
    assert refused(zip_bytes({"m/data.pkl": b"", name: b""})).code == Code.TORCHSCRIPT


@pytest.mark.parametrize("name", ["m/archive_format", "serialized_exported_program.json"])
def test_exported_program_is_refused(refused: Refused, zip_bytes: Build, name: str) -> None:
    assert refused(zip_bytes({name: b"pt2"})).code == Code.EXPORTED_PROGRAM


@pytest.mark.filterwarnings("ignore")  # torch's own, while it exports
def test_real_exported_program_is_refused(refused: Refused) -> None:
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), buffer)
    assert refused(buffer.getvalue()).code == Code.EXPORTED_PROGRAM


@pytest.mark.parametrize("producer", ["", "pytorch"])
def test_onnx_is_refused(refused: Refused, producer: str) -> None:
    graph = onnx.helper.make_graph([], "g", [], [])
    model = onnx.helper.make_model(graph, producer_name=producer)
    assert refused(model.SerializeToString()).code == Code.ONNX


def test_onnx_without_a_producer_is_refused(refused: Refused) -> None:
    model_version_next = b"\x08\x08\x28\x01\x3a\x00\x42\x00"
    assert refused(model_version_next).code == Code.ONNX


@pytest.mark.parametrize("length", [b"\xff" * 5, b"\x7f"])
def test_bytes_that_only_begin_like_onnx_are_unknown(refused: Refused, length: bytes) -> None:
    assert refused(b"\x08\x08\x12" + length + b"\xff" * 9).code == Code.UNKNOWN_FORMAT


def test_keras_is_refused(refused: Refused, zip_bytes: Build) -> None:
    files = {"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": b"\x89HDF"}
    assert refused(zip_bytes(files)).code == Code.KERAS


@pytest.mark.parametrize("offset", [0, 512, 1024, 2048])
def test_hdf5_is_refused(refused: Refused, offset: int) -> None:
    assert refused(bytes([255]) * offset + b"\x89HDF\r\n\x1a\n" + bytes(64)).code == Code.HDF5


def test_gguf_is_refused(refused: Refused) -> None:
    assert refused(b"GGUF" + bytes([3, 0, 0, 0]) + bytes(16)).code == Code.GGUF


def test_tflite_is_refused(refused: Refused) -> None:
    assert refused(b"\x1c\x00\x00\x00TFL3" + bytes(16)).code == Code.TFLITE


def test_numpy_files_are_refused(refused: Refused) -> None:
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, np.ones(3))
    np.savez(npz, a=np.ones(3), b=np.ones(2))
    assert refused(npy.getvalue()).code == Code.NUMPY
    assert refused(npz.getvalue()).code == Code.NUMPY


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_file_is_refused(refused: Refused, compress: Callable[[bytes], bytes]) -> None:
    assert refused(compress(b"weights")).code == Code.COMPRESSED


def test_zlib_stream_is_taken_for_joblib(refused: Refused) -> None:
    assert refused(zlib.compress(b"weights" * 9)).code == Code.JOBLIB


def test_zip_with_a_password_is_refused(refused: Refused, torch_zip_bytes: Build) -> None:
    # Bit 0 of the flags, in the first local header and in the first entry of the directory.
    data = bytearray(torch_zip_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert refused(bytes(data)).code == Code.ENCRYPTED


def test_zip_with_code_is_refused(refused: Refused, zip_bytes: Build) -> None:
    files = {"repo/modeling_x.py": b"", "repo/pytorch_model.bin": b""}
    assert refused(zip_bytes(files)).code == Code.HAS_CODE


def test_zip_around_weights_is_refused(refused: Refused, zip_bytes: Build) -> None:
    assert refused(zip_bytes({"model.safetensors": b"", "config.json": b""})).code == Code.ARCHIVE
    assert refused(zip_bytes({})).code == Code.ARCHIVE


def test_lfs_pointer_is_refused(refused: Refused) -> None:
    text = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    assert refused(text).code == Code.LFS_POINTER


@pytest.mark.parametrize("text", [b"<!DOCTYPE html><html>", b"\n <html lang='en'>"])
def test_web_page_is_refused(refused: Refused, text: bytes) -> None:
    assert refused(text).code == Code.WEB_PAGE


@pytest.mark.parametrize("text", [b'{"weight_map": {}}', b"{\n  }      ", b"[1, 2, 3, 4]"])
def test_json_is_refused(refused: Refused, text: bytes) -> None:
    assert refused(text).code == Code.JSON


def test_unknown_bytes_are_refused(refused: Refused) -> None:
    assert refused(b"Call me Ishmael.").code == Code.UNKNOWN_FORMAT


def test_what_is_no_file_is_refused(tmp_path: Path, refused_path: RefusedPath) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused_path(tmp_path / "pipe").code == Code.FOLDER
    assert refused_path(tmp_path).code == Code.FOLDER


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights"])
def test_good_file_is_taken_under_any_name(
    tmp_path: Path, torch_zip_bytes: Build, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(torch_zip_bytes())
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "torch_zip"


def test_refusal_of_a_pickle_shows_the_line_that_saves_it_again(refused: Refused) -> None:
    assert "safetensors.torch.save_file" in refused(pickle.dumps({"w": 1.0})).message
