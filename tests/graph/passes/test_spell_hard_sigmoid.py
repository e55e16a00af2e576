"""Hard sigmoids in other layers."""

from __future__ import annotations

from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.passes.spell_hard_sigmoid import spell_hard_sigmoid
from tests.graph.passes.nets import check_equal, kinds, values


def gated() -> ir.NetGraph:
    """A squeeze-and-excitation unit."""
    build = NetBuilder(("image",))
    source = build.add(ir.Conv2d, "conv", ["image"], weight=values(6, 3, 1, 1, seed=1))
    mean = build.add(ir.GlobalAvgPool, "mean", [source])
    inner = build.add(ir.Conv2d, "inner", [mean], weight=values(6, 6, 1, 1, seed=2))
    gate = build.add(ir.HardSigmoid, "gate", [inner], alpha=1 / 6, beta=0.5)
    return build.finish([build.add(ir.Mul, "product", [gate, source])])


def test_numbers_stay() -> None:
    net = gated()
    spelled = spell_hard_sigmoid(net)
    assert kinds(spelled) == ["Conv2d", "GlobalAvgPool", "Conv2d", "Affine", "Relu6", "Affine", "Mul"]
    check_equal(net, spelled, {"image": (2, 3, 4, 5)})


def test_a_net_without_one_stays_as_it_is() -> None:
    build = NetBuilder(("image",))
    net = build.finish([build.add(ir.Relu, "relu", ["image"])])
    assert spell_hard_sigmoid(net).layers == net.layers
