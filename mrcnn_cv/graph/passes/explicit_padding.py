"""Paddings in numbers where a net says "same", for engines that keep what "same" meant for another size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mrcnn_cv.graph.ir import AvgPool2d, Conv2d, Layer, MaxPool2d, NetGraph
from mrcnn_cv.graph.partial_shapes import Side, partial_shapes, same_padding


def with_explicit_padding(net: NetGraph, inputs: Mapping[str, Sequence[Side]] | None = None) -> NetGraph:
    """The net with its paddings in numbers, for inputs of these shapes.

    Where a layer's stride is 1, or its window one pixel, that is right for all sizes; where it is not and the size of
    its map is not known, "same" stays.
    """
    shapes = partial_shapes(net, inputs)
    return replace(net, layers=tuple(_explicit(layer, shapes[layer.inputs[0]][2:]) for layer in net))


def _explicit(layer: Layer, size: Sequence[Side]) -> Layer:
    if not isinstance(layer, (Conv2d, MaxPool2d, AvgPool2d)) or layer.padding != "same":
        return layer
    padding = same_padding(layer, size)
    return layer if padding is None else replace(layer, padding=padding)
