"""Factors and shifts go into the weights before them, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.passes.fold_affine import fold_affine
from tests.graph.passes.nets import check_equal, kinds, values

SHAPES = {"image": (2, 3, 6, 7)}


@pytest.fixture
def build() -> NetBuilder:
    return NetBuilder(("image",))


def affine(build: NetBuilder, name: str, source: str, channels: int = 4, seed: int = 5) -> str:
    scale, shift = values(2, channels, seed=seed).astype(np.float64)
    return build.add(ir.Affine, name, [source], scale=scale, shift=shift)


def conv(build: NetBuilder, name: str = "conv", source: str = "image", **fields: Any) -> str:
    fields = {"weight": values(4, 3, 3, 3, seed=1), "bias": values(4, seed=2), **fields}
    return build.add(ir.Conv2d, name, [source], **fields)


WEIGHTED: list[dict[str, Any]] = [
    {"layer_class": ir.Conv2d, "weight": values(4, 3, 3, 3)},
    {"layer_class": ir.Conv2d, "weight": values(4, 3, 3, 3), "bias": values(4)},
    {"layer_class": ir.Conv2d, "weight": values(6, 1, 3, 3), "groups": 3, "scale": np.arange(1.0, 7)},
    {"layer_class": ir.ConvTranspose2d, "weight": values(3, 5, 2, 2), "bias": values(5)},
    {"layer_class": ir.Linear, "weight": values(5, 42, 3), "bias": values(5)},
]


@pytest.mark.parametrize("fields", WEIGHTED)
@pytest.mark.parametrize("count", [1, 3])
def test_layers_with_weights_take_factors_in(build: NetBuilder, fields: dict[str, Any], count: int) -> None:
    flat = fields["layer_class"] is ir.Linear
    source = build.add(ir.Flatten, "rows", ["image"]) if flat else "image"
    name = build.add(name="layer", inputs=[source], **fields)
    channels = fields["weight"].shape[1 if fields["layer_class"] is ir.ConvTranspose2d else 0]
    for index in range(count):
        name = affine(build, f"affine{index}", name, channels, seed=index)
    net = build.finish([build.add(ir.Relu, "relu", [name])])
    folded = fold_affine(net)
    assert kinds(folded)[-2:] == [fields["layer_class"].__name__, "Relu"]
    assert len(folded.layers) == len(net.layers) - count
    assert np.shares_memory(folded.by_name["layer"].arrays()[0], fields["weight"])
    check_equal(net, folded, SHAPES)


def test_an_output_is_called_like_the_layer_that_took_the_factors_in(build: NetBuilder) -> None:
    net = build.finish([affine(build, "affine", conv(build))])
    folded = fold_affine(net)
    assert folded.outputs == ("conv",)
    check_equal(net, folded, SHAPES)


def test_a_shift_alone_leaves_no_factors(build: NetBuilder) -> None:
    shifted = build.add(ir.Affine, "shift", [conv(build, bias=None)], scale=np.ones(1), shift=np.arange(4.0))
    (layer,) = fold_affine(build.finish([shifted]))
    assert isinstance(layer, ir.Conv2d)
    assert layer.scale is None
    assert layer.bias is not None
    np.testing.assert_array_equal(layer.bias, np.arange(4))


def test_one_number_for_all_channels(build: NetBuilder) -> None:
    halved = build.add(ir.Affine, "half", [conv(build)], scale=np.array([0.5]), shift=np.array([1.0]))
    net = build.finish([affine(build, "affine", halved)])
    assert kinds(fold_affine(net)) == ["Conv2d"]
    check_equal(net, fold_affine(net), SHAPES)


def test_what_somebody_else_takes_is_not_scaled(build: NetBuilder) -> None:
    """A second taker, or an output, gets what it got before; the rest of the row still becomes one."""
    first = affine(build, "second", affine(build, "first", conv(build)), seed=6)
    for outputs, others in (([first, "conv"], []), ([first], ["conv"])):
        own = NetBuilder(("image",))
        name = affine(own, "second", affine(own, "first", conv(own)), seed=6)
        for other in others:
            name = own.add(ir.Add, "sum", [name, own.add(ir.Relu, "relu", [other])])
        net = own.finish([name, *outputs[1:]])
        folded = fold_affine(net)
        assert kinds(folded)[:2] == ["Conv2d", "Affine"]
        assert kinds(folded).count("Affine") == 1
        check_equal(net, folded, SHAPES)


def test_a_row_of_factors_that_is_taken_twice_ends_there(build: NetBuilder) -> None:
    first = affine(build, "first", conv(build))
    second = affine(build, "second", first, seed=6)
    net = build.finish([build.add(ir.Add, "sum", [first, second])])
    folded = fold_affine(net)
    assert kinds(folded) == ["Conv2d", "Affine", "Add"]
    check_equal(net, folded, SHAPES)


def test_factors_of_an_image_become_one(build: NetBuilder) -> None:
    net = build.finish([conv(build, source=affine(build, "two", affine(build, "one", "image", 3), 3, seed=6))])
    folded = fold_affine(net)
    assert kinds(folded) == ["Affine", "Conv2d"]
    check_equal(net, folded, SHAPES)


def test_factors_that_do_not_fit(build: NetBuilder) -> None:
    net = build.finish([affine(build, "affine", conv(build), channels=5)])
    with pytest.raises(ModelFileError, match="'conv' has 4 channels but 5 factors follow it"):
        fold_affine(net)
    other = NetBuilder(("image",))
    net = other.finish([affine(other, "second", affine(other, "first", conv(other)), channels=5)])
    with pytest.raises(ModelFileError, match=r"'second' \(Affine\) scales another number of channels"):
        fold_affine(net)


def scaled(build: NetBuilder, *factors: float, weight: float = 1.0) -> ir.NetGraph:
    name = conv(build, weight=np.full((4, 3, 1, 1), weight, np.float32), bias=None)
    for index, factor in enumerate(factors):
        name = build.add(ir.Affine, f"affine{index}", [name], scale=np.array([factor]), shift=np.zeros(1))
    return build.finish([name])


def test_numbers_that_are_none_after_it(build: NetBuilder) -> None:
    with pytest.raises(ModelFileError, match="'conv/weights' are not all finite"):
        fold_affine(scaled(build, 1e30, weight=1e30))
    with pytest.raises(ModelFileError, match="the weights of 'affine1' are not all finite numbers"):
        fold_affine(scaled(NetBuilder(("image",)), 1e200, 1e200))
    with pytest.raises(ModelFileError, match="'conv/biases' are not all finite"):
        fold_affine(shifted(1e300))
    # Only what is left in the end counts.
    assert kinds(fold_affine(scaled(NetBuilder(("image",)), 1e30, 1e-30, weight=1e30))) == ["Conv2d"]


def shifted(amount: float) -> ir.NetGraph:
    build = NetBuilder(("image",))
    return build.finish([build.add(ir.Affine, "affine", [conv(build)], scale=np.ones(1), shift=np.array([amount]))])


def test_factors_of_nets_that_nobody_checked(build: NetBuilder) -> None:
    net = build.finish([affine(build, "affine", conv(build))])
    (first, last) = net
    spoilt = replace(net, layers=(first, replace(last, scale=np.full(4, np.nan))))  # type: ignore[call-arg]
    with pytest.raises(ModelFileError, match="the weights of 'affine' are not all finite numbers"):
        fold_affine(spoilt)
