"""What the docstrings of `mrcnn_cv.graph.ir` say, in plain numpy and double precision: slow, and nobody else's code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.graph import ir

Values = Any  # arrays of float64, which numpy types as Any as soon as they are computed with


def run(net: ir.NetGraph, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
    """The outputs of a net, in its order."""
    values = {name: inputs[name].astype(np.float64) for name in net.inputs}
    for layer in net.layers:
        values[layer.name] = _LAYERS[type(layer)](layer, *(values[name] for name in layer.inputs))
    return [values[name].astype(np.float32) for name in net.outputs]


def _weights(layer: Any, axis: int = 0) -> Values:
    weight = layer.weight.astype(np.float64)
    if layer.scale is None:
        return weight
    return weight * layer.scale.reshape([-1 if each == axis else 1 for each in range(weight.ndim)])


def _bias(layer: Any, axes: int) -> Any:
    return 0.0 if layer.bias is None else layer.bias.astype(np.float64).reshape(-1, *[1] * axes)


def _same(side: int, kernel: int, stride: int, step: int) -> tuple[int, int]:
    """TensorFlow's SAME: (before, behind)."""
    windows = math.ceil(side / stride)
    total = max((windows - 1) * stride + (kernel - 1) * step + 1 - side, 0)
    return total // 2, total - total // 2


def _windows(layer: Any, source: Values, fill: float, dilation: ir.Pair = (1, 1)) -> Values:
    """(N, C, rows, columns, kernel height, kernel width) of what each window sees."""
    (height, width), (down, across) = layer.kernel, layer.stride
    if layer.padding == "same":
        rows, columns = (
            _same(source.shape[axis + 2], layer.kernel[axis], layer.stride[axis], dilation[axis]) for axis in (0, 1)
        )
    else:
        top, left, bottom, right = layer.padding
        rows, columns = (top, bottom), (left, right)
    padded = np.pad(source, [(0, 0), (0, 0), rows, columns], constant_values=fill)
    tall, wide = (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1
    found = [
        [
            padded[:, :, y : y + tall : dilation[0], x : x + wide : dilation[1]]
            for x in range(0, padded.shape[3] - wide + 1, across)
        ]
        for y in range(0, padded.shape[2] - tall + 1, down)
    ]
    return np.array(found).transpose(2, 3, 0, 1, 4, 5)


def _conv(layer: ir.Conv2d, source: Values) -> Values:
    weights = _weights(layer)
    windows = _windows(layer, source, 0.0, layer.dilation)
    taken, given = weights.shape[1], len(weights) // layer.groups
    parts = [
        np.einsum(
            "ncyxhw,ochw->noyx",
            windows[:, group * taken : (group + 1) * taken],
            weights[group * given : (group + 1) * given],
        )
        for group in range(layer.groups)
    ]
    return np.concatenate(parts, axis=1) + _bias(layer, 2)


def _transposed(layer: ir.ConvTranspose2d, source: Values) -> Values:
    count, _, rows, columns = source.shape
    height, width = layer.kernel
    patches = np.einsum("ncyx,cohw->noyhxw", source, _weights(layer, 1))
    return patches.reshape(count, -1, rows * height, columns * width) + _bias(layer, 2)


def _linear(layer: ir.Linear, source: Values) -> Values:
    weights = _weights(layer)
    return source @ weights.reshape(len(weights), -1).T + _bias(layer, 0)


def _affine(layer: ir.Affine, source: Values) -> Values:
    sides = [1] * (source.ndim - 2)
    return source * layer.scale.reshape(-1, *sides) + layer.shift.reshape(-1, *sides)


def _max_pool(layer: ir.MaxPool2d, source: Values) -> Values:
    return _windows(layer, source, -math.inf).max((4, 5))


def _avg_pool(layer: ir.AvgPool2d, source: Values) -> Values:
    return np.nanmean(_windows(layer, source, math.nan), (4, 5))


def _pad(layer: ir.Pad, source: Values) -> Values:
    top, left, bottom, right = layer.padding
    return np.pad(source, [(0, 0), (0, 0), (top, bottom), (left, right)])


def _under(layer: ir.Resize, old: int, new: int) -> Values:
    """Where the pixels of a result lie in the map."""
    pixels = np.arange(new, dtype=np.float64)
    if layer.coordinates == "half_pixel":
        return (pixels + 0.5) * old / new - 0.5
    if layer.coordinates == "align_corners":
        return pixels * ((old - 1) / (new - 1) if new > 1 else 0)
    return pixels * old / new


def _resize(layer: ir.Resize, source: Values) -> Values:
    for axis, new in zip((2, 3), layer.size, strict=True):
        old = source.shape[axis]
        places = _under(layer, old, new)
        if layer.mode == "nearest":
            nearest = np.floor(places + (0.0 if layer.coordinates == "asymmetric" else 0.5) + 1e-9)
            source = source.take(np.clip(nearest, 0, old - 1).astype(int), axis)
            continue
        places = np.clip(places, 0, old - 1)
        before = np.floor(places).astype(int)
        share = (places - before).reshape(-1, *[1] * (3 - axis))
        skip_identity = np.minimum(before + 1, old - 1)
        source = source.take(before, axis) * (1 - share) + source.take(skip_identity, axis) * share
    return source


def _flatten(layer: ir.Flatten, source: Values) -> Values:
    turned = source.transpose(0, 2, 3, 1) if layer.channels_last else source
    return turned.reshape(len(source), -1)


_LAYERS: dict[type[ir.Layer], Any] = {
    ir.Conv2d: _conv,
    ir.ConvTranspose2d: _transposed,
    ir.Linear: _linear,
    ir.Relu: lambda layer, source: np.maximum(source, 0),
    ir.Relu6: lambda layer, source: np.clip(source, 0, 6),
    ir.Sigmoid: lambda layer, source: 1 / (1 + np.exp(-source)),
    ir.HardSigmoid: lambda layer, source: np.clip(layer.alpha * source + layer.beta, 0, 1),
    ir.HardSwish: lambda layer, source: source * np.clip(source / 6 + 0.5, 0, 1),
    ir.Affine: _affine,
    ir.MaxPool2d: _max_pool,
    ir.AvgPool2d: _avg_pool,
    ir.GlobalAvgPool: lambda layer, source: source.mean((2, 3), keepdims=True),
    ir.Pad: _pad,
    ir.Upsample: lambda layer, source: source.repeat(layer.factors[0], 2).repeat(layer.factors[1], 3),
    ir.Resize: _resize,
    ir.Concat: lambda layer, *sources: np.concatenate(sources, axis=1),
    ir.Add: lambda layer, first, second: first + second,
    ir.Mul: lambda layer, first, second: first * second,
    ir.Flatten: _flatten,
}
