"""Read and check a GraphDef: nodes by name, who feeds whom, and the values of its constants. No cv2 here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.limits import Budget
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.protobuf_limits import parse
from mrcnn_cv.importers.tensorflow.fused_ops import unfused

MAX_FILE_BYTES = 2**31 - 1
"""protobuf's own limit for one message."""

MAX_NODES = 1 << 18
"""The largest frozen detectors have 20,000."""

MAX_AXES = 16

PASS_THROUGH = frozenset({"Identity", "StopGradient", "CheckNumerics", "PlaceholderWithDefault", "Enter"})
"""Ops that hand on what they take; a Graph looks through them."""

SELECTING_OPS = frozenset({"Gather", "GatherV2", "GatherNd", "Slice", "StridedSlice", "Switch"})
"""Ops that pass on some values of their first input; the others only say which."""

METADATA_OPS = frozenset({"Shape", "ShapeN", "Size", "Rank"})
"""Ops that read the shape of a tensor, not its values."""

LEAST_INPUTS = {
    **dict.fromkeys(PASS_THROUGH, 1),
    **dict.fromkeys(("Shape", "Relu", "Relu6", "MaxPool", "AvgPool", "Exp", "Where", "Unpack"), 1),
    **dict.fromkeys(("Add", "AddV2", "BiasAdd", "Sub", "Mul", "RealDiv", "Minimum", "Greater", "StridedSlice"), 2),
    **dict.fromkeys(
        ("Conv2D", "DepthwiseConv2dNative", "MatMul", "Reshape", "Mean", "Pad", "MirrorPad", "ConcatV2"), 2
    ),
    **dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea"), 2),
    **dict.fromkeys(("Gather", "GatherV2", "GatherNd", "TopKV2"), 2),
    **dict.fromkeys(
        (
            "PadV2",
            "SpaceToBatchND",
            "BatchToSpaceND",
            "Conv2DBackpropInput",
            "NonMaxSuppression",
            "NonMaxSuppressionV2",
        ),
        3,
    ),
    **dict.fromkeys(("NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5", "CropAndResize"), 4),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), 5),
}
"""How many tensors an op computes with at least, of the ops whose inputs are looked at by position."""

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
    pb.DT_BFLOAT16: "<u2",
}


_LISTS: dict[int, str] = {
    pb.DT_FLOAT: "float_val",
    pb.DT_DOUBLE: "double_val",
    pb.DT_INT64: "int64_val",
    pb.DT_BOOL: "bool_val",
    pb.DT_HALF: "half_val",
    pb.DT_BFLOAT16: "half_val",
}
"""Where a type's values are listed one by one; `int_val` for all others."""

MAX_REPEATED = 1 << 24
"""A list that stands for more values than this is no layer's weights."""


class Graph:
    """A checked GraphDef. Tensors are called as TensorFlow calls them: `node`, `node:1`.

    functions: what its loops and branches call, by name. budget: that of the graph that this one is a part of.
    """

    def __init__(
        self, nodes: Iterable[pb.NodeDef], functions: Iterable[pb.FunctionDef] = (), budget: Budget | None = None
    ) -> None:
        self.functions = {function.signature.name: function for function in functions}
        self.nodes: dict[str, pb.NodeDef] = {}
        self.budget = budget or Budget()
        for node in nodes:
            if len(self.nodes) == MAX_NODES:
                raise ModelFileError(f"has more than {MAX_NODES} nodes, so it is not a detector")
            if not _NAME.fullmatch(node.name):
                raise ModelFileError(f"has a node with a name that TensorFlow does not allow ({node.name[:40]!r})")
            if node.name in self.nodes:
                raise ModelFileError(f"has two nodes named '{node.name}', so it is not a valid GraphDef")
            self.nodes[node.name] = node
        for node in self.nodes.values():
            self._check_inputs(node)
        self._behind: dict[str, str] = {}
        self._inputs = {
            name: [self._look_through(tensor) for tensor in node.input if not tensor.startswith("^")]
            for name, node in self.nodes.items()
        }
        self._consumers: dict[str, list[str]] = defaultdict(list)
        for name, node in self.nodes.items():
            if node.op not in PASS_THROUGH:
                for tensor in self._inputs[name]:
                    self._consumers[node_name(tensor)].append(name)

    def _check_inputs(self, node: pb.NodeDef) -> None:
        for source in map(node_name, node.input):
            if source not in self.nodes:
                raise ModelFileError(
                    f"has a node '{node.name}' that takes '{source}', which is missing: the file is probably cut short"
                )
        given, least = sum(not tensor.startswith("^") for tensor in node.input), LEAST_INPUTS.get(node.op, 0)
        if given < least:
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) with {given} of its {least} inputs")

    def _look_through(self, tensor: str) -> str:
        """The tensor that a chain of identities hands on, itself where there is none."""
        chain: dict[str, None] = {}
        while (name := node_name(tensor)) not in self._behind and self.nodes[name].op in PASS_THROUGH:
            if name in chain:
                raise ModelFileError(f"has a node '{name}' that depends on itself")
            chain[name] = None
            tensor = next(source for source in self.nodes[name].input if not source.startswith("^"))
        tensor = self._behind.get(name, tensor)
        self._behind.update(dict.fromkeys(chain, tensor))
        return tensor

    def node(self, tensor: str) -> pb.NodeDef:
        """The node that makes a tensor."""
        return self.nodes[node_name(tensor)]

    def inputs(self, node: pb.NodeDef) -> list[str]:
        """Tensors that a node computes with: control dependencies left out, identities looked through."""
        return self._inputs[node.name]

    def consumers(self, tensor: str) -> list[pb.NodeDef]:
        """Nodes that compute with the values of a tensor's node (readers of its shape and identities left out)."""
        found = (self.nodes[name] for name in self._consumers[node_name(tensor)])
        return [node for node in found if node.op not in METADATA_OPS]

    def upstream(
        self, tensors: Iterable[str], stop: Callable[[pb.NodeDef], bool] = lambda node: False
    ) -> dict[str, pb.NodeDef]:
        """All nodes that the values of `tensors` come from, nearest first; what feeds a `stop` node is left out."""
        return dict(self._walk([node_name(tensor) for tensor in tensors], stop, self._sources))

    def upstream_values(
        self, tensors: Iterable[str], stop: Callable[[pb.NodeDef], bool] = lambda node: False
    ) -> dict[str, pb.NodeDef]:
        """As `upstream`, without what only decides which of the values are taken."""

        def step(node: pb.NodeDef) -> list[str]:
            sources = self._sources(node)
            return sources[:1] if node.op in SELECTING_OPS else sources

        return dict(self._walk([node_name(tensor) for tensor in tensors], stop, step))

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
            self.budget.step()
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
        parse(data, message)
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error
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
        return Graph(unfused(message.node), message.library.function)
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error


def tensor_value(node: pb.NodeDef) -> NDArray[np.generic]:
    """The value of a Const node as an array of its own type; raises ModelFileError where bytes and shape disagree."""
    tensor = node.attr["value"].tensor
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.dtype not in _DTYPES:
        raise ModelFileError(f"the constant '{node.name}' has a type that is not supported (DataType {tensor.dtype})")
    dtype = np.dtype(_DTYPES[tensor.dtype])
    finish = _from_bfloat16 if tensor.dtype == pb.DT_BFLOAT16 else np.asarray
    if len(shape) > MAX_AXES:
        raise ModelFileError(f"the constant '{node.name}' has {len(shape)} axes, where {MAX_AXES} are possible")
    if min(shape, default=0) < 0:
        raise ModelFileError(f"the constant '{node.name}' has a negative size")
    count = prod(shape)
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * dtype.itemsize:
            raise ModelFileError(
                f"the constant '{node.name}' holds {len(tensor.tensor_content)} bytes where its shape needs"
                f" {count * dtype.itemsize}"
            )
        return finish(np.frombuffer(tensor.tensor_content, dtype=dtype).reshape(shape))
    return finish(_listed_value(node, tensor, dtype, count).reshape(shape))


def _from_bfloat16(bits: NDArray[np.generic]) -> NDArray[np.generic]:
    """A bfloat16 is the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _listed_value(
    node: pb.NodeDef, tensor: pb.TensorProto, dtype: np.dtype[np.generic], count: int
) -> NDArray[np.generic]:
    """Values listed one by one; TensorFlow repeats the last one to fill the shape, and none at all are zeros."""
    values = list(getattr(tensor, _LISTS.get(tensor.dtype, "int_val")))
    # Halves are listed as the whole numbers of their bits.
    stored = np.dtype(np.uint16) if tensor.dtype == pb.DT_HALF else dtype
    if stored.kind in "iu" and values:
        bounds = np.iinfo(stored.name)
        if not bounds.min <= min(values) <= max(values) <= bounds.max:
            raise ModelFileError(f"the constant '{node.name}' lists a value that its type cannot hold")
    listed: NDArray[np.generic] = np.array(values, dtype=stored).view(dtype)
    if len(listed) > count or count > MAX_REPEATED:
        raise ModelFileError(f"the constant '{node.name}' lists {len(listed)} values for a shape of {count}")
    if len(listed) == 0:
        return np.zeros(count, dtype=dtype)
    return listed if len(listed) == count else np.concatenate([listed, np.full(count - len(listed), listed[-1])])
