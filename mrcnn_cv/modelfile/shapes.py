"""Shapes and arithmetic of a stage graph: what every layer puts out, and how many operations that takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.modelfile.graphdef import tensor_value
from mrcnn_cv.modelfile.protos import graph_pb2 as pb
from mrcnn_cv.modelfile.spec import StageGraph

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


def layers(stage: StageGraph, inputs: Mapping[str, Shape]) -> list[Layer]:
    """The layers of a stage in order, for input shapes (N, H, W, C).

    Raises ModelFileError where shapes do not fit together.
    """
    message = pb.GraphDef()
    message.ParseFromString(stage.graph_def)
    shapes: dict[str, Shape] = {}
    constants: dict[str, pb.NodeDef] = {}
    found: list[Layer] = []
    for node in message.node:
        if node.op == "Const":
            constants[node.name] = node
            continue
        if node.op == "Placeholder":
            shapes[node.name] = inputs[node.name]
            continue
        sources = [shapes[name] for name in node.input if name in shapes]
        values = [constants[name] for name in node.input if name in constants]
        shapes[node.name] = _SHAPES[node.op](node, sources, values)
        if min(shapes[node.name]) < 1:
            raise ModelFileError(f"the layer '{node.name}' has nothing left of its input: the image is too small")
        numbers = [value for value in values if value.attr["dtype"].type == pb.DT_FLOAT]
        weights = sum(prod(_dims(value)) for value in numbers) if node.op in _WEIGHTED else 0
        found.append(Layer(node.name, node.op, shapes[node.name], weights, _flops(node, shapes[node.name], values)))
    return found


def _dims(constant: pb.NodeDef) -> Shape:
    return tuple(dim.size for dim in constant.attr["value"].tensor.tensor_shape.dim)


def _flops(node: pb.NodeDef, output: Shape, values: list[pb.NodeDef]) -> int:
    elements = prod(output)
    if node.op == "Conv2D":
        return 2 * elements * prod(_dims(values[0])[:3])
    if node.op == "Conv2DBackpropInput":
        return 2 * elements * _dims(values[1])[3]
    if node.op == "DepthwiseConv2dNative":
        return 2 * elements * prod(_dims(values[0])[:2])
    if node.op == "MatMul":
        return 2 * elements * _dims(values[0])[0]
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


def _convolution(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    size, kernel = sources[0], _dims(values[0])
    # With fewer channels than there are, a convolution has groups.
    if size[3] != kernel[2] and (node.op != "Conv2D" or size[3] % kernel[2]):
        raise ModelFileError(f"the layer '{node.name}' takes {kernel[2]} channels but is given {size[3]}")
    channels = kernel[3] if node.op == "Conv2D" else kernel[2] * kernel[3]
    return (size[0], *_same_or_valid(node, size, (kernel[0], kernel[1])), channels)


def _pool(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    window = node.attr["ksize"].list.i
    return (sources[0][0], *_same_or_valid(node, sources[0], (window[1], window[2])), sources[0][3])


def _concat(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    if len({size[:3] for size in sources}) != 1:
        raise ModelFileError(f"the layer '{node.name}' joins maps of different sizes")
    return (*sources[0][:3], sum(size[3] for size in sources))


def _add(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    if len(set(sources)) != 1:
        raise ModelFileError(f"the layer '{node.name}' adds maps of different shapes")
    return sources[0]


def _multiply(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    larger = max(sources, key=prod)
    if any(size not in (larger, (larger[0], 1, 1, larger[3])) for size in sources):
        raise ModelFileError(f"the layer '{node.name}' multiplies maps of different shapes")
    return larger


def _matrix(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    rows, columns = _dims(values[0])
    if sources[0][-1] != rows:
        raise ModelFileError(f"the layer '{node.name}' takes {rows} numbers but is given {sources[0][-1]}")
    return (sources[0][0], columns)


def _pad(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    amounts = tensor_value(values[0]).sum(axis=1)
    return tuple(side + int(extra) for side, extra in zip(sources[0], amounts, strict=True))


def _space_to_batch(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    block, paddings = (tensor_value(value) for value in values)
    count, height, width, channels = sources[0]
    sides = (
        -(-(side + int(extra.sum())) // int(step))
        for side, extra, step in zip((height, width), paddings, block, strict=True)
    )
    return (count * int(block.prod()), *sides, channels)


def _batch_to_space(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    block = tensor_value(values[0])
    count, height, width, channels = sources[0]
    return (count // int(block.prod()), height * int(block[0]), width * int(block[1]), channels)


def _resize(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    if len(values) == 2:
        rows, columns = (int(tensor_value(value)) for value in values)
        return (sources[0][0], sources[0][1] * rows, sources[0][2] * columns, sources[0][3])
    height, width = (int(side) for side in tensor_value(values[0]))
    return (sources[0][0], height, width, sources[0][3])


def _transposed(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    height, width, channels, taken = _dims(values[1])
    if sources[0][3] != taken:
        raise ModelFileError(f"the layer '{node.name}' takes {taken} channels but is given {sources[0][3]}")
    return (sources[0][0], sources[0][1] * height, sources[0][2] * width, channels)


def _turned(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    return tuple(sources[0][axis] for axis in tensor_value(values[0]))


def _reshaped(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    sides = [int(side) for side in tensor_value(values[0])]
    if sides[:2] == [1, 1] and sources[0][0] != sides[3]:
        raise ModelFileError(f"the layer '{node.name}' takes rows of {sides[3]} numbers but is given {sources[0][0]}")
    rest = prod(sources[0]) // prod(side for side in sides if side != -1)
    return tuple(rest if side == -1 else side for side in sides)


def _unchanged(node: pb.NodeDef, sources: list[Shape], values: list[pb.NodeDef]) -> Shape:
    return sources[0]


_WEIGHTED = frozenset({"Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul", "BiasAdd", "FusedBatchNorm"})

_SHAPES: dict[str, Callable[[pb.NodeDef, list[Shape], list[pb.NodeDef]], Shape]] = {
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
    "BiasAdd": _unchanged,
    "Relu": _unchanged,
    "Relu6": _unchanged,
    "Sigmoid": _unchanged,
    "HardSigmoid": _unchanged,
    "HardSwish": _unchanged,
    "Mul": _multiply,
    "FusedBatchNorm": _unchanged,
}
