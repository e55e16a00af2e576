"""Build and edit GraphDefs in tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.graphdef import Graph

TYPES: dict[str, pb.DataType] = {
    "float32": pb.DT_FLOAT,
    "float64": pb.DT_DOUBLE,
    "float16": pb.DT_HALF,
    "int32": pb.DT_INT32,
    "int64": pb.DT_INT64,
    "bool": pb.DT_BOOL,
}


class Builder:
    """A GraphDef in the making; every method returns the name of the node that it adds."""

    def __init__(self, message: pb.GraphDef | None = None) -> None:
        self.message = message or pb.GraphDef()

    def node(self, name: str, op: str, inputs: Sequence[str] = (), **attributes: object) -> str:
        """A node; attributes: bool, int, float, bytes or list of int, a DataType under a name that ends with T."""
        added = self.message.node.add(name=name, op=op, input=list(inputs))
        for key, value in attributes.items():
            attr = added.attr[key]
            if isinstance(value, bool):
                attr.b = value
            elif key in ("T", "DstT") and isinstance(value, int):
                attr.type = value  # type: ignore[assignment]
            elif isinstance(value, int):
                attr.i = value
            elif isinstance(value, float):
                attr.f = value
            elif isinstance(value, bytes):
                attr.s = value
            elif isinstance(value, list):
                attr.list.i.extend(value)
        return name

    def const(self, name: str, value: ArrayLike, dtype: str = "float32") -> str:
        """A constant, its values as bytes."""
        set_value(self.message.node.add(name=name, op="Const"), np.array(value, dtype=dtype))
        return name

    def graph(self) -> Graph:
        return Graph(self.message.node)


def set_value(node: pb.NodeDef, value: NDArray[np.generic]) -> None:
    """Give a Const node a new value."""
    data_type = TYPES[value.dtype.name]
    node.attr["dtype"].type = data_type
    tensor = node.attr["value"].tensor
    tensor.Clear()
    tensor.dtype = data_type
    for size in value.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = np.ascontiguousarray(value).tobytes()


def read(path: Path) -> pb.GraphDef:
    """A file as a message that can be edited."""
    message = pb.GraphDef()
    message.ParseFromString(path.read_bytes())
    return message


def by_name(message: pb.GraphDef) -> dict[str, pb.NodeDef]:
    return {node.name: node for node in message.node}


def rename(message: pb.GraphDef, name: Callable[[str], str]) -> None:
    """Rename all nodes, and what refers to them."""
    for node in message.node:
        node.name = name(node.name)
        for index, tensor in enumerate(node.input):
            bare = tensor.removeprefix("^")
            node.input[index] = tensor[: len(tensor) - len(bare)] + name(bare)
