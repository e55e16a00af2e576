"""Average pools go behind the convolutions of 1x1 that follow them, where those have fewer channels."""

from __future__ import annotations

from typing import Any

import pytest

from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.passes import standard_passes
from mrcnn_cv.graph.passes.reorder_pools import pools_last
from tests.graph.passes.nets import check_equal, kinds, values

SHAPES = {"image": (2, 8, 7, 6)}


def block(build: NetBuilder, source: str = "image", name: str = "", outputs: int = 4, **fields: Any) -> str:
    """An average pool and a convolution with biases behind it."""
    pool = build.add(ir.AvgPool2d, f"{name}pool", [source], kernel=(3, 3), padding="same")
    channels = {"image": 8}.get(source, 4)
    fields = {"weight": values(outputs, channels, 1, 1, seed=1), "bias": values(outputs, seed=2), **fields}
    return build.add(ir.Conv2d, f"{name}conv", [pool], **fields)


@pytest.fixture
def build() -> NetBuilder:
    return NetBuilder(("image",))


def test_a_pool_goes_behind_its_convolution(build: NetBuilder) -> None:
    name = block(build)
    net = build.finish([build.add(ir.Add, "sum", [build.add(ir.Relu, "relu", [name]), name])])
    moved = pools_last(net)
    assert kinds(moved) == ["Conv2d", "AvgPool2d", "Relu", "Add"]
    check_equal(net, moved, SHAPES)


def test_one_behind_the_other(build: NetBuilder) -> None:
    net = build.finish([build.add(ir.Relu, "relu", [block(build, block(build, name="a"), "b", 2)])])
    moved = pools_last(net)
    assert kinds(moved) == ["Conv2d", "AvgPool2d", "Conv2d", "AvgPool2d", "Relu"]
    assert [layer.name for layer in moved] == ["aconv", "apool", "bconv", "bpool", "relu"]
    check_equal(net, moved, SHAPES)


@pytest.mark.parametrize(
    "fields",
    [
        {"outputs": 8},
        {"weight": values(4, 8, 3, 3)},
        {"stride": (2, 2)},
        {"padding": (1, 1, 1, 1)},
        {"weight": values(4, 4, 1, 1), "groups": 2},
    ],
)
def test_other_convolutions_stay_behind_their_pool(build: NetBuilder, fields: dict[str, Any]) -> None:
    net = build.finish([build.add(ir.Relu, "relu", [block(build, **fields)])])
    assert pools_last(net) is net


def test_outputs_keep_their_values(build: NetBuilder) -> None:
    name = block(build)
    net = build.finish([build.add(ir.Relu, "relu", [name]), "pool"])
    assert pools_last(net) is net
    assert pools_last(ir.NetGraph(net.inputs, ("conv",), net.layers)).outputs == ("conv",)
    assert kinds(pools_last(ir.NetGraph(net.inputs, ("conv",), net.layers)))[0] == "AvgPool2d"


def test_a_pool_that_another_layer_takes_stays(build: NetBuilder) -> None:
    name = block(build)
    both = build.add(ir.Concat, "both", [build.add(ir.Relu, "relu", [name]), "pool"])
    net = build.finish([both])
    assert pools_last(net) is net


def test_after_factors_are_folded(build: NetBuilder) -> None:
    scale, shift = values(2, 4, seed=3)
    scaled = build.add(ir.Affine, "norm", [block(build)], scale=scale, shift=shift)
    net = build.finish([build.add(ir.Relu, "relu", [scaled])])
    assert kinds(standard_passes(net)) == ["Conv2d", "AvgPool2d", "Relu"]
    check_equal(net, standard_passes(net), SHAPES)
