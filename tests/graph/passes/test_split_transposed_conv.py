"""Mask heads do without their transposed convolution where they end in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.passes.split_transposed_conv import split_transposed_conv
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.inference.masks import select_masks
from tests.graph.passes.nets import kinds, values
from tests.importers.net_runner import run

CROPS = (4, 3, 7, 9)


def head(activation: type[ir.Layer] = ir.Relu, kernel: tuple[int, int] = (2, 2), **fields: Any) -> NetBuilder:
    """convolution → transposed convolution → activation → layer of 1 x 1, as mask heads end: "masks"."""
    build = NetBuilder(("crops",))
    build.add(ir.Conv2d, "low", ["crops"], weight=values(2, 3, 3, 3), padding=(1, 1, 1, 1))
    fields = {"weight": values(2, 5, *kernel, seed=1), "bias": values(5, seed=2), "scale": np.arange(1.0, 6), **fields}
    build.add(ir.ConvTranspose2d, "spread", ["low"], **fields)
    build.add(activation, "active", ["spread"])
    build.add(ir.Conv2d, "masks", ["active"], weight=values(3, 5, 1, 1, seed=3), bias=values(3, seed=4))
    return build


@pytest.mark.parametrize("activation", [ir.Relu, ir.Relu6])
@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("fields", [{}, {"bias": None, "scale": None}])
def test_a_mask_head_does_without_it(activation: type[ir.Layer], side: int, fields: dict[str, Any]) -> None:
    net = head(activation, (side, side), **fields).finish(["masks"])
    split, mask_block_size = split_transposed_conv(net)
    assert mask_block_size == side
    assert kinds(split) == ["Conv2d", *["Conv2d", activation.__name__, "Conv2d"] * side**2, "Concat"]
    assert ShapeInference(split).results({"crops": CROPS}) == [(4, 3 * side**2, 7, 9)]
    crops = {"crops": values(*CROPS, seed=9)}
    (expected,), (found,) = run(net, crops), run(split, crops)
    classes = np.array([0, 2, 1, 2])
    np.testing.assert_allclose(select_masks(found, classes, side), select_masks(expected, classes), atol=1e-4)


def test_weights_stay_views() -> None:
    net = head().finish(["masks"])
    split, _ = split_transposed_conv(net)
    before = [layer.arrays()[0] for layer in net if layer.arrays()]
    after = [layer.arrays()[0] for layer in split if layer.arrays()]
    assert all(any(np.shares_memory(array, other) for other in before) for array in after)


def test_names_that_are_there_stay() -> None:
    net = head().finish(["masks"])
    first, *rest = net.layers
    low = ir.Conv2d("patch_0_0", first.inputs, values(2, 3, 3, 3), padding=(1, 1, 1, 1))
    spread = ir.ConvTranspose2d("spread", ("patch_0_0",), values(2, 5, 2, 2))
    split, _ = split_transposed_conv(ir.NetGraph(net.inputs, net.outputs, (low, spread, *rest[1:])))
    names = [layer.name for layer in split]
    assert len(set(names)) == len(names)
    assert names[:2] == ["patch_0_0", "patch_0_0_"]


def test_heads_that_end_otherwise_stay_as_they_are() -> None:
    build = head()
    build.add(ir.Conv2d, "wider", ["active"], weight=values(3, 5, 3, 3), padding=(1, 1, 1, 1))
    build.add(ir.Add, "branch", ["masks", "wider"])
    for outputs in (["active"], ["wider"], ["branch"], ["low"], ["masks", "low"], ["masks", "wider"], ["crops"]):
        net = build.finish(outputs)
        assert split_transposed_conv(net) == (net, 1)
    for other in (head(ir.Sigmoid), head(kernel=(2, 3))):
        net = other.finish(["masks"])
        assert split_transposed_conv(net) == (net, 1)


def test_weights_that_are_repeated_count_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    net = head().finish(["masks"])
    monkeypatch.setattr("mrcnn_cv.graph.net_builder.MAX_WEIGHT_BYTES", 700)
    with pytest.raises(ModelFileError, match="would not fit into memory"):
        split_transposed_conv(net)
