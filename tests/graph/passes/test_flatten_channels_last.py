"""Maps are flattened as TensorFlow does wherever only fully connected layers take the rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.passes.flatten_channels_last import flatten_channels_last
from tests.graph.passes.nets import check_equal, kinds, values

SHAPES = {"image": (2, 3, 4, 5)}
TAKEN = 6 * 4 * 5


@pytest.fixture
def build() -> NetBuilder:
    return NetBuilder(("image",))


def conv(build: NetBuilder, source: str = "image") -> str:
    """A map of six channels."""
    return build.add(ir.Conv2d, "conv", [source], weight=values(6, 3, 1, 1, seed=1))


def flatten(build: NetBuilder, source: str) -> str:
    return build.add(ir.Flatten, "flat", [source])


def linear(build: NetBuilder, source: str, taken: int = TAKEN, seed: int = 2) -> str:
    return build.add(ir.Linear, "linear", [source], weight=values(7, taken, seed=seed), bias=values(7, seed=3))


def orders(net: ir.NetGraph) -> list[bool]:
    return [layer.channels_last for layer in net if isinstance(layer, ir.Flatten)]


def check_turned(net: ir.NetGraph) -> None:
    turned = flatten_channels_last(net)
    assert orders(net) == [False]
    assert orders(turned) == [True]
    assert kinds(turned) == kinds(net)
    assert [layer.name for layer in turned] == [layer.name for layer in net]
    check_equal(net, turned, SHAPES)


def test_weights_are_turned_and_stay_views(build: NetBuilder) -> None:
    net = build.finish([linear(build, flatten(build, conv(build)))])
    check_turned(net)
    before, after = (each.layers[-1] for each in (net, flatten_channels_last(net)))
    assert isinstance(before, ir.Linear)
    assert isinstance(after, ir.Linear)
    assert np.shares_memory(before.weight, after.weight)
    assert not np.array_equal(before.folded(), after.folded())


def test_weights_of_four_axes(build: NetBuilder) -> None:
    row = flatten(build, conv(build))
    weight = values(7, 6, 4, 5).astype(np.float16)
    check_turned(build.finish([build.add(ir.Linear, "linear", [row], weight=weight, scale=np.arange(7.0))]))


def test_several_layers_and_activations_between(build: NetBuilder) -> None:
    row = flatten(build, conv(build))
    active = build.add(ir.HardSwish, "swish", [build.add(ir.Relu, "relu", [row])])
    outputs = [linear(build, active), linear(build, active, seed=4), linear(build, row, seed=5)]
    # What a fully connected layer made has no order of channels: its takers stay as they are.
    outputs.append(linear(build, outputs[0], taken=7, seed=6))
    net = build.finish(outputs)
    check_turned(net)
    assert flatten_channels_last(net).layers[-1] is net.layers[-1]


@pytest.mark.parametrize(
    "add",
    [
        lambda build: build.add(ir.GlobalAvgPool, "mean", [conv(build)]),
        lambda build: build.add(ir.ConvTranspose2d, "larger", ["image"], weight=values(3, 6, 1, 1)),
        lambda build: build.add(ir.Concat, "joined", [conv(build), conv(build)]),
        lambda build: build.add(ir.MaxPool2d, "pool", [build.add(ir.Relu, "relu", [conv(build)])], kernel=(1, 1)),
    ],
)
def test_channels_that_are_told_by_other_layers(build: NetBuilder, add: Callable[[NetBuilder], str]) -> None:
    name = add(build)
    taken = {"mean": 6, "joined": 2 * TAKEN}.get(name, TAKEN)
    check_turned(build.finish([linear(build, flatten(build, name), taken)]))


def of_the_input(build: NetBuilder) -> list[str]:
    """A net does not tell how many channels its input has."""
    return [linear(build, flatten(build, build.add(ir.Relu, "relu", ["image"])), 60)]


def joined_with_the_input(build: NetBuilder) -> list[str]:
    """It is seen by no layer that tells its channels."""
    return [linear(build, flatten(build, build.add(ir.Concat, "joined", ["image", "image"])), 120)]


def test_an_input_has_the_channels_that_a_convolution_takes(build: NetBuilder) -> None:
    joined = build.add(ir.Concat, "joined", ["image", conv(build)])
    check_turned(build.finish([linear(build, flatten(build, joined), 180)]))


def row_is_an_output(build: NetBuilder) -> list[str]:
    row = flatten(build, conv(build))
    return [row, linear(build, row)]


def active_row_is_an_output(build: NetBuilder) -> list[str]:
    row = build.add(ir.Relu, "relu", [flatten(build, conv(build))])
    return [linear(build, row), row]


def others_look_at_it(build: NetBuilder) -> list[str]:
    row = flatten(build, conv(build))
    return [linear(build, row), build.add(ir.Add, "sum", [row, row])]


def channels_last_already(build: NetBuilder) -> list[str]:
    return [linear(build, build.add(ir.Flatten, "flat", [conv(build)], channels_last=True))]


@pytest.mark.parametrize(
    "outputs",
    [
        *(of_the_input, joined_with_the_input, row_is_an_output, active_row_is_an_output, others_look_at_it),
        channels_last_already,
    ],
)
def test_others_stay_as_they_are(build: NetBuilder, outputs: Callable[[NetBuilder], list[str]]) -> None:
    net = build.finish(outputs(build))
    assert flatten_channels_last(net).layers == net.layers
