"""A stage taken apart into pieces that run one behind the other, each by what does it fastest."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.graphdef import tensor_value
from mrcnn_cv.model.definition import StageGraph

Size = tuple[int, int]
Kind = Literal["net", "sheet", "product", "enlarged", "pool"]

POINTWISE = frozenset({"BiasAdd", "Relu", "Relu6", "Sigmoid", "HardSigmoid", "HardSwish", "FusedBatchNorm"})
_WINDOWED = frozenset({"Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"})
_OF_AS_MANY_CHANNELS = (
    POINTWISE
    | {"MaxPool", "AvgPool", "Add", "Mul", "Pad", "Mean"}
    | {*("ResizeBilinear", "ResizeNearestNeighbor", "SpaceToBatchND", "BatchToSpaceND")}
)
"""As what they take."""
_JOINING = frozenset({"Add", "Mul", "ConcatV2"})


@dataclass(frozen=True)
class Piece:
    """A part of a stage.

    kind: "net": by cv2.dnn as it is. "sheet": by cv2.dnn, its one input laid out on a sheet and its one output picked
    up from there. "product": by a matrix product, one or more convolutions that take the same maps, its first input.
    "enlarged": the same for a convolution of maps that are resized before. "pool": a MaxPool, by numpy.
    """

    stage: StageGraph
    kind: Kind


class Layers:
    """The nodes of a stage's graph, and who takes what they give."""

    def __init__(self, stage: StageGraph) -> None:
        graph = pb.GraphDef()
        graph.ParseFromString(stage.graph_def)
        self.outputs = stage.outputs
        self.nodes = {node.name: node for node in graph.node}
        self.sources = {
            name: [source for source in node.input if self.nodes[source].op != "Const"]
            for name, node in self.nodes.items()
        }
        self.takers: dict[str, list[str]] = {}
        for name, sources in self.sources.items():
            for source in sources:
                self.takers.setdefault(source, []).append(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the last input of a node, where it is a constant."""
        last = self.nodes[self.nodes[name].input[-1]]
        return tuple(dim.size for dim in last.attr["value"].tensor.tensor_shape.dim)

    def values(self, name: str) -> Float:
        """The constant that is the last input of a node."""
        return np.asarray(tensor_value(self.nodes[self.nodes[name].input[-1]]), np.float32)

    def map_sizes(self, size: Size) -> dict[str, Size]:
        """Of the nodes whose maps' (height, width) can be told when those of the inputs are `size`."""
        sizes: dict[str, Size] = {}
        for name, sources in self.sources.items():
            node = self.nodes[name]
            known = sizes.get(sources[0]) if sources else None
            if node.op == "Placeholder":
                sizes[name] = size
            elif known is not None and node.op in POINTWISE | _JOINING:
                sizes[name] = known
            elif known is not None and node.op in _WINDOWED and node.attr["padding"].s == b"SAME":
                strides = node.attr["strides"].list.i
                sizes[name] = (-(-known[0] // strides[1]), -(-known[1] // strides[2]))
        return sizes

    def of_all_channels(self, given: int | None) -> set[str]:
        """The convolutions that take all channels of their maps at once, not in groups.

        given: channels of the input maps; None: as many as the convolutions that see them take.
        """
        counts: dict[str, int | None] = {}
        found = set()
        for name, sources in self.sources.items():
            node = self.nodes[name]
            taken = [counts[source] for source in sources]
            known = [count for count in taken if count is not None]
            counts[name] = max(known, default=None)
            if node.op == "Placeholder":
                counts[name] = given
            elif node.op == "Conv2D":
                counts[name] = self.shape(name)[3]
                if not known or known[0] == self.shape(name)[2]:
                    found.add(name)
            elif node.op in ("BiasAdd", "FusedBatchNorm"):
                counts[name] = self.shape(name)[0]
            elif node.op == "ConcatV2":
                counts[name] = sum(known) if len(known) == len(taken) else None
            elif node.op not in _OF_AS_MANY_CHANNELS:
                counts[name] = None
        return found

    def chain(self, kind: Kind, first: str, ops: Collection[str], group: object = None) -> Chain:
        """A convolution and the nodes of `ops` behind it that alone take what comes before. group: see `Chain`."""
        found = [first]
        while found[-1] not in self.outputs:
            takers = self.takers.get(found[-1], [])
            if len(takers) != 1 or self.nodes[takers[0]].op not in ops:
                break
            found.append(takers[0])
        return Chain(kind, tuple(found), first if group is None else group)


@dataclass(frozen=True)
class Chain:
    """A convolution and what follows it on each pixel of its result. Those of one group are one piece."""

    kind: Kind
    names: tuple[str, ...]
    group: object


def cut(layers: Layers, chains: Iterable[Chain]) -> list[Piece]:
    """A stage in the order in which its parts run: the chains, and all that lies between them."""
    owners: dict[str, Chain] = {}
    for each in chains:
        # Of two convolutions with a sum behind both, the first one has it.
        own = tuple(name for name in each.names if name not in owners)
        owners |= dict.fromkeys(own, Chain(each.kind, own, each.group))
    steps = _steps(layers, owners)
    parts: dict[tuple[int, object], list[str]] = {}
    for name, node in layers.nodes.items():
        if node.op not in ("Const", "Placeholder"):
            owner = owners.get(name)
            parts.setdefault((steps[name], None if owner is None else owner.group), []).append(name)
    pieces = []
    for _, own_names in sorted(parts.items(), key=lambda item: item[0][0]):
        stage = some_of(layers, own_names)
        if stage.outputs:
            owner = owners.get(own_names[0])
            pieces.append(Piece(stage, "net" if owner is None else owner.kind))
    return pieces


def _steps(layers: Layers, owners: dict[str, Chain]) -> dict[str, int]:
    """When each node runs. Even steps are ordinary parts, odd ones those of chains."""
    steps: dict[str, int] = {}
    for name, sources in layers.sources.items():
        owner = owners.get(name)
        if owner is None:
            latest = max((steps[source] for source in sources), default=0)
            steps[name] = latest + latest % 2
        elif name == owner.names[-1]:
            # Only here all is known that the nodes of the chain take.
            taken = {source for each in owner.names for source in layers.sources[each]}.difference(owner.names)
            latest = max((steps[source] for source in taken), default=0)
            steps |= dict.fromkeys(owner.names, latest + 1 + latest % 2)
    return steps


def some_of(layers: Layers, names: list[str]) -> StageGraph:
    """Some nodes as a stage of their own."""
    inside = set(names)
    taken = dict.fromkeys(source for name in names for source in layers.nodes[name].input if source not in inside)
    inputs = tuple(name for name in taken if layers.nodes[name].op != "Const")
    outputs = tuple(
        name for name in names if name in layers.outputs or not inside.issuperset(layers.takers.get(name, []))
    )
    graph = pb.GraphDef(node=[pb.NodeDef(name=name, op="Placeholder") for name in inputs])
    graph.node.extend(layers.nodes[name] for name in taken if name not in inputs)
    graph.node.extend(layers.nodes[name] for name in names)
    for node in graph.node:
        # Where a part does not begin with a convolution, the importer has nothing else to tell the order of axes from.
        if node.op != "Const":
            node.attr["data_format"].s = b"NHWC"
    return StageGraph(graph.SerializeToString(), inputs, outputs)
