"""A mask head that ends in a transposed convolution, without it: OpenCV 5.0 takes ten times as long for one as 4.14.

Patches that lie side by side are as many convolutions of 1 x 1 as a patch has samples. What follows, an activation and
a layer that looks at one place only, can be applied to each by itself; to lay the samples side by side is left to the
caller, who then has to do it for one class only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mrcnn_cv.graph.ir import NO_PADDING, Concat, Conv2d, ConvTranspose2d, Layer, NetGraph, Relu, Relu6
from mrcnn_cv.graph.net_builder import check_weight_bytes


class _End(NamedTuple):
    """What a net ends in, one behind the other."""

    transposed: ConvTranspose2d
    activation: Relu | Relu6
    predictor: Conv2d


def split_transposed_conv(net: NetGraph) -> tuple[NetGraph, int]:
    """(a net with the same samples, how many of them it puts out for one cell, on each side).

    Its one output then is (N, side * side * C, h, w) for (N, C, side * h, side * w), by row and column of a sample in
    its cell. The net itself and 1 where it does not end that way. Weights stay views of those that there were.
    """
    end = _find(net)
    if end is None or end.transposed.kernel[0] != end.transposed.kernel[1]:
        return net, 1
    side = end.transposed.kernel[0]
    kept = [layer for layer in net if layer not in end]
    taken = {*net.inputs, *(layer.name for layer in kept)}
    added: list[Layer] = []

    def name(wanted: str) -> str:
        while wanted in taken:
            wanted += "_"
        taken.add(wanted)
        return wanted

    masks = []
    for row, column in np.ndindex(side, side):
        place = f"{row}_{column}"
        # (in, out) at one place of the patch, as the (out, in, 1, 1) of a convolution.
        weight = end.transposed.weight[:, :, row, column].T[:, :, np.newaxis, np.newaxis]
        bias, scale = end.transposed.bias, end.transposed.scale
        patch = Conv2d(name(f"patch_{place}"), end.transposed.inputs, weight, bias, scale)
        active = replace(end.activation, name=name(f"activation_{place}"), inputs=(patch.name,))
        masks.append(replace(end.predictor, name=name(f"mask_{place}"), inputs=(active.name,)))
        added += [patch, active, masks[-1]]
    joined = Concat(name("masks"), tuple(mask.name for mask in masks))
    split = replace(net, outputs=(joined.name,), layers=(*kept, *added, joined))
    check_weight_bytes(split)
    return split, side


def _find(net: NetGraph) -> _End | None:
    layers, consumers = net.by_name, net.consumers()
    predictor = layers.get(net.outputs[0])
    if len(net.outputs) != 1 or not isinstance(predictor, Conv2d) or consumers.get(predictor.name):
        return None
    plain = predictor.kernel == predictor.stride == (1, 1) and predictor.padding in (NO_PADDING, "same")
    activation = layers.get(predictor.inputs[0])
    if not plain or not isinstance(activation, Relu | Relu6):
        return None
    transposed = layers.get(activation.inputs[0])
    if not isinstance(transposed, ConvTranspose2d):
        return None
    if any(len(consumers[layer.name]) > 1 for layer in (activation, transposed)):
        return None
    return _End(transposed, activation, predictor)
