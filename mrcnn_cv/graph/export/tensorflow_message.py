"""Write a GraphDef's bytes without holding its constants twice, which protobuf's own messages would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.graph.wire_fields import field_head

Fill = Callable[[NDArray[Any]], None]
"""Writes the values of a constant into an array of its shape."""


class _Constant(NamedTuple):
    """A Const node: its bytes up to the values, of which there are `size` bytes."""

    head: bytes
    shape: tuple[int, ...]
    dtype: type[Any]
    size: int
    fill: Fill


class GraphWriter:
    """A GraphDef in the making. Every method adds a node and returns its name, with marks where it was taken."""

    def __init__(self) -> None:
        self._parts: list[bytes | _Constant] = []
        self._names: set[str] = set()

    def message(self) -> NDArray[np.uint8]:
        """All nodes: the one array in which weights are held."""
        total = sum(len(part) if isinstance(part, bytes) else len(part.head) + part.size for part in self._parts)
        result = np.empty(total, np.uint8)
        end = 0
        for part in self._parts:
            text = part if isinstance(part, bytes) else part.head
            result[end : end + len(text)] = np.frombuffer(text, np.uint8)
            end += len(text)
            if isinstance(part, _Constant):
                part.fill(result[end : end + part.size].view(part.dtype).reshape(part.shape))
                end += part.size
        return result

    def node(self, name: str, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A layer; bytes, truths, numbers, or lists of whole numbers become its attributes."""
        node = pb.NodeDef(name=self._unique(name), op=op, input=inputs)
        node.attr["T"].type = pb.DT_FLOAT
        for key, value in attributes.items():
            if isinstance(value, bytes):
                node.attr[key].s = value
            elif isinstance(value, bool):
                node.attr[key].b = value
            elif isinstance(value, float):
                node.attr[key].f = value
            else:
                node.attr[key].list.i.extend(value)
        return self._add(node)

    def weights(self, name: str, shape: tuple[int, ...], fill: Fill) -> str:
        """A float32 constant that `fill` writes when all are collected."""
        return self._constant(name, shape, np.float32, fill)

    def values(self, name: str, value: NDArray[Any]) -> str:
        """A float32 constant."""
        return self._constant(name, value.shape, np.float32, lambda target: np.copyto(target, value, "same_kind"))

    def numbers(self, name: str, value: Any) -> str:
        """A constant of whole numbers, of any shape."""
        array = np.array(value, np.int32)
        return self._constant(name, array.shape, np.int32, lambda target: np.copyto(target, array))

    def number(self, name: str, value: int) -> str:
        """A single whole number that is listed: cv2.dnn reads the axis of a ConcatV2 from nowhere else."""
        node = _const(self._unique(name), pb.DT_INT32)
        node.attr["value"].tensor.dtype = pb.DT_INT32
        node.attr["value"].tensor.tensor_shape.SetInParent()
        node.attr["value"].tensor.int_val.append(value)
        return self._add(node)

    def _add(self, node: pb.NodeDef) -> str:
        data = node.SerializeToString()
        self._parts.append(_head("node", pb.GraphDef, len(data)) + data)
        return node.name

    def _constant(self, name: str, shape: tuple[int, ...], dtype: type[Any], fill: Fill) -> str:
        name, size = self._unique(name), 4 * int(np.prod(shape, dtype=np.int64))
        kind = pb.DT_FLOAT if dtype is np.float32 else pb.DT_INT32
        tensor = pb.TensorProto(dtype=kind)
        tensor.tensor_shape.SetInParent()
        for side in shape:
            tensor.tensor_shape.dim.add(size=side)
        # From the inside outwards: every head holds the length of all that follows it. `attr` is a map, whose entries
        # are messages of a key (1) and a value (2).
        text = tensor.SerializeToString() + _head("tensor_content", pb.TensorProto, size)
        text = _head("tensor", pb.AttrValue, len(text) + size) + text
        text = field_head(1, len(b"value")) + b"value" + field_head(2, len(text) + size) + text
        text = _const(name, kind).SerializeToString() + _head("attr", pb.NodeDef, len(text) + size) + text
        text = _head("node", pb.GraphDef, len(text) + size) + text
        self._parts.append(_Constant(text, shape, dtype, size, fill))
        return name

    def _unique(self, name: str) -> str:
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name


def _const(name: str, kind: pb.DataType) -> pb.NodeDef:
    node = pb.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = kind
    return node


def _head(field: str, message: Any, length: int) -> bytes:
    return field_head(int(message.DESCRIPTOR.fields_by_name[field].number), length)
