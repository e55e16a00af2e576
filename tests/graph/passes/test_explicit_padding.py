"""Paddings in numbers are what "same" means for a size."""

from __future__ import annotations

import numpy as np
import pytest

from mrcnn_cv.graph.ir import Layer, NetGraph
from mrcnn_cv.graph.passes.explicit_padding import with_explicit_padding
from tests.graph import reference
from tests.graph.nets import Case, cases


def is_same(layer: Layer) -> bool:
    return getattr(layer, "padding", None) == "same"


CASES = [case for case in cases() if any(map(is_same, case.net))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_numbers_are_equal(case: Case) -> None:
    for inputs in case.inputs():
        net = with_explicit_padding(case.net, {name: value.shape for name, value in inputs.items()})
        assert not any(map(is_same, net))
        for found, expected in zip(reference.run(net, inputs), reference.run(case.net, inputs), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_without_a_size_only_strides_keep_it() -> None:
    backbone: NetGraph = next(case.net for case in CASES if case.name == "backbone")
    left = [layer.name for layer in with_explicit_padding(backbone) if is_same(layer)]
    assert left == ["conv1", "pool1", "conv3"]
