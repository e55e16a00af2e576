"""A net of BGR becomes one of RGB."""

from __future__ import annotations

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.importers.pytorch.detectron2_rules import swap_rgb
from tests.graph.passes.nets import values
from tests.importers.net_runner import run


def test_every_convolution_of_the_image_is_turned_without_a_copy() -> None:
    build, weight = NetBuilder(("image",)), values(3, 3, 3, 3)
    first = build.add(ir.Conv2d, "first", ["image"], weight=weight)
    second = build.add(ir.Conv2d, "second", ["image"], weight=weight)
    last = build.add(ir.Conv2d, "last", [build.add(ir.Add, "sum", [first, second])], weight=weight)
    net = build.finish([last])
    turned, image = swap_rgb(net), values(1, 3, 8, 9)
    np.testing.assert_allclose(run(turned, {"image": image[:, ::-1]})[0], run(net, {"image": image})[0], rtol=1e-5)
    assert [np.shares_memory(layer.arrays()[0], weight) for layer in turned if layer.arrays()] == [True] * 3
    assert (run(turned, {"image": image})[0] != run(net, {"image": image})[0]).any()


def test_what_does_not_begin_with_a_convolution_of_three_channels() -> None:
    for layer in (ir.Relu("first", ("image",)), ir.Conv2d("first", ("image",), values(4, 1, 1, 1))):
        with pytest.raises(ModelFileError, match=f"begins with a {layer.op}, where Detectron2's do"):
            swap_rgb(ir.NetGraph(("image",), ("first",), (layer,)))
