"""A NetGraph as an ONNX model, written without the package `onnx`.

Weights are converted one by one while they are written: beside the model itself never more than one is in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from math import prod
from typing import Protocol

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.export.onnx_layers import RESIZE_BY_AXES, OnnxLayers, Tensor
from mrcnn_cv.graph.ir import Array, NetGraph
from mrcnn_cv.graph.partial_shapes import Shape, Side
from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.graph.wire_fields import field_head
from mrcnn_cv.util.version import __version__

OPSET = 14
"""The oldest with HardSwish. OpenCV 5.1, ONNX Runtime and OpenVINO read it for inputs of any size; OpenCV 4.10 to 5.0
only where all sides of inputs are given: else they keep the paddings of a first size, or have them wrong."""

IR_VERSION = 7
"""The one that belongs to `OPSET`; readers refuse later ones than they know."""

_IR_VERSIONS = {OPSET: IR_VERSION, RESIZE_BY_AXES: 8}

MOST_BYTES = (1 << 31) - 1
"""Of a model, as protobuf has it."""

_RAW_DATA = pb.TensorProto.RAW_DATA_FIELD_NUMBER
_INITIALIZER = pb.GraphProto.INITIALIZER_FIELD_NUMBER
_GRAPH = pb.ModelProto.GRAPH_FIELD_NUMBER

Shapes = Mapping[str, Sequence[Side]]


class Writable(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes | memoryview, /) -> object: ...


def to_onnx(net: NetGraph, shapes: Shapes | None = None, opset: int = OPSET) -> bytes:
    """The net as a serialized ModelProto; see `write_onnx`."""
    file = BytesIO()
    write_onnx(net, file, shapes, opset)
    return file.getvalue()


def write_onnx(net: NetGraph, file: Writable, shapes: Shapes | None = None, opset: int = OPSET) -> None:
    """Write the net as a serialized ModelProto.

    shapes: of inputs, (N, C, H, W) or (N, K), None for a side that may differ from run to run; of inputs that are not
    there, N, H and W may. Inputs and outputs keep their names and order. opset: `OPSET`; with 18 (ONNX Runtime 1.14 and
    later, OpenVINO) a Resize of maps of any number is one node. ModelFileError for nets of more than 2 GiB.
    """
    translation = OnnxLayers(net, shapes, opset)
    rest = _graph(net, translation).SerializeToString()
    tensors = [(tensor, tensor.message().SerializeToString()) for tensor in translation.tensors.values()]
    length = len(rest) + sum(_length_as_field(_INITIALIZER, _tensor_length(*each)) for each in tensors)
    if length > MOST_BYTES - 1024:
        raise ModelFileError("has a net of more than 2 GiB, which no ONNX file can hold")
    file.write(_header(opset).SerializeToString())
    file.write(field_head(_GRAPH, length))
    file.write(rest)
    for tensor, message in tensors:
        file.write(field_head(_INITIALIZER, _tensor_length(tensor, message)))
        file.write(message)
        file.write(field_head(_RAW_DATA, _bytes(tensor)))
        _write_array(file, tensor.array())


def without_weights(net: NetGraph, shapes: Shapes | None = None, opset: int = OPSET) -> tuple[bytes, list[Tensor]]:
    """(a ModelProto that names its weights, but has only those of few numbers; the other weights).

    For readers that take the weights as arrays: ONNX Runtime.
    """
    translation = OnnxLayers(net, shapes, opset)
    model = _header(opset)
    model.graph.CopyFrom(_graph(net, translation))
    others = []
    for tensor in translation.tensors.values():
        message = tensor.message()
        if _bytes(tensor) <= _FEW_BYTES:
            message.raw_data = tensor.array().tobytes()
        else:
            message.data_location = pb.TensorProto.EXTERNAL
            message.external_data.add(key="location", value="weights")
            others.append(tensor)
        model.graph.initializer.append(message)
    return model.SerializeToString(), others


_FEW_BYTES = 1024
"""Weights of so many are part of any model: shapes depend on some."""


def _header(opset: int) -> pb.ModelProto:
    return pb.ModelProto(
        ir_version=_IR_VERSIONS[opset],
        producer_name="mrcnn-cv",
        producer_version=__version__,
        opset_import=[pb.OperatorSetIdProto(version=opset)],
    )


def _graph(net: NetGraph, translation: OnnxLayers) -> pb.GraphProto:
    """All but the constants."""
    return pb.GraphProto(
        name="net",
        node=translation.nodes,
        input=_infos(net.inputs, translation.shapes),
        output=_infos(net.outputs, translation.shapes),
    )


def _infos(names: Iterable[str], shapes: Mapping[str, Shape]) -> Iterator[pb.ValueInfoProto]:
    for name in names:
        shape = shapes[name]
        info = pb.ValueInfoProto(name=name)
        info.type.tensor_type.elem_type = pb.TensorProto.FLOAT
        letters = ("N", "channels", "height", "width") if len(shape) == 4 else ("N", "columns")
        for side, letter in zip(shape, letters, strict=True):
            dim = info.type.tensor_type.shape.dim.add()
            if side is not None:
                dim.dim_value = side
            else:
                dim.dim_param = letter if letter == "N" else f"{name}_{letter}"
        yield info


def _bytes(tensor: Tensor) -> int:
    return prod(tensor.shape) * (4 if tensor.message().data_type == pb.TensorProto.FLOAT else 8)


def _write_array(file: Writable, array: Array) -> None:
    # A view of no numbers, or of one without axes, cannot be cast.
    file.write(memoryview(array.reshape(-1)).cast("B") if array.size else b"")


def _tensor_length(tensor: Tensor, message: bytes) -> int:
    return len(message) + _length_as_field(_RAW_DATA, _bytes(tensor))


def _length_as_field(number: int, length: int) -> int:
    """Of a field whose content is `length` bytes long."""
    return len(field_head(number, length)) + length
