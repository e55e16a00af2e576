"""Shapes and arithmetic of a net: what every layer puts out, and what that takes in operations and memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.partial_shapes import output_shape

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


class ShapeInference:
    """A net without its weights: tells what its layers make of inputs of any size."""

    def __init__(self, net: ir.NetGraph) -> None:
        self.inputs = net.inputs
        self.outputs = net.outputs
        self._layers = [_without_numbers(layer) for layer in net]

    def layers(self, inputs: Mapping[str, Shape]) -> list[LayerShape]:
        """The layers in order, for input shapes (N, C, H, W) or (N, K).

        Raises ModelFileError where shapes do not fit together.
        """
        shapes = {name: inputs[name] for name in self.inputs}
        found: list[LayerShape] = []
        for layer in self._layers:
            output = shapes[layer.name] = _output(layer, [shapes[name] for name in layer.inputs])
            parameters = sum(array.size for array in layer.arrays())
            found.append(LayerShape(layer.name, layer.op, output, parameters, _flops(layer, output)))
        return found

    def results(self, inputs: Mapping[str, Shape]) -> list[Shape]:
        """The shapes of the outputs; an input may be one."""
        shapes = {**inputs} | {layer.name: layer.output for layer in self.layers(inputs)}
        return [shapes[name] for name in self.outputs]

    def peak_bytes(self, inputs: Mapping[str, Shape], layers: Iterable[LayerShape]) -> int:
        """Memory of the float32 maps that are there at the same time, at the worst moment, given what `layers` says."""
        sizes = {name: 4 * prod(shape) for name, shape in inputs.items()}
        sizes |= {layer.name: 4 * prod(layer.output) for layer in layers}
        last = {name: index for index, layer in enumerate(self._layers) for name in layer.inputs}
        last |= dict.fromkeys(self.outputs, len(self._layers))
        held = sum(sizes[name] for name in self.inputs)
        most = held
        for index, layer in enumerate(self._layers):
            held += sizes[layer.name]
            most = max(most, held)
            done = {name for name in (layer.name, *layer.inputs) if last.get(name, 0) <= index}
            held -= sum(sizes[name] for name in done)
        return most


def _without_numbers(layer: ir.Layer) -> ir.Layer:
    """The layer with arrays of the same shapes that take no memory."""
    if isinstance(layer, ir.Affine):
        return replace(layer, scale=_nothing(layer.scale), shift=_nothing(layer.shift))
    if isinstance(layer, ir.WEIGHTED):
        bias = None if layer.bias is None else _nothing(layer.bias)
        return replace(layer, weight=_nothing(layer.weight), bias=bias, scale=None)
    return layer


def _nothing(array: ir.Array) -> ir.Array:
    return np.broadcast_to(np.zeros((), array.dtype), array.shape)


def _output(layer: ir.Layer, sources: list[Shape]) -> Shape:
    """The shape of a layer's output; ModelFileError for inputs that it cannot take."""
    if isinstance(layer, _ON_MAPS) and any(len(size) != 4 for size in sources):
        raise ModelFileError(f"the layer '{layer.name}' ({layer.op}) takes maps but is given rows of numbers")
    if isinstance(layer, ir.Linear) and len(sources[0]) != 2:
        raise ModelFileError(f"the layer '{layer.name}' ({layer.op}) cannot take what it is given")
    reason = _misfit(layer, sources)
    if reason is not None:
        raise ModelFileError(f"the layer '{layer.name}' {reason}")
    output = tuple(side or 0 for side in output_shape(layer, sources))
    if min(output) < 1:
        raise ModelFileError(f"the layer '{layer.name}' has nothing left of its input: the image is too small")
    return output


def _misfit(layer: ir.Layer, sources: list[Shape]) -> str | None:
    """Why a layer cannot take what it is given; None: it can."""
    given = sources[0][1]
    match layer:
        case ir.Conv2d() | ir.ConvTranspose2d() if given != layer.in_channels:
            return f"takes {layer.in_channels} channels but is given {given}"
        case ir.Linear() if given != layer.in_features:
            return f"takes {layer.in_features} numbers but is given {given}"
        case ir.Affine() if given != len(layer.scale):
            return f"has numbers for {len(layer.scale)} channels of {given}"
        case ir.MaxPool2d() | ir.AvgPool2d() if layer.padding != "same" and max(layer.padding) >= min(layer.kernel):
            return "pads as much as its window is large"
        case ir.Concat() if len({(size[0], *size[2:]) for size in sources}) != 1:
            return "joins maps of different sizes"
        case ir.Add() if len(set(sources)) != 1:
            return "adds maps of different shapes"
        case ir.Mul():
            larger = max(sources, key=prod)
            if any(size not in (larger, (*larger[:2], 1, 1)) for size in sources):
                return "multiplies maps of different shapes"
    return None


def _flops(layer: ir.Layer, output: Shape) -> int:
    elements = prod(output)
    match layer:
        case ir.Conv2d() | ir.Linear() | ir.ConvTranspose2d():
            taken = len(layer.weight) if isinstance(layer, ir.ConvTranspose2d) else prod(layer.weight.shape[1:])
            return 2 * elements * taken + (0 if layer.bias is None else elements)
        case ir.MaxPool2d() | ir.AvgPool2d():
            return elements * prod(layer.kernel)
        case ir.Affine():
            return 2 * elements
        case ir.Add() | ir.Relu() | ir.Relu6() | ir.GlobalAvgPool():
            return elements
    return 0


_ON_MAPS = (
    *(ir.Conv2d, ir.ConvTranspose2d, ir.MaxPool2d, ir.AvgPool2d, ir.GlobalAvgPool),
    *(ir.Concat, ir.Pad, ir.Mul, ir.Upsample, ir.Resize),
)
