"""Run a NetGraph by plain numpy in double precision: slow, and what its layers are documented to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.graph import ir

Numbers = NDArray[Any]


def run(net: ir.NetGraph, inputs: Mapping[str, Numbers]) -> list[NDArray[np.float32]]:
    """The outputs of a net, for maps (N, C, H, W) and rows (N, K)."""
    results = {name: inputs[name].astype(np.float64) for name in net.inputs}
    for layer in net:
        results[layer.name] = _RUN[type(layer)](layer, *(results[name] for name in layer.inputs))
    return [results[name].astype(np.float32) for name in net.outputs]


def _amounts(padding: ir.Padding, size: tuple[int, ...], window: ir.Pair, stride: ir.Pair) -> list[tuple[int, int]]:
    if padding != "same":
        top, left, bottom, right = padding
        return [(0, 0), (0, 0), (top, bottom), (left, right)]
    missing = [
        max((-(-side // step) - 1) * step + length - side, 0)
        for side, length, step in zip(size[2:], window, stride, strict=True)
    ]
    return [(0, 0), (0, 0), *((amount // 2, amount - amount // 2) for amount in missing)]


def _windows(
    x: Numbers, window: ir.Pair, stride: ir.Pair, padding: ir.Padding, fill: float, dilation: ir.Pair = (1, 1)
) -> Numbers:
    """(N, C, H, W, height, width) of all windows."""
    reach = ((window[0] - 1) * dilation[0] + 1, (window[1] - 1) * dilation[1] + 1)
    padded = np.pad(x, _amounts(padding, x.shape, reach, stride), constant_values=fill)
    every = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    return every[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _biased(result: Numbers, bias: Numbers | None) -> Numbers:
    if bias is None:
        return result
    return result + bias.reshape(-1, *[1] * (result.ndim - 2))


def _conv(layer: ir.Conv2d, x: Numbers) -> Numbers:
    seen = _windows(x, layer.kernel, layer.stride, layer.padding, 0, layer.dilation)
    weights = layer.folded().astype(np.float64)
    parts = zip(np.split(seen, layer.groups, axis=1), np.split(weights, layer.groups), strict=True)
    made = [np.tensordot(part, kernel, ([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2) for part, kernel in parts]
    return _biased(np.concatenate(made, axis=1), layer.bias)


def _transposed(layer: ir.ConvTranspose2d, x: Numbers) -> Numbers:
    patches = np.einsum("nchw,coij->nohiwj", x, layer.folded().astype(np.float64), optimize=True)
    count, channels, height, rows, width, columns = patches.shape
    return _biased(patches.reshape(count, channels, height * rows, width * columns), layer.bias)


def _affine(layer: ir.Affine, x: Numbers) -> Numbers:
    shape = (-1, *[1] * (x.ndim - 2))
    return x * layer.scale.reshape(shape) + layer.shift.reshape(shape)


def _average(layer: ir.AvgPool2d, x: Numbers) -> Numbers:
    seen = _windows(x, layer.kernel, layer.stride, layer.padding, np.nan)
    return np.asarray(np.nanmean(seen, axis=(4, 5)))


def _pad(layer: ir.Pad, x: Numbers) -> Numbers:
    return np.pad(x, _amounts(layer.padding, x.shape, (1, 1), (1, 1)))


def _flatten(layer: ir.Flatten, x: Numbers) -> Numbers:
    return (x.transpose(0, 2, 3, 1) if layer.channels_last else x).reshape(len(x), -1)


_RUN: dict[type[ir.Layer], Callable[..., Numbers]] = {
    ir.Conv2d: _conv,
    ir.ConvTranspose2d: _transposed,
    ir.Linear: lambda layer, x: _biased(x @ layer.folded().astype(np.float64).T, layer.bias),
    ir.Affine: _affine,
    ir.MaxPool2d: lambda layer, x: _windows(x, layer.kernel, layer.stride, layer.padding, -np.inf).max(axis=(4, 5)),
    ir.AvgPool2d: _average,
    ir.GlobalAvgPool: lambda layer, x: x.mean(axis=(2, 3), keepdims=True),
    ir.Pad: _pad,
    ir.Upsample: lambda layer, x: x.repeat(layer.factors[0], 2).repeat(layer.factors[1], 3),
    ir.Concat: lambda layer, *maps: np.concatenate(maps, axis=1),
    ir.Add: lambda layer, a, b: a + b,
    ir.Mul: lambda layer, a, b: a * b,
    ir.Relu: lambda layer, x: np.maximum(x, 0),
    ir.Relu6: lambda layer, x: np.clip(x, 0, 6),
    ir.Sigmoid: lambda layer, x: 1 / (1 + np.exp(-x)),
    ir.HardSigmoid: lambda layer, x: np.clip(layer.alpha * x + layer.beta, 0, 1),
    ir.HardSwish: lambda layer, x: x * np.clip(x / 6 + 0.5, 0, 1),
    ir.Flatten: _flatten,
}
"""`Resize` is not among them: no net of ONNX has it."""
