"""Build ONNX models in tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.importers.onnx.model import OnnxGraph

TYPES: dict[str, pb.TensorProto.DataType] = {
    "float32": pb.TensorProto.FLOAT,
    "float64": pb.TensorProto.DOUBLE,
    "float16": pb.TensorProto.FLOAT16,
    "int32": pb.TensorProto.INT32,
    "int64": pb.TensorProto.INT64,
    "uint8": pb.TensorProto.UINT8,
    "bool": pb.TensorProto.BOOL,
}


def tensor(name: str, value: ArrayLike) -> pb.TensorProto:
    """A tensor with its values as bytes."""
    array = np.array(value)
    return pb.TensorProto(
        name=name, dims=array.shape, data_type=TYPES[array.dtype.name], raw_data=np.ascontiguousarray(array).tobytes()
    )


class OnnxBuilder:
    """A model in the making with one input, "image"; every method returns the name of the tensor that it adds."""

    def __init__(self, opset: int = 17) -> None:
        self.model = pb.ModelProto(ir_version=8, producer_name="tests")
        self.model.opset_import.add(version=opset)
        self.message = self.model.graph
        self.message.input.add(name="image")

    def node(self, name: str, op: str, inputs: Sequence[str] = (), **attributes: object) -> str:
        """A node with one output of its name; attributes: int, float, str, list of int, tensor or graph."""
        added = self.message.node.add(name=f"node of {name}", op_type=op, input=list(inputs), output=[name])
        for key, value in attributes.items():
            attribute = added.attribute.add(name=key)
            if isinstance(value, bool | int):
                attribute.i = int(value)
            elif isinstance(value, float):
                attribute.f = value
            elif isinstance(value, str):
                attribute.s = value.encode()
            elif isinstance(value, list):
                attribute.ints.extend(value)
            elif isinstance(value, pb.TensorProto):
                attribute.t.CopyFrom(value)
            elif isinstance(value, pb.GraphProto):
                attribute.g.CopyFrom(value)
        return name

    def const(self, name: str, value: ArrayLike) -> str:
        """An initializer."""
        self.message.initializer.append(tensor(name, value))
        return name

    def graph(self) -> OnnxGraph:
        return OnnxGraph(self.model)
