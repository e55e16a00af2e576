"""Shapes and arithmetic of a net: what every layer puts out, and what that takes in operations and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import (
    ACTIVATIONS,
    WEIGHTED,
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool,
    Layer,
    Linear,
    MaxPool2d,
    Mul,
    NetGraph,
    Pad,
    Padding,
    Pair,
    Relu,
    Relu6,
    Resize,
    Upsample,
)
from mrcnn_cv.graph.partial_shapes import along, window_output

Shape = tuple[int, ...]
"""(N, C, H, W) of maps, (N, K) of rows."""


@dataclass(frozen=True)
class LayerShape:
    """What one layer makes. `flops` counts a multiplication and an addition as two; `parameters`: weights, biases."""

    name: str
    op: str
    output: Shape
    parameters: int
    flops: int


class _Planned(NamedTuple):
    """A layer without its numbers. weights: their shape, () where there are none."""

    layer: Layer
    weights: Shape
    biased: bool
    parameters: int


class ShapeInference:
    """A net without its weights: tells what its layers make of inputs of any size."""

    def __init__(self, net: NetGraph) -> None:
        self.inputs = net.inputs
        self.outputs = net.outputs
        self._planned = [_without_numbers(layer) for layer in net]

    def layers(self, inputs: Mapping[str, Shape]) -> list[LayerShape]:
        """The layers in order, for input shapes (N, C, H, W) or (N, K).

        Raises ModelFileError where shapes do not fit together.
        """
        shapes = {name: inputs[name] for name in self.inputs}
        found: list[LayerShape] = []
        for planned in self._planned:
            layer = planned.layer
            output = _output(planned, [shapes[name] for name in layer.inputs])
            shapes[layer.name] = output
            found.append(LayerShape(layer.name, layer.op, output, planned.parameters, _flops(planned, output)))
        return found

    def results(self, inputs: Mapping[str, Shape]) -> list[Shape]:
        """The shapes of the outputs; an input may be one."""
        shapes = {**inputs} | {layer.name: layer.output for layer in self.layers(inputs)}
        return [shapes[name] for name in self.outputs]

    def peak_bytes(self, inputs: Mapping[str, Shape], layers: Iterable[LayerShape]) -> int:
        """Memory of the float32 maps that are there at the same time, at the worst moment, given what `layers` says."""
        sizes = {name: 4 * prod(shape) for name, shape in inputs.items()}
        sizes |= {layer.name: 4 * prod(layer.output) for layer in layers}
        last = {name: index for index, planned in enumerate(self._planned) for name in planned.layer.inputs}
        last |= dict.fromkeys(self.outputs, len(self._planned))
        held = sum(sizes[name] for name in self.inputs)
        most = held
        for index, planned in enumerate(self._planned):
            layer = planned.layer
            held += sizes[layer.name]
            most = max(most, held)
            done = {name for name in (layer.name, *layer.inputs) if last.get(name, 0) <= index}
            held -= sum(sizes[name] for name in done)
        return most


def _without_numbers(layer: Layer) -> _Planned:
    parameters = sum(array.size for array in layer.arrays())
    if isinstance(layer, Affine):
        none = np.empty(0)
        return _Planned(replace(layer, scale=none, shift=none), layer.scale.shape, False, parameters)
    if isinstance(layer, WEIGHTED):
        bare = replace(layer, weight=np.empty(0, np.float32), bias=None, scale=None)
        return _Planned(bare, layer.weight.shape, layer.bias is not None, parameters)
    return _Planned(layer, (), False, parameters)


def _output(planned: _Planned, sources: list[Shape]) -> Shape:
    """The shape of a layer's output; ModelFileError for inputs that it cannot take."""
    layer = planned.layer
    if isinstance(layer, _ON_MAPS) and any(len(size) != 4 for size in sources):
        raise ModelFileError(f"the layer '{layer.name}' ({layer.op}) takes maps but is given rows of numbers")
    try:
        output = _SHAPES[type(layer)](layer, sources, planned.weights)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise ModelFileError(f"the layer '{layer.name}' ({layer.op}) cannot take what it is given") from error
    if min(output) < 1:
        raise ModelFileError(f"the layer '{layer.name}' has nothing left of its input: the image is too small")
    return output


def _flops(planned: _Planned, output: Shape) -> int:
    layer, elements = planned.layer, prod(output)
    bias = elements if planned.biased else 0
    if isinstance(layer, Conv2d | Linear):
        return 2 * elements * prod(planned.weights[1:]) + bias
    if isinstance(layer, ConvTranspose2d):
        return 2 * elements * planned.weights[0] + bias
    if isinstance(layer, MaxPool2d | AvgPool2d):
        return elements * prod(layer.kernel)
    if isinstance(layer, Affine):
        return 2 * elements
    return elements if isinstance(layer, Add | Relu | Relu6 | GlobalAvgPool) else 0


def _sides(size: Shape, window: Pair, stride: Pair, padding: Padding) -> Pair:
    """(height, width) of what a window that moves over a map makes of it."""
    height, width = (
        window_output(side, length, step, along(padding, axis))
        for axis, (side, length, step) in enumerate(zip(size[2:], window, stride, strict=True))
    )
    return height, width


def _convolution(layer: Conv2d, sources: list[Shape], weights: Shape) -> Shape:
    size = sources[0]
    _check_channels(layer, size, weights[1] * layer.groups)
    height, width = ((side - 1) * step + 1 for side, step in zip(weights[2:], layer.dilation, strict=True))
    return (size[0], weights[0], *_sides(size, (height, width), layer.stride, layer.padding))


def _transposed(layer: ConvTranspose2d, sources: list[Shape], weights: Shape) -> Shape:
    size = sources[0]
    _check_channels(layer, size, weights[0])
    return (size[0], weights[1], size[2] * weights[2], size[3] * weights[3])


def _check_channels(layer: Layer, size: Shape, taken: int) -> None:
    if size[1] != taken:
        raise ModelFileError(f"the layer '{layer.name}' takes {taken} channels but is given {size[1]}")


def _linear(layer: Linear, sources: list[Shape], weights: Shape) -> Shape:
    (count, given), taken = sources[0], prod(weights[1:])
    if given != taken:
        raise ModelFileError(f"the layer '{layer.name}' takes {taken} numbers but is given {given}")
    return (count, weights[0])


def _affine(layer: Affine, sources: list[Shape], weights: Shape) -> Shape:
    if weights != (sources[0][1],):
        raise ModelFileError(f"the layer '{layer.name}' has numbers for {weights[0]} channels of {sources[0][1]}")
    return sources[0]


def _pool(layer: MaxPool2d | AvgPool2d, sources: list[Shape], weights: Shape) -> Shape:
    if layer.padding != "same" and any(amount >= min(layer.kernel) for amount in layer.padding):
        raise ModelFileError(f"the layer '{layer.name}' pads as much as its window is large")
    return (*sources[0][:2], *_sides(sources[0], layer.kernel, layer.stride, layer.padding))


def _concat(layer: Concat, sources: list[Shape], weights: Shape) -> Shape:
    if len({(size[0], *size[2:]) for size in sources}) != 1:
        raise ModelFileError(f"the layer '{layer.name}' joins maps of different sizes")
    return (sources[0][0], sum(size[1] for size in sources), *sources[0][2:])


def _add(layer: Add, sources: list[Shape], weights: Shape) -> Shape:
    if len(set(sources)) != 1:
        raise ModelFileError(f"the layer '{layer.name}' adds maps of different shapes")
    return sources[0]


def _multiply(layer: Mul, sources: list[Shape], weights: Shape) -> Shape:
    larger = max(sources, key=prod)
    if any(size not in (larger, (*larger[:2], 1, 1)) for size in sources):
        raise ModelFileError(f"the layer '{layer.name}' multiplies maps of different shapes")
    return larger


def _pad(layer: Pad, sources: list[Shape], weights: Shape) -> Shape:
    (count, channels, height, width), (top, left, bottom, right) = sources[0], layer.padding
    return (count, channels, height + top + bottom, width + left + right)


def _upsample(layer: Upsample, sources: list[Shape], weights: Shape) -> Shape:
    count, channels, height, width = sources[0]
    return (count, channels, height * layer.factors[0], width * layer.factors[1])


def _resize(layer: Resize, sources: list[Shape], weights: Shape) -> Shape:
    return (*sources[0][:2], *layer.size)


def _unchanged(layer: Layer, sources: list[Shape], weights: Shape) -> Shape:
    return sources[0]


_ON_MAPS = (Conv2d, ConvTranspose2d, MaxPool2d, AvgPool2d, GlobalAvgPool, Concat, Pad, Mul, Upsample, Resize)

_SHAPES: dict[type[Layer], Callable[[Any, list[Shape], Shape], Shape]] = {
    Conv2d: _convolution,
    ConvTranspose2d: _transposed,
    Linear: _linear,
    Affine: _affine,
    MaxPool2d: _pool,
    AvgPool2d: _pool,
    GlobalAvgPool: lambda layer, sources, weights: (*sources[0][:2], 1, 1),
    Concat: _concat,
    Add: _add,
    Mul: _multiply,
    Pad: _pad,
    Upsample: _upsample,
    Resize: _resize,
    Flatten: lambda layer, sources, weights: (sources[0][0], prod(sources[0][1:])),
    **dict.fromkeys(ACTIVATIONS, _unchanged),
}
