"""Which convolutions of a head cv2.dnn does slowly, and the head taken apart around them.

On maps of 12 x 12 and more cv2.dnn computes a 3x3 convolution by Winograd's minimal filtering (Lavin and Gray, 2016),
on smaller ones without it, in several times the time. Heads work on many small maps: laid out on one large sheet, with
a zero between neighbours, which is the border that SAME pads with, they give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mrcnn_cv.modelfile.protos import graph_pb2 as pb
from mrcnn_cv.modelfile.spec import StageGraph

Size = tuple[int, int]

SMALLEST_FAST_SIDE = 12
MOST_PIXELS_OF_TINY = 16
"""Maps of so few pixels have a fast way of their own."""
LEAST_CHANNELS = 32
"""With fewer, laying out the maps takes longer than it saves."""

_POINTWISE = frozenset({"BiasAdd", "Relu", "Relu6", "Sigmoid", "HardSigmoid", "HardSwish", "FusedBatchNorm"})
_WINDOWED = frozenset({"Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"})
_JOINING = frozenset({"Add", "Mul", "ConcatV2"})


@dataclass(frozen=True)
class Piece:
    """A part of a stage. on_sheet: its one input is laid out on a sheet, and its one output picked up from there."""

    stage: StageGraph
    on_sheet: bool


def pieces_of(stage: StageGraph, size: Size) -> list[Piece]:
    """`stage` in the order in which its parts run, for input maps of `size`; just one where nothing is slow."""
    graph = pb.GraphDef()
    graph.ParseFromString(stage.graph_def)
    nodes = {node.name: node for node in graph.node}
    slow = _slow(graph, stage, size)
    if not slow:
        return [Piece(stage, False)]
    # A slow convolution takes with it what works on each pixel of its result, and nobody else wants to see before.
    chains = {name: _chain(name, graph, stage.outputs) for name in slow}
    chained = {name: head for head, chain in chains.items() for name in chain}
    step: dict[str, int] = {}
    for node in graph.node:
        sources = [name for name in node.input if nodes[name].op != "Const"]
        head = chained.get(node.name)
        if head is not None and head != node.name:
            step[node.name] = step[head]
        else:
            # Even steps are ordinary parts, odd ones those of slow convolutions.
            latest = max((step[name] for name in sources), default=0)
            step[node.name] = latest + 1 + latest % 2 if head is not None else latest + latest % 2
    return list(_cut(graph, stage, step, chains))


def _slow(graph: pb.GraphDef, stage: StageGraph, size: Size) -> list[str]:
    """Names of the 3x3 convolutions on maps that are too small to be fast."""
    sizes: dict[str, Size | None] = dict.fromkeys(stage.inputs, size)
    kernels = {node.name: _kernel(node) for node in graph.node if node.op == "Const"}
    slow = []
    for node in graph.node:
        sources = [sizes[name] for name in node.input if name in sizes]
        if not sources or sources[0] is None:
            sizes.setdefault(node.name, None)
            continue
        height, width = sources[0]
        strides = list(node.attr["strides"].list.i)[1:3]
        is_same = node.attr["padding"].s == b"SAME"
        if node.op in _POINTWISE | _JOINING:
            sizes[node.name] = (height, width)
        elif node.op in _WINDOWED and is_same:
            sizes[node.name] = (-(-height // strides[0]), -(-width // strides[1]))
        kernel = kernels.get(node.input[-1], ())
        if (
            node.op == "Conv2D"
            and is_same
            and strides == [1, 1]
            and kernel[:2] == (3, 3)
            and min(kernel[2:]) >= LEAST_CHANNELS
            and min(height, width) < SMALLEST_FAST_SIDE
            and height * width > MOST_PIXELS_OF_TINY
        ):
            slow.append(node.name)
    return slow


def _kernel(node: pb.NodeDef) -> tuple[int, ...]:
    return tuple(dim.size for dim in node.attr["value"].tensor.tensor_shape.dim)


def _chain(first: str, graph: pb.GraphDef, outputs: Iterable[str]) -> list[str]:
    chain = [first]
    while chain[-1] not in outputs:
        takers = [node for node in graph.node if chain[-1] in node.input]
        if len(takers) != 1 or takers[0].op not in _POINTWISE:
            break
        chain.append(takers[0].name)
    return chain


def _cut(graph: pb.GraphDef, stage: StageGraph, step: dict[str, int], chains: dict[str, list[str]]) -> Iterable[Piece]:
    nodes = {node.name: node for node in graph.node}
    for number in range(max(step.values()) + 1):
        own = [node for node in graph.node if step[node.name] == number and node.op not in ("Const", "Placeholder")]
        parts = [[nodes[name] for name in chain] for head, chain in chains.items() if step[head] == number]
        for part in parts if number % 2 else [own]:
            inside = {node.name for node in part}
            taken = [name for node in part for name in node.input if name not in inside]
            inputs = tuple(dict.fromkeys(name for name in taken if nodes[name].op != "Const"))
            constants = [nodes[name] for name in dict.fromkeys(taken) if nodes[name].op == "Const"]
            wanted = {name for node in graph.node if node.name not in inside for name in node.input} | set(
                stage.outputs
            )
            outputs = tuple(node.name for node in part if node.name in wanted)
            if outputs:
                yield Piece(_stage(inputs, outputs, [*constants, *part]), bool(number % 2))


def _stage(inputs: tuple[str, ...], outputs: tuple[str, ...], nodes: Iterable[pb.NodeDef]) -> StageGraph:
    graph = pb.GraphDef(node=[pb.NodeDef(name=name, op="Placeholder") for name in inputs])
    graph.node.extend(nodes)
    for node in graph.node:
        # Where a part does not begin with a convolution, the importer has nothing else to tell the order of axes from.
        if node.op != "Const":
            node.attr["data_format"].s = b"NHWC"
    return StageGraph(graph.SerializeToString(), inputs, outputs)
