"""Shapes and arithmetic of a stage graph: what every layer puts out, and what that takes in operations and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.graphdef import tensor_value
from mrcnn_cv.model.definition import StageGraph

Shape = tuple[int, ...]
"""NHWC as the stage graph is written, or (N, C) behind a Flatten."""


@dataclass(frozen=True)
class Layer:
    """One layer of a stage. `flops` counts a multiplication and an addition as two; `parameters`: weights, biases."""

    name: str
    op: str
    output: Shape
    parameters: int
    flops: int


class Constant(NamedTuple):
    """What a layer is given as a constant: the shape of weights, or numbers that decide over shapes."""

    shape: Shape
    numbers: NDArray[Any] | None


class Plan:
    """A stage without its weights: tells what its layers make of inputs of any size."""

    def __init__(self, stage: StageGraph) -> None:
        self.outputs = stage.outputs
        self._inputs: list[str] = []
        self._constants: dict[str, Constant] = {}
        self._nodes: list[pb.NodeDef] = []
        message = pb.GraphDef()
        message.ParseFromString(stage.graph_def)
        for node in message.node:
            if node.op == "Const":
                self._constants[node.name] = _constant(node)
            elif node.op == "Placeholder":
                self._inputs.append(node.name)
            else:
                # A part of a message keeps all of it in memory.
                self._nodes.append(pb.NodeDef())
                self._nodes[-1].CopyFrom(node)

    def layers(self, inputs: Mapping[str, Shape]) -> list[Layer]:
        """The layers in order, for input shapes (N, H, W, C).

        Raises ModelFileError where shapes do not fit together.
        """
        shapes = {name: inputs[name] for name in self._inputs}
        undilated: dict[str, Shape] = {}
        found: list[Layer] = []
        for node in self._nodes:
            sources = [shapes[name] for name in node.input if name in shapes]
            values = [self._constants[name] for name in node.input if name in self._constants]
            output = _output(node, sources, values)
            if node.op == "SpaceToBatchND":
                undilated[node.name] = sources[0]
            elif node.input[0] in undilated:
                undilated[node.name] = undilated[node.input[0]]
            if node.op == "BatchToSpaceND":
                # A dilated convolution keeps the size; what fills up its last blocks goes.
                output = (*undilated.pop(node.name, output)[:3], output[3])
            shapes[node.name] = output
            weights = sum(prod(value.shape) for value in values if value.numbers is None)
            found.append(
                Layer(node.name, node.op, output, weights if node.op in _WEIGHTED else 0, _flops(node, output, values))
            )
        return found

    def most_bytes(self, inputs: Mapping[str, Shape], layers: Iterable[Layer]) -> int:
        """Memory of the float32 maps that are there at the same time, at the worst moment, given what `layers` says."""
        sizes = {name: 4 * prod(shape) for name, shape in inputs.items()}
        sizes |= {layer.name: 4 * prod(layer.output) for layer in layers}
        last = {name: index for index, node in enumerate(self._nodes) for name in node.input}
        last |= dict.fromkeys(self.outputs, len(self._nodes))
        held = sum(sizes[name] for name in self._inputs)
        most = held
        for index, node in enumerate(self._nodes):
            held += sizes[node.name]
            most = max(most, held)
            done = {name for name in (node.name, *node.input) if name in sizes and last.get(name, 0) <= index}
            held -= sum(sizes[name] for name in done)
        return most


def layers(stage: StageGraph, inputs: Mapping[str, Shape]) -> list[Layer]:
    """See `Plan.layers`."""
    return Plan(stage).layers(inputs)


def _constant(node: pb.NodeDef) -> Constant:
    shape = tuple(dim.size for dim in node.attr["value"].tensor.tensor_shape.dim)
    return Constant(shape, None if node.attr["dtype"].type == pb.DT_FLOAT else tensor_value(node))


def _output(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    """The shape of a layer's output; ModelFileError for inputs that it cannot take."""
    if node.op in _ON_MAPS and any(len(size) != 4 for size in sources):
        raise ModelFileError(f"the layer '{node.name}' ({node.op}) takes maps but is given rows of numbers")
    try:
        output = _SHAPES[node.op](node, sources, values)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise ModelFileError(f"the layer '{node.name}' ({node.op}) cannot take what it is given") from error
    if min(output) < 1:
        raise ModelFileError(f"the layer '{node.name}' has nothing left of its input: the image is too small")
    return output


def _numbers(constant: Constant) -> NDArray[Any]:
    if constant.numbers is None:
        raise ValueError("weights where numbers are needed")
    return constant.numbers


def _flops(node: pb.NodeDef, output: Shape, values: list[Constant]) -> int:
    elements = prod(output)
    if node.op == "Conv2D":
        return 2 * elements * prod(values[0].shape[:3])
    if node.op == "Conv2DBackpropInput":
        return 2 * elements * values[1].shape[3]
    if node.op == "DepthwiseConv2dNative":
        return 2 * elements * prod(values[0].shape[:2])
    if node.op == "MatMul":
        return 2 * elements * values[0].shape[0]
    if node.op in ("MaxPool", "AvgPool"):
        return elements * prod(node.attr["ksize"].list.i)
    return elements if node.op in ("BiasAdd", "Add", "Relu", "Relu6", "Mean") else 0


def _same_or_valid(node: pb.NodeDef, size: Shape, window: tuple[int, int]) -> tuple[int, int]:
    strides = list(node.attr["strides"].list.i)[1:3]
    if node.attr["padding"].s == b"SAME":
        height, width = (-(-side // stride) for side, stride in zip(size[1:3], strides, strict=True))
    else:
        pads = list(node.attr["explicit_paddings"].list.i)[2:6] or [0, 0, 0, 0]
        height, width = (
            (side + before + after - length) // stride + 1
            for side, before, after, length, stride in zip(
                size[1:3], pads[::2], pads[1::2], window, strides, strict=True
            )
        )
    return height, width


def _convolution(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    size, kernel = sources[0], values[0].shape
    # With fewer channels than there are, a convolution has groups.
    groups = size[3] // kernel[2] if node.op == "Conv2D" else 1
    if size[3] != kernel[2] * groups or kernel[3] % groups:
        raise ModelFileError(f"the layer '{node.name}' takes {kernel[2]} channels but is given {size[3]}")
    channels = kernel[3] if node.op == "Conv2D" else kernel[2] * kernel[3]
    return (size[0], *_same_or_valid(node, size, (kernel[0], kernel[1])), channels)


def _pool(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    window = node.attr["ksize"].list.i
    if any(amount >= min(window[1:3]) for amount in node.attr["explicit_paddings"].list.i):
        raise ModelFileError(f"the layer '{node.name}' pads as much as its window is large")
    return (sources[0][0], *_same_or_valid(node, sources[0], (window[1], window[2])), sources[0][3])


def _concat(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    if len({size[:3] for size in sources}) != 1:
        raise ModelFileError(f"the layer '{node.name}' joins maps of different sizes")
    return (*sources[0][:3], sum(size[3] for size in sources))


def _add(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    if len(set(sources)) != 1:
        raise ModelFileError(f"the layer '{node.name}' adds maps of different shapes")
    return sources[0]


def _multiply(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    larger = max(sources, key=prod)
    if any(size not in (larger, (larger[0], 1, 1, larger[3])) for size in sources):
        raise ModelFileError(f"the layer '{node.name}' multiplies maps of different shapes")
    return larger


def _matrix(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    (rows, columns), (_, given) = values[0].shape, sources[0]
    if given != rows:
        raise ModelFileError(f"the layer '{node.name}' takes {rows} numbers but is given {given}")
    return (sources[0][0], columns)


def _pad(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    amounts = _numbers(values[0]).sum(axis=1)
    return tuple(side + int(extra) for side, extra in zip(sources[0], amounts, strict=True))


def _space_to_batch(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    block, paddings = (_numbers(value) for value in values)
    count, height, width, channels = sources[0]
    sides = (
        -(-(side + int(extra.sum())) // int(step))
        for side, extra, step in zip((height, width), paddings, block, strict=True)
    )
    return (count * int(block.prod()), *sides, channels)


def _batch_to_space(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    block = _numbers(values[0])
    count, height, width, channels = sources[0]
    return (count // int(block.prod()), height * int(block[0]), width * int(block[1]), channels)


def _resize(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    if len(values) == 2:
        rows, columns = (int(_numbers(value)) for value in values)
        return (sources[0][0], sources[0][1] * rows, sources[0][2] * columns, sources[0][3])
    height, width = (int(side) for side in _numbers(values[0]))
    return (sources[0][0], height, width, sources[0][3])


def _transposed(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    height, width, channels, taken = values[1].shape
    if sources[0][3] != taken:
        raise ModelFileError(f"the layer '{node.name}' takes {taken} channels but is given {sources[0][3]}")
    return (sources[0][0], sources[0][1] * height, sources[0][2] * width, channels)


def _turned(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    return tuple(side for _, side in sorted(zip(_numbers(values[0]).tolist(), sources[0], strict=True)))


def _reshaped(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    sides = [int(side) for side in _numbers(values[0])]
    if sides[:2] == [1, 1] and sources[0][0] != sides[3]:
        raise ModelFileError(f"the layer '{node.name}' takes rows of {sides[3]} numbers but is given {sources[0][0]}")
    rest = prod(sources[0]) // prod(side for side in sides if side != -1)
    return tuple(rest if side == -1 else side for side in sides)


def _by_channel(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    if any(value.shape != sources[0][-1:] for value in values):
        raise ModelFileError(f"the layer '{node.name}' has numbers for {values[0].shape} channels of {sources[0][-1]}")
    return sources[0]


def _unchanged(node: pb.NodeDef, sources: list[Shape], values: list[Constant]) -> Shape:
    return sources[0]


_ON_MAPS = frozenset(
    {
        *("Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "MaxPool", "AvgPool", "ConcatV2", "Pad", "Mul"),
        *("SpaceToBatchND", "BatchToSpaceND", "ResizeBilinear", "ResizeNearestNeighbor", "Mean"),
    }
)

_WEIGHTED = frozenset({"Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul", "BiasAdd", "FusedBatchNorm"})

_SHAPES: dict[str, Callable[[pb.NodeDef, list[Shape], list[Constant]], Shape]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _convolution,
    "Conv2DBackpropInput": _transposed,
    "MaxPool": _pool,
    "AvgPool": _pool,
    "ConcatV2": _concat,
    "Add": _add,
    "MatMul": _matrix,
    "Pad": _pad,
    "SpaceToBatchND": _space_to_batch,
    "BatchToSpaceND": _batch_to_space,
    "ResizeBilinear": _resize,
    "ResizeNearestNeighbor": _resize,
    "Mean": lambda node, sources, values: (sources[0][0], 1, 1, sources[0][3]),
    "Flatten": lambda node, sources, values: (sources[0][0], prod(sources[0][1:])),
    "Transpose": _turned,
    "Reshape": _reshaped,
    "BiasAdd": _by_channel,
    "Relu": _unchanged,
    "Relu6": _unchanged,
    "Sigmoid": _unchanged,
    "HardSigmoid": _unchanged,
    "HardSwish": _unchanged,
    "Mul": _multiply,
    "FusedBatchNorm": _by_channel,
}
