"""Build a NetGraph layer by layer, within bounds: what a file asks for may be out of all proportion.

Everything that an importer adds goes through `NetBuilder.add`, which checks the numbers that need no shapes; whether
layers fit together is for `graph/shape_inference.py`. Weights are looked at once, in pieces, and never copied.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import (
    NO_PADDING,
    WEIGHTED,
    Add,
    Affine,
    Array,
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    HardSigmoid,
    Layer,
    Linear,
    MaxPool2d,
    Mul,
    NetGraph,
    Pad,
    Resize,
    Upsample,
)
from mrcnn_cv.graph.limits import MAX_WEIGHT_BYTES

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
    """A NetGraph in the making. Names of its inputs are taken as they are."""

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self._inputs = inputs
        self._layers: list[Layer] = []
        self._names = set(inputs)
        self._again: Counter[str] = Counter()
        self._count = len(inputs)
        self._bytes = 0
        self._rows: set[str] = set()

    def add(self, layer_class: type[Layer], name: str, inputs: Sequence[str], **fields: Any) -> str:
        """Append a layer; returns its name, which is `name` with "_" and a number behind where it is there already.

        fields: those of the layer's class; zero biases become none, and a kernel of one cell is not dilated. A bias of
        one number is that of all channels. A row is not flattened once more: then the name is that of the row. Raises
        ModelFileError for numbers out of bounds or not finite, ValueError for an input that was not added before.
        """
        missing = [each for each in inputs if each not in self._names]
        if missing:
            raise ValueError(f"the layer '{name}' takes '{missing[0]}', which is not there yet")
        if layer_class is Flatten and self._rows.issuperset(inputs):
            return inputs[0]
        if layer_class in WEIGHTED:
            fields = _weights(layer_class, name, fields)
        elif layer_class is Affine:
            fields = _affine(name, fields)
        layer = layer_class(name=self._unique(name), inputs=tuple(inputs), **fields)
        self._check_amounts(layer)
        _check_inputs(layer)
        if layer_class in _CHECKS:
            _CHECKS[layer_class](layer)
        for array, what in zip(layer.arrays(), ("weights", "biases"), strict=False):
            check_finite(array, f"{name}/{what}")
        self._layers.append(layer)
        if isinstance(layer, Linear | Flatten) or self._rows.issuperset(inputs):
            self._rows.add(layer.name)
        return layer.name

    def finish(self, outputs: Sequence[str]) -> NetGraph:
        """The net; layers that no output needs are left out."""
        return without_unused(NetGraph(self._inputs, tuple(outputs), tuple(self._layers)))

    def _check_amounts(self, layer: Layer) -> None:
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


def engine_bytes(layer: Layer) -> int:
    """Memory of a layer's weights as an engine holds them: in float32, wherever they lie in the file."""
    return 4 * sum(array.size for array in layer.arrays())


def check_weight_bytes(net: NetGraph) -> None:
    """ModelFileError where the weights of a net, each as often as it is used, are more than MAX_WEIGHT_BYTES."""
    if sum(engine_bytes(layer) for layer in net) > MAX_WEIGHT_BYTES:
        raise ModelFileError("repeats its weights so often that they would not fit into memory")


def without_unused(net: NetGraph) -> NetGraph:
    """The net without the layers that no output needs."""
    needed = set(net.outputs)
    kept: list[Layer] = []
    for layer in reversed(net.layers):
        if layer.name in needed:
            needed.update(layer.inputs)
            kept.append(layer)
    return replace(net, layers=tuple(reversed(kept)))


def largest(array: Array) -> float:
    """The largest magnitude in an array; not finite where one of its numbers is not. Looks at it in pieces."""
    found = 0.0
    for piece in _pieces(array):
        most, least = float(piece.max()), float(piece.min())
        if not (math.isfinite(most) and math.isfinite(least)):
            return math.nan
        found = max(found, most, -least)
    return found


def check_finite(array: Array, what: str) -> None:
    """ModelFileError where an array holds anything but numbers."""
    if all(_is_surely_finite(piece) for piece in _pieces(array)):
        return
    if not math.isfinite(largest(array)):
        raise ModelFileError(f"the numbers of '{what}' are not all finite: the training has diverged")


def _is_surely_finite(piece: Array) -> bool:
    """Whether the sum of its squares, for which it is looked at only once, is a number."""
    if piece.dtype != np.float32 or not piece.flags.c_contiguous:
        return False
    flat = piece.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.dot(flat, flat))


def _pieces(array: Array) -> Iterator[Array]:
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


_AXES: dict[type[Layer], tuple[int, int, str]] = {
    Conv2d: (4, 0, "convolution"),
    ConvTranspose2d: (4, 1, "transposed convolution"),
    Linear: (2, 0, "fully connected layer"),
}
"""Least axes of the weights, which of them are the outputs, and what the layer is called."""


def _weights(layer_class: type[Layer], name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a layer with weights: their shapes checked, biases of float32, or None."""
    axes, out, what = _AXES[layer_class]
    weight: Array = fields["weight"]
    enough = weight.ndim >= axes if layer_class is Linear else weight.ndim == axes
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
    if layer_class is Conv2d and weight.shape[2:] == (1, 1):
        # A dilation moves nothing there; TensorFlow 1 dilates all layers of a block, these too.
        fields = {**fields, "dilation": (1, 1)}
    return fields


def _vector(name: str, values: Array, channels: int, dtype: type[np.floating[Any]]) -> NDArray[Any]:
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


def _check_inputs(layer: Layer) -> None:
    count = len(layer.inputs)
    fits = count >= 1 if isinstance(layer, Concat) else count == (2 if isinstance(layer, Add | Mul) else 1)
    if not fits:
        raise ModelFileError(f"the node '{layer.name}' ({layer.op}) takes {count} maps, which cannot be")


def _check_window(layer: Layer, what: str, values: tuple[int, ...]) -> None:
    if len(values) != 2 or not all(1 <= value <= MAX_WINDOW for value in values):
        raise ModelFileError(f"the {what} {list(values)} of '{layer.name}' are out of range")


def _check_padding(layer: Layer, padding: object) -> None:
    if padding == "same":
        return
    amounts = padding if isinstance(padding, tuple) else ()
    if len(amounts) != 4 or not all(0 <= amount <= MAX_WINDOW for amount in amounts):
        raise ModelFileError(f"the paddings {list(amounts)} of '{layer.name}' are out of range")


def _check_conv(layer: Conv2d) -> None:
    _check_window(layer, "kernel sides", layer.kernel)
    _check_window(layer, "strides", layer.stride)
    _check_window(layer, "dilations", layer.dilation)
    _check_padding(layer, layer.padding)
    if layer.dilation != (1, 1) and layer.stride != (1, 1):
        raise ModelFileError(f"the dilated convolution '{layer.name}' has strides, which is not supported")
    if not 1 <= layer.groups <= layer.out_channels or layer.out_channels % layer.groups:
        raise ModelFileError(
            f"has a convolution '{layer.name}' with {layer.groups} groups for {layer.out_channels} channels"
        )


def _check_transposed(layer: ConvTranspose2d) -> None:
    if max(layer.kernel) > MAX_ENLARGED:
        raise ModelFileError(f"the transposed convolution '{layer.name}' enlarges more than {MAX_ENLARGED} times")


def _check_linear(layer: Linear) -> None:
    for length in (layer.in_features, layer.out_features):
        if length > MAX_ROW:
            raise ModelFileError(f"the node '{layer.name}' takes or makes rows of {length} numbers, out of range")


def _check_max_pool(layer: MaxPool2d) -> None:
    _check_window(layer, "window's sides", layer.kernel)
    _check_window(layer, "strides", layer.stride)
    _check_padding(layer, layer.padding)


def _check_average_pool(layer: AvgPool2d) -> None:
    _check_window(layer, "window's sides", layer.kernel)
    _check_window(layer, "strides", layer.stride)
    if layer.padding not in ("same", NO_PADDING):
        raise ModelFileError(f"the average pool '{layer.name}' has paddings of its own, which is not supported")


def _check_pad(layer: Pad) -> None:
    if len(layer.padding) != 4 or not all(0 <= amount <= MAX_WINDOW for amount in layer.padding):
        raise ModelFileError(f"the paddings of '{layer.name}' are out of range")


def _check_upsample(layer: Upsample) -> None:
    if not all(1 <= factor <= MAX_WINDOW for factor in layer.factors):
        raise ModelFileError(f"the node '{layer.name}' repeats pixels {layer.factors} times, which is out of range")


def _check_resize(layer: Resize) -> None:
    height, width = layer.size
    if not (0 < height <= MAX_RESIZED and 0 < width <= MAX_RESIZED):
        raise ModelFileError(f"the node '{layer.name}' resizes to {height}x{width}, which is out of range")


def _check_hard_sigmoid(layer: HardSigmoid) -> None:
    check_finite(np.array([layer.alpha, layer.beta]), layer.name)


_CHECKS: dict[type[Layer], Callable[[Any], None]] = {
    Conv2d: _check_conv,
    ConvTranspose2d: _check_transposed,
    Linear: _check_linear,
    MaxPool2d: _check_max_pool,
    AvgPool2d: _check_average_pool,
    Pad: _check_pad,
    Upsample: _check_upsample,
    Resize: _check_resize,
    HardSigmoid: _check_hard_sigmoid,
}
