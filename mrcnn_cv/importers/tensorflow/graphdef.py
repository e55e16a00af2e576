"""Read and check a GraphDef: nodes by name, who feeds whom, and the values of its constants. No cv2 here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.limits import Budget
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.base import named
from mrcnn_cv.importers.constant_folding import Array
from mrcnn_cv.importers.tensorflow.constants import TensorFlowConstants, parse_graph
from mrcnn_cv.importers.tensorflow.fused_ops import unfused
from mrcnn_cv.importers.tensors import stored_value
from mrcnn_cv.importers.wire_format import Content, read_message
from mrcnn_cv.util.mapped_file import MappedFile

MAX_NODES = 1 << 18
"""The largest frozen detectors have 20,000."""

PASS_THROUGH = frozenset({"Identity", "StopGradient", "CheckNumerics", "PlaceholderWithDefault", "Enter"})
"""Ops that hand on what they take; a Graph looks through them."""

SELECTING_OPS = frozenset({"Gather", "GatherV2", "GatherNd", "Slice", "StridedSlice", "Switch"})
"""Ops that pass on some values of their first input; the others only say which."""

NMS_OPS = frozenset(f"NonMaxSuppression{version}" for version in ("", "V2", "V3", "V4", "V5"))

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
    pb.DT_BFLOAT16: "bfloat16",
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


class Graph:
    """A checked GraphDef. Tensors are called as TensorFlow calls them: `node`, `node:1`.

    functions: what its loops and branches call, by name. budget: that of the graph that this one is a part of.
    constants: the values that its Const nodes do not hold themselves. file: where these lie.
    """

    def __init__(
        self,
        nodes: Iterable[pb.NodeDef],
        functions: Iterable[pb.FunctionDef] = (),
        budget: Budget | None = None,
        constants: TensorFlowConstants | None = None,
        file: MappedFile | None = None,
    ) -> None:
        self.functions = {function.signature.name: function for function in functions}
        self.constants = constants or TensorFlowConstants()
        self.file = file
        self.nodes: dict[str, pb.NodeDef] = {}
        self.budget = budget or Budget()
        for node in nodes:
            if len(self.nodes) == MAX_NODES:
                raise ModelFileError(f"has more than {MAX_NODES} nodes, so it is not a detector")
            name = node.name
            if not _NAME.fullmatch(name):
                raise ModelFileError(f"has a node with a name that TensorFlow does not allow ({name[:40]!r})")
            if name in self.nodes:
                raise ModelFileError(f"has two nodes named '{name}', so it is not a valid GraphDef")
            self.nodes[name] = node
        # A message's fields are slow to ask for, so that of 8,000 nodes each is asked for once.
        self._ops = {name: node.op for name, node in self.nodes.items()}
        given = {name: self._checked_inputs(name, list(node.input)) for name, node in self.nodes.items()}
        self._past_identities: dict[str, str] = {}
        self._sources_of: dict[str, list[str]] = {}
        self._inputs = {name: [self._skip_identities(tensor) for tensor in tensors] for name, tensors in given.items()}
        self._consumers: dict[str, list[str]] = defaultdict(list)
        for name, op in self._ops.items():
            if op not in PASS_THROUGH:
                for tensor in self._inputs[name]:
                    self._consumers[node_name(tensor)].append(name)

    def _checked_inputs(self, name: str, tensors: list[str]) -> list[str]:
        """What a node takes, without control inputs."""
        for tensor in tensors:
            # A tensor that is called like a node is its first one.
            if tensor not in self._ops and node_name(tensor) not in self._ops:
                raise ModelFileError(
                    f"has a node '{name}' that takes '{node_name(tensor)}', which is missing: the file is probably cut"
                    " short"
                )
        given = [tensor for tensor in tensors if not tensor.startswith("^")]
        op = self._ops[name]
        if len(given) < LEAST_INPUTS.get(op, 0):
            raise ModelFileError(f"has a node '{name}' ({op}) with {len(given)} of its {LEAST_INPUTS[op]} inputs")
        return given

    def _skip_identities(self, tensor: str) -> str:
        """The tensor that a chain of identities hands on, itself where there is none."""
        if tensor in self._ops and self._ops[tensor] not in PASS_THROUGH:
            return tensor
        chain: dict[str, None] = {}
        while (name := node_name(tensor)) not in self._past_identities and self._ops[name] in PASS_THROUGH:
            if name in chain:
                raise ModelFileError(f"has a node '{name}' that depends on itself")
            chain[name] = None
            tensor = next(source for source in self.nodes[name].input if not source.startswith("^"))
        tensor = self._past_identities.get(name, tensor)
        self._past_identities.update(dict.fromkeys(chain, tensor))
        return tensor

    def with_nodes(self, nodes: Iterable[pb.NodeDef]) -> Graph:
        """The same graph with other nodes; Const nodes of this one may be among them."""
        return Graph(nodes, self.functions.values(), constants=self.constants, file=self.file)

    def constant(self, node: pb.NodeDef) -> Array:
        """The value of a Const node of this graph, a view of the file where it is large; see `tensor_value`."""
        return tensor_value(node, self.constants.nodes.get(node.name))

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
        return self._walk(map(node_name, tensors), stop, self._sources)

    def upstream_values(
        self, tensors: Iterable[str], stop: Callable[[pb.NodeDef], bool] = lambda node: False
    ) -> dict[str, pb.NodeDef]:
        """As `upstream`, without what only decides which of the values are taken."""

        def step(name: str) -> list[str]:
            sources = self._sources(name)
            return sources[:1] if self._ops[name] in SELECTING_OPS else sources

        return self._walk(map(node_name, tensors), stop, step)

    def downstream(
        self, node: pb.NodeDef, stop: Callable[[pb.NodeDef], bool] = lambda node: False
    ) -> dict[str, pb.NodeDef]:
        """All nodes that the values of `node` reach, itself first; what a `stop` node feeds is left out."""

        def consumers(name: str) -> list[str]:
            return [consumer for consumer in self._consumers[name] if self._ops[consumer] not in METADATA_OPS]

        return self._walk([node.name], stop, consumers)

    def _sources(self, name: str) -> list[str]:
        """Names of the nodes that a node takes values of; they are asked for over and over."""
        if name not in self._sources_of:
            tensors = [] if self._ops[name] in METADATA_OPS else self._inputs[name]
            self._sources_of[name] = [node_name(tensor) for tensor in tensors]
        return self._sources_of[name]

    def _walk(
        self, names: Iterable[str], stop: Callable[[pb.NodeDef], bool], step: Callable[[str], list[str]]
    ) -> dict[str, pb.NodeDef]:
        found = self.budget.walk(names, lambda name: [] if stop(self.nodes[name]) else step(name))
        return {name: self.nodes[name] for name in found}


def node_name(tensor: str) -> str:
    """The node's name in a tensor's name: `^a/b` and `a/b:1` are of `a/b`."""
    return tensor.removeprefix("^").partition(":")[0]


def function_graph(graph: Graph, name: str) -> Graph:
    """The body of a function; its arguments are Placeholders. Raises ModelFileError for one that contradicts itself."""
    constants = TensorFlowConstants(graph.constants.functions.get(name, {}))
    return Graph(_function_nodes(graph.functions[name]), budget=graph.budget, constants=constants, file=graph.file)


def _function_nodes(function: pb.FunctionDef) -> Iterator[pb.NodeDef]:
    for argument in function.signature.input_arg:
        yield pb.NodeDef(name=argument.name, op="Placeholder")
    for node in function.node_def:
        copy = pb.NodeDef()
        copy.CopyFrom(node)
        # `node:output:index` and `argument` become the name alone; which of several outputs it is does not matter here.
        copy.input[:] = [tensor.partition(":")[0] for tensor in node.input]
        yield copy


def read_graph(path: Path) -> Graph:
    """Read a frozen graph from a file.

    Raises ModelFileError (one sentence with the path) for a file that is no GraphDef or contradicts itself.
    """
    kind = "a frozen TensorFlow graph"
    file, (message, constants) = read_message(path, kind, "freeze the model again", parse_graph)
    with named(path):
        if not message.node:
            raise ModelFileError(f"holds no graph nodes, so it is not {kind} (frozen_inference_graph.pb)")
        return Graph(unfused(message.node), message.library.function, constants=constants, file=file)


def tensor_value(node: pb.NodeDef, taken: Content | None = None) -> Array:
    """The value of a Const node; see `stored_value`. taken: what was taken out of the node."""
    tensor = node.attr["value"].tensor
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    fields = ("tensor_content", _LISTS.get(tensor.dtype, "int_val"))
    return stored_value(node.name, shape, _DTYPES.get(tensor.dtype), tensor, fields, taken, repeats=True)
