"""Paddings in numbers are what "same" means for a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from mrcnn_cv.graph.ir import AvgPool2d, Conv2d, Layer, MaxPool2d, NetGraph
from mrcnn_cv.graph.partial_shapes import Side, partial_shapes, same_padding
from tests.graph import reference
from tests.graph.nets import Case, cases


def is_same(layer: Layer) -> bool:
    return getattr(layer, "padding", None) == "same"


def in_numbers(net: NetGraph, inputs: Mapping[str, Sequence[Side]] | None = None) -> NetGraph:
    shapes = partial_shapes(net, inputs)

    def changed(layer: Layer) -> Layer:
        if not isinstance(layer, (Conv2d, MaxPool2d, AvgPool2d)) or layer.padding != "same":
            return layer
        padding = same_padding(layer, shapes[layer.inputs[0]][2:])
        return layer if padding is None else replace(layer, padding=padding)

    return replace(net, layers=tuple(map(changed, net)))


CASES = [case for case in cases() if any(map(is_same, case.net))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_numbers_are_equal(case: Case) -> None:
    for inputs in case.inputs():
        net = in_numbers(case.net, {name: value.shape for name, value in inputs.items()})
        assert not any(map(is_same, net))
        for found, expected in zip(reference.run(net, inputs), reference.run(case.net, inputs), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_without_a_size_only_strides_keep_it() -> None:
    backbone: NetGraph = next(case.net for case in CASES if case.name == "backbone")
    left = [layer.name for layer in in_numbers(backbone) if is_same(layer)]
    assert left == ["conv1", "pool1", "conv3"]
