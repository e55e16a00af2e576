"""Files that are small on disk and large in memory are refused before they are parsed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.graph.protos import onnx_pb2
from mrcnn_cv.importers import protobuf_limits as wire
from mrcnn_cv.importers.protobuf_limits import check_structure, parse
from tests.importers.graphs import Builder


@pytest.fixture(autouse=True)
def _small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_STRUCTURE", 20_000)


def length(size: int) -> bytes:
    """A length as protobuf writes it."""
    found = b""
    while size > 127:
        found, size = found + bytes([size & 127 | 128]), size >> 7
    return found + bytes([size])


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + length(len(content)) + content


MANY = 30_000

NODES = field(1, b"") * MANY
DIMENSIONS = field(1, field(5, field(1, b"value") + field(2, field(8, field(2, field(2, b"") * MANY)))))
INPUTS = field(1, field(3, b"") * MANY)
PACKED = field(1, field(5, field(1, b"value") + field(2, field(8, field(10, b"\1" * MANY)))))
GROUPS = b"\x7b" * MANY + NODES


@pytest.mark.parametrize("data", [NODES, DIMENSIONS, INPUTS, PACKED, GROUPS])
def test_structure_without_end(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="beside its weights"):
        check_structure(data, pb.GraphDef.DESCRIPTOR)


def test_structure_of_an_onnx_model() -> None:
    with pytest.raises(ModelFileError, match="beside its weights"):
        check_structure(field(7, field(5, b"") * MANY), onnx_pb2.ModelProto.DESCRIPTOR)


def test_weights_are_no_structure() -> None:
    build = Builder()
    build.const("weights", np.ones(100_000))
    listed = build.message.node.add(name="listed", op="Const").attr["value"].tensor
    listed.float_val.extend([1.0] * 100_000)
    check_structure(build.message.SerializeToString(), pb.GraphDef.DESCRIPTOR)


def test_what_is_no_protobuf_is_left_to_the_parser() -> None:
    data = b"\x0a\xff\xff\xff\x7f" + bytes(MANY)
    check_structure(data, pb.GraphDef.DESCRIPTOR)
    with pytest.raises(DecodeError):
        parse(data, pb.GraphDef())


@pytest.mark.parametrize("data", [b"\xff" * MANY, b"\x0a" * MANY])
def test_what_is_no_protobuf_and_has_too_many_fields_is_not_given_to_it(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="beside its weights"):
        check_structure(data, pb.GraphDef.DESCRIPTOR)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_too_little_memory_is_no_broken_file() -> None:
    source = """
import resource
from mrcnn_cv.graph.protos import graph_pb2
from mrcnn_cv.importers.protobuf_limits import parse
message = graph_pb2.GraphDef()
for number in range(100_000):
    message.node.add(name=f"node{number}")
data = message.SerializeToString()
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**20, taken + 2**20))
try:
    parse(data, graph_pb2.GraphDef())
except MemoryError:
    print("no memory")
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "no memory\n"
