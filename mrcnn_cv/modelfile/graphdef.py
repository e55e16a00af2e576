"""Read and check a GraphDef: nodes by name, who feeds whom, and the values of its constants. No cv2 here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.modelfile.protos import graph_pb2 as pb

MAX_FILE_BYTES = 2**31 - 1
"""protobuf's own limit for one message."""

METADATA_OPS = frozenset({"Shape", "ShapeN", "Size", "Rank"})
"""Ops that read the shape of a tensor, not its values."""

_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./>-]{0,999}")

_DTYPES: dict[int, str] = {
    pb.DT_FLOAT: "<f4",
    pb.DT_DOUBLE: "<f8",
    pb.DT_INT32: "<i4",
    pb.DT_UINT8: "|u1",
    pb.DT_INT16: "<i2",
    pb.DT_INT8: "|i1",
    pb.DT_INT64: "<i8",
    pb.DT_BOOL: "|b1",
    pb.DT_HALF: "<f2",
}


class Graph:
    """A checked GraphDef. Tensors are called as TensorFlow calls them: `node`, `node:1`."""

    def __init__(self, nodes: Iterable[pb.NodeDef]) -> None:
        self.nodes: dict[str, pb.NodeDef] = {}
        for node in nodes:
            if not _NAME.fullmatch(node.name):
                raise ModelFileError(f"has a node with a name that TensorFlow does not allow ({node.name[:40]!r})")
            if node.name in self.nodes:
                raise ModelFileError(f"has two nodes named '{node.name}', so it is not a valid GraphDef")
            self.nodes[node.name] = node
        self._consumers: dict[str, list[str]] = defaultdict(list)
        for node in self.nodes.values():
            for tensor in node.input:
                source = node_name(tensor)
                if source not in self.nodes:
                    raise ModelFileError(
                        f"has a node '{node.name}' that takes '{source}', which is missing: the file is probably"
                        " cut short"
                    )
                if not tensor.startswith("^"):
                    self._consumers[source].append(node.name)

    def node(self, tensor: str) -> pb.NodeDef:
        """The node that makes a tensor."""
        return self.nodes[node_name(tensor)]

    def inputs(self, node: pb.NodeDef) -> list[str]:
        """Tensors that a node computes with, control dependencies left out."""
        return [tensor for tensor in node.input if not tensor.startswith("^")]

    def consumers(self, tensor: str) -> list[pb.NodeDef]:
        """Nodes that compute with the values of a tensor's node (readers of its shape left out)."""
        found = (self.nodes[name] for name in self._consumers[node_name(tensor)])
        return [node for node in found if node.op not in METADATA_OPS]

    def upstream(
        self, tensors: Iterable[str], stop: Callable[[pb.NodeDef], bool] = lambda node: False
    ) -> dict[str, pb.NodeDef]:
        """All nodes that the values of `tensors` come from, nearest first; what feeds a `stop` node is left out."""
        return dict(self._walk([node_name(tensor) for tensor in tensors], stop, self._sources))

    def downstream(
        self, node: pb.NodeDef, stop: Callable[[pb.NodeDef], bool] = lambda node: False
    ) -> dict[str, pb.NodeDef]:
        """All nodes that the values of `node` reach, itself first; what a `stop` node feeds is left out."""
        return dict(self._walk([node.name], stop, lambda node: [other.name for other in self.consumers(node.name)]))

    def _sources(self, node: pb.NodeDef) -> list[str]:
        return [] if node.op in METADATA_OPS else [node_name(tensor) for tensor in self.inputs(node)]

    def _walk(
        self, names: list[str], stop: Callable[[pb.NodeDef], bool], step: Callable[[pb.NodeDef], list[str]]
    ) -> Iterator[tuple[str, pb.NodeDef]]:
        seen = set(names)
        queue = list(names)
        for name in queue:
            node = self.nodes[name]
            yield name, node
            if stop(node):
                continue
            for other in step(node):
                if other not in seen:
                    seen.add(other)
                    queue.append(other)


def node_name(tensor: str) -> str:
    """The node's name in a tensor's name: `^a/b` and `a/b:1` are of `a/b`."""
    return tensor.removeprefix("^").partition(":")[0]


def read_graph(path: Path) -> Graph:
    """Read a frozen graph from a file.

    Raises ModelFileError (one sentence with the path) for a file that is no GraphDef or contradicts itself.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelFileError(f"{path} has {size} bytes; a frozen graph has less than 2 GiB")
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error
    message = pb.GraphDef()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ModelFileError(
            f"{path} is not a frozen TensorFlow graph, or it is cut short (protobuf cannot read it):"
            " check its size against the original, or freeze the model again"
        ) from error
    if not message.node:
        raise ModelFileError(
            f"{path} holds no graph nodes, so it is not a frozen TensorFlow graph (frozen_inference_graph.pb)"
        )
    try:
        return Graph(message.node)
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error


def tensor_value(node: pb.NodeDef) -> NDArray[np.generic]:
    """The value of a Const node as an array of its own type; raises ModelFileError where bytes and shape disagree."""
    tensor = node.attr["value"].tensor
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.dtype not in _DTYPES:
        raise ModelFileError(f"the constant '{node.name}' has a type that is not supported (DataType {tensor.dtype})")
    dtype = np.dtype(_DTYPES[tensor.dtype])
    count = 1
    for size in shape:
        if size < 0:
            raise ModelFileError(f"the constant '{node.name}' has a negative size")
        count *= size
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * dtype.itemsize:
            raise ModelFileError(
                f"the constant '{node.name}' holds {len(tensor.tensor_content)} bytes where its shape needs"
                f" {count * dtype.itemsize}"
            )
        return np.frombuffer(tensor.tensor_content, dtype=dtype).reshape(shape)
    return _listed_value(node, tensor, dtype, count).reshape(shape)


def _listed_value(
    node: pb.NodeDef, tensor: pb.TensorProto, dtype: np.dtype[np.generic], count: int
) -> NDArray[np.generic]:
    """Values that are listed one by one; TensorFlow repeats the last one to fill the shape."""
    if tensor.dtype == pb.DT_HALF:
        listed: NDArray[np.generic] = np.array(tensor.half_val, dtype=np.uint16).view(np.float16)
    else:
        lists = (tensor.float_val, tensor.double_val, tensor.int_val, tensor.int64_val, tensor.bool_val)
        listed = np.array(next((list(values) for values in lists if values), []), dtype=dtype)
    if len(listed) > count or (count > 0 and len(listed) == 0) or count > 2**28:
        raise ModelFileError(f"the constant '{node.name}' lists {len(listed)} values for a shape of {count}")
    return listed if len(listed) == count else np.concatenate([listed, np.full(count - len(listed), listed[-1])])
