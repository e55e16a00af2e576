"""Batch norms and constants per channel go into the layer with weights before them, where nobody else takes its result.

Factors are multiplied up in double precision and stay beside the weights (`scale`), which are not touched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import WEIGHTED, Affine, Layer, Linear, NetGraph, Weighted
from mrcnn_cv.graph.net_builder import check_finite, largest

_LARGEST = float(np.finfo(np.float32).max)


class _Factors(NamedTuple):
    """What follows a layer: factor * result + shift."""

    factor: NDArray[np.float64]
    shift: NDArray[np.float64]


def fold_affine(net: NetGraph) -> NetGraph:
    """The net with the same results, which are called like the first layer of each row of factors.

    Raises ModelFileError where factors do not fit the channels before them, or a number is not finite.
    """
    consumers = net.consumers()
    layers: dict[str, Layer] = {}
    names: dict[str, str] = {}
    rows: dict[str, _Factors] = {}
    for layer in net:
        own = replace(layer, inputs=tuple(names.get(name, name) for name in layer.inputs))
        if isinstance(own, Affine):
            base = own.inputs[0]
            alone = len(consumers[layer.inputs[0]]) == 1 and layer.inputs[0] not in net.outputs
            if alone and isinstance(layers.get(base), (Affine, *WEIGHTED)):
                rows[base] = _multiplied_up(own, rows.get(base, _Factors(np.ones(1), np.zeros(1))))
                names[own.name] = base
                continue
            rows[own.name] = _multiplied_up(own, _Factors(np.ones(1), np.zeros(1)))
        layers[own.name] = own
    outputs = tuple(names.get(name, name) for name in net.outputs)
    folded = (_with(layer, rows[layer.name]) if layer.name in rows else layer for layer in layers.values())
    return replace(net, outputs=outputs, layers=tuple(folded))


def _multiplied_up(layer: Affine, before: _Factors) -> _Factors:
    """Factors with those of another layer behind them."""
    if len({layer.scale.size, layer.shift.size, before.factor.size, before.shift.size} - {1}) > 1:
        raise ModelFileError(f"the node '{layer.name}' ({layer.op}) scales another number of channels")
    with np.errstate(all="ignore"):
        factor, shift = layer.scale * before.factor, layer.scale * before.shift + layer.shift
    if not (np.isfinite(factor).all() and np.isfinite(shift).all()):
        raise ModelFileError(f"the weights of '{layer.name}' are not all finite numbers: the training has diverged")
    return _Factors(factor, shift)


def _with(layer: Layer, factors: _Factors) -> Layer:
    if isinstance(layer, Affine):
        scale, shift = np.broadcast_arrays(*factors)
        return replace(layer, scale=scale, shift=shift)
    assert isinstance(layer, WEIGHTED)
    return _folded(layer, factors)


def _folded(layer: Weighted, factors: _Factors) -> Weighted:
    channels = layer.out_features if isinstance(layer, Linear) else layer.out_channels
    for vector in factors:
        if vector.size not in (1, channels):
            raise ModelFileError(f"the node '{layer.name}' has {channels} channels but {vector.size} factors follow it")
    before = np.zeros(channels) if layer.bias is None else layer.bias.astype(np.float64)
    with np.errstate(all="ignore"):
        bias = (factors.factor * before + factors.shift).astype(np.float32)
    check_finite(bias, f"{layer.name}/biases")
    scale = np.broadcast_to(factors.factor * (1.0 if layer.scale is None else layer.scale), channels)
    folded = replace(layer, bias=bias if bias.any() else None, scale=None if (scale == 1).all() else scale)
    _check_product(folded)
    return folded


def _check_product(layer: Weighted) -> None:
    """ModelFileError where weights times their factors are no numbers of float32."""
    most = 1.0 if layer.scale is None else float(np.abs(layer.scale).max())
    if most > 1 and not largest(layer.weight) * most <= _LARGEST:
        check_finite(layer.folded(), f"{layer.name}/weights")
