"""Build a NetGraph layer by layer, within bounds: what a file asks for may be out of all proportion.

Everything that an importer adds goes through `NetBuilder.add`, which checks the numbers that need no shapes; whether
layers fit together is for `graph/shape_inference.py`. Weights are looked at once, in pieces, and never copied.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.limits import MAX_WEIGHT_BYTES
from mrcnn_cv.graph.partial_shapes import Window

MAX_LAYERS = 1 << 14
"""Of a net, its inputs and constants among them; the largest nets have 3,000."""

MAX_ROW = 1 << 24
"""Numbers of a row that a fully connected layer takes or makes."""

MAX_ENLARGED = 8
"""By a transposed convolution; models have 2. With a kernel of 64 x 64 OpenCV 5.0 takes seconds for ten pixels."""

MAX_WINDOW = 64
"""Sides, strides and dilations of windows, cells of padding, repetitions of pixels."""

MAX_RESIZED = 1024
"""Cells on a side of a map of a fixed size."""

_PIECE = 1 << 16
"""Numbers that are looked at together: they fit into the processor's cache."""


class NetBuilder:
    """A NetGraph in the making. Names of its inputs are taken as they are. layers: those added so far, by name."""

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self._inputs = inputs
        self.layers: dict[str, ir.Layer] = {}
        self._names = set(inputs)
        self._again: Counter[str] = Counter()
        self._count = len(inputs)
        self._bytes = 0
        self._rows: set[str] = set()

    def add(self, layer_class: type[ir.Layer], name: str, inputs: Sequence[str], **fields: Any) -> str:
        """Append a layer; returns its name, which is `name` with "_" and a number behind where it is there already.

        fields: those of the layer's class; zero biases become none, and a kernel of one cell is not dilated. A bias of
        one number is that of all channels. A row is not flattened once more: then the name is that of the row. Raises
        ModelFileError for numbers out of bounds or not finite, ValueError for an input that was not added before.
        """
        missing = [each for each in inputs if each not in self._names]
        if missing:
            raise ValueError(f"the layer '{name}' takes '{missing[0]}', which is not there yet")
        if layer_class is ir.Flatten and self._rows.issuperset(inputs):
            return inputs[0]
        if layer_class in ir.WEIGHTED:
            fields = _weights(layer_class, name, fields)
        elif layer_class is ir.Affine:
            fields = _affine(name, fields)
        layer = layer_class(name=self._unique(name), inputs=tuple(inputs), **fields)
        self._check_amounts(layer)
        _check_bounds(layer)
        for array, what in zip(layer.arrays(), ("weights", "biases"), strict=False):
            check_finite(array, f"{name}/{what}")
        self.layers[layer.name] = layer
        if isinstance(layer, ir.Linear | ir.Flatten) or self._rows.issuperset(inputs):
            self._rows.add(layer.name)
        return layer.name

    def finish(self, outputs: Sequence[str]) -> ir.NetGraph:
        """The net; layers that no output needs are left out."""
        return without_unused(ir.NetGraph(self._inputs, tuple(outputs), tuple(self.layers.values())))

    def _check_amounts(self, layer: ir.Layer) -> None:
        arrays = layer.arrays()
        self._count += 1 + len(arrays)
        if self._count > MAX_LAYERS:
            raise ModelFileError(f"has a net of more than {MAX_LAYERS} layers and constants, so it is not a detector's")
        self._bytes += engine_bytes(layer)
        if self._bytes > MAX_WEIGHT_BYTES:
            raise ModelFileError("repeats its weights so often that they would not fit into memory")

    def _unique(self, name: str) -> str:
        """Counted, so that names that come a thousand times stay short."""
        own = name
        while own in self._names:
            self._again[name] += 1
            own = f"{name}_" if self._again[name] == 1 else f"{name}_{self._again[name]}"
        self._names.add(own)
        return own


def engine_bytes(layer: ir.Layer) -> int:
    """Memory of a layer's weights as an engine holds them: in float32, wherever they lie in the file."""
    return 4 * sum(array.size for array in layer.arrays())


def check_weight_bytes(net: ir.NetGraph) -> None:
    """ModelFileError where the weights of a net, each as often as it is used, are more than MAX_WEIGHT_BYTES."""
    if sum(engine_bytes(layer) for layer in net) > MAX_WEIGHT_BYTES:
        raise ModelFileError("repeats its weights so often that they would not fit into memory")


def without_unused(net: ir.NetGraph) -> ir.NetGraph:
    """The net without the layers that no output needs."""
    needed = set(net.outputs)
    kept: list[ir.Layer] = []
    for layer in reversed(net.layers):
        if layer.name in needed:
            needed.update(layer.inputs)
            kept.append(layer)
    return replace(net, layers=tuple(reversed(kept)))


def largest(array: ir.Array) -> float:
    """The largest magnitude in an array; not finite where one of its numbers is not. Looks at it in pieces."""
    found = 0.0
    for piece in _pieces(array):
        most, least = float(piece.max()), float(piece.min())
        if not (math.isfinite(most) and math.isfinite(least)):
            return math.nan
        found = max(found, most, -least)
    return found


def check_finite(array: ir.Array, what: str) -> None:
    """ModelFileError where an array holds anything but numbers."""
    if all(_is_surely_finite(piece) for piece in _pieces(array)):
        return
    if not math.isfinite(largest(array)):
        raise ModelFileError(f"the numbers of '{what}' are not all finite: the training has diverged")


def _is_surely_finite(piece: ir.Array) -> bool:
    """Whether the sum of its squares, for which it is looked at only once, is a number."""
    if piece.dtype != np.float32 or not piece.flags.c_contiguous:
        return False
    flat = piece.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.dot(flat, flat))


def _pieces(array: ir.Array) -> Iterator[ir.Array]:
    """Views that together are the array, in the order of its memory."""
    if array.size == 0:
        return
    if array.size <= _PIECE:
        yield array
        return
    array = array.transpose(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
        for start in range(0, flat.size, _PIECE):
            yield flat[start : start + _PIECE]
        return
    if len(array) == 1:
        yield from _pieces(array[0])
        return
    step = max(1, _PIECE * len(array) // array.size)
    for start in range(0, len(array), step):
        piece = array[start : start + step]
        if step == 1:
            yield from _pieces(piece[0])
        else:
            yield piece


_AXES: dict[type[ir.Layer], tuple[int, int, str]] = {
    ir.Conv2d: (4, 0, "convolution"),
    ir.ConvTranspose2d: (4, 1, "transposed convolution"),
    ir.Linear: (2, 0, "fully connected layer"),
}
"""Least axes of the weights, which of them are the outputs, and what the layer is called."""


def _weights(layer_class: type[ir.Layer], name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a layer with weights: their shapes checked, biases of float32, or None."""
    axes, out, what = _AXES[layer_class]
    weight: ir.Array = fields["weight"]
    enough = weight.ndim >= axes if layer_class is ir.Linear else weight.ndim == axes
    if not enough or 0 in weight.shape or weight.dtype.kind != "f":
        raise ModelFileError(f"has a {what} '{name}' with weights of the shape {list(weight.shape)}")
    channels = weight.shape[out]
    bias = fields.get("bias")
    if bias is not None:
        fields = {**fields, "bias": _vector(name, bias, channels, np.float32) if bias.any() else None}
    if fields.get("scale") is not None:
        scale = _vector(name, fields["scale"], channels, np.float64)
        check_finite(scale, f"{name}/scale")
        fields = {**fields, "scale": scale}
    if layer_class is ir.Conv2d and weight.shape[2:] == (1, 1):
        # A dilation moves nothing there; TensorFlow 1 dilates all layers of a block, these too.
        fields = {**fields, "dilation": (1, 1)}
    return fields


def _vector(name: str, values: ir.Array, channels: int, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """A number for each channel; one number is that of all."""
    if values.size not in (1, channels):
        raise ModelFileError(f"the node '{name}' has {channels} channels but {values.size} numbers for them")
    with np.errstate(over="ignore"):
        return np.broadcast_to(values.ravel().astype(dtype, copy=False), channels)


def _affine(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    scale, shift = (np.asarray(fields[key], dtype=np.float64).ravel() for key in ("scale", "shift"))
    if len({scale.size, shift.size} - {1}) > 1:
        raise ModelFileError(f"the node '{name}' has {scale.size} factors but {shift.size} numbers to add")
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        raise ModelFileError(f"the weights of '{name}' are not all finite numbers: the training has diverged")
    scale, shift = np.broadcast_arrays(scale, shift)
    return {**fields, "scale": scale, "shift": shift}


def _check_bounds(layer: ir.Layer) -> None:
    """ModelFileError for numbers of a layer that are out of bounds, whatever it is given."""
    name = f"'{layer.name}'"
    count = len(layer.inputs)
    if not (count >= 1 if isinstance(layer, ir.Concat) else count == (2 if isinstance(layer, ir.Add | ir.Mul) else 1)):
        raise ModelFileError(f"the node {name} ({layer.op}) takes {count} maps, which cannot be")
    match layer:
        case ir.Conv2d() | ir.MaxPool2d() | ir.AvgPool2d():
            _check_window(layer)
        case ir.ConvTranspose2d() if max(layer.kernel) > MAX_ENLARGED:
            raise ModelFileError(f"the transposed convolution {name} enlarges more than {MAX_ENLARGED} times")
        case ir.Linear() if (length := max(layer.in_features, layer.out_features)) > MAX_ROW:
            raise ModelFileError(f"the node {name} takes or makes rows of {length} numbers, out of range")
        case ir.Pad():
            _check_padding(name, layer.padding)
        case ir.Upsample() if not all(1 <= factor <= MAX_WINDOW for factor in layer.factors):
            raise ModelFileError(f"the node {name} repeats pixels {layer.factors} times, which is out of range")
        case ir.Resize() if not all(1 <= side <= MAX_RESIZED for side in layer.size):
            height, width = layer.size
            raise ModelFileError(f"the node {name} resizes to {height}x{width}, which is out of range")
        case ir.HardSigmoid():
            check_finite(np.array([layer.alpha, layer.beta]), layer.name)


def _check_window(layer: Window) -> None:
    name = f"'{layer.name}'"
    dilation = layer.dilation if isinstance(layer, ir.Conv2d) else (1, 1)
    sides = "kernel sides" if isinstance(layer, ir.Conv2d) else "window's sides"
    for what, values in ((sides, layer.kernel), ("strides", layer.stride), ("dilations", dilation)):
        if len(values) != 2 or not all(1 <= value <= MAX_WINDOW for value in values):
            raise ModelFileError(f"the {what} {list(values)} of {name} are out of range")
    if isinstance(layer, ir.AvgPool2d) and layer.padding not in ("same", ir.NO_PADDING):
        raise ModelFileError(f"the average pool {name} has paddings of its own, which is not supported")
    if layer.padding != "same":
        _check_padding(name, layer.padding)
    if not isinstance(layer, ir.Conv2d):
        return
    if dilation != (1, 1) and layer.stride != (1, 1):
        raise ModelFileError(f"the dilated convolution {name} has strides, which is not supported")
    if not 1 <= layer.groups <= layer.out_channels or layer.out_channels % layer.groups:
        raise ModelFileError(f"has a convolution {name} with {layer.groups} groups for {layer.out_channels} channels")


def _check_padding(name: str, amounts: Sequence[int]) -> None:
    if len(amounts) != 4 or not all(0 <= amount <= MAX_WINDOW for amount in amounts):
        raise ModelFileError(f"the paddings {list(amounts)} of {name} are out of range")
