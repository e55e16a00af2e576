"""What the layers of a net make of inputs of any size, and what that takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.shape_inference import LayerShape, Shape, ShapeInference
from tests.importers.net_runner import run

Write = Callable[[NetBuilder], str]


def net(write: Write) -> ir.NetGraph:
    build = NetBuilder(("image",))
    return build.finish([write(build)])


def layer(layer_class: type[ir.Layer], **fields: Any) -> Write:
    return lambda build: build.add(layer_class, "layer", ["image"], **fields)


def conv(*shape: int, **fields: Any) -> Write:
    return layer(ir.Conv2d, weight=np.ones(shape, np.float32), **fields)


def two(layer_class: type[ir.Layer], second: Write) -> Write:
    """A layer of the image and of what is made of it."""
    return lambda build: build.add(layer_class, "both", ["image", second(build)])


IMAGE = (2, 3, 9, 7)
SHAPES: list[tuple[Write, Shape]] = [
    (conv(8, 3, 3, 3), (2, 8, 7, 5)),
    (conv(8, 3, 3, 3, padding=(1, 1, 1, 1), stride=(2, 2)), (2, 8, 5, 4)),
    (conv(8, 3, 3, 3, padding="same", stride=(2, 2)), (2, 8, 5, 4)),
    (conv(8, 3, 2, 3, padding=(1, 0, 0, 2)), (2, 8, 9, 7)),
    (conv(8, 3, 3, 3, padding=(2, 2, 2, 2), dilation=(2, 2)), (2, 8, 9, 7)),
    (conv(8, 3, 3, 3, dilation=(4, 3)), (2, 8, 1, 1)),
    (conv(8, 3, 3, 3, padding="same", dilation=(4, 4)), (2, 8, 9, 7)),
    (conv(9, 1, 3, 3, groups=3), (2, 9, 7, 5)),
    (layer(ir.ConvTranspose2d, weight=np.ones((3, 4, 2, 3), np.float32)), (2, 4, 18, 21)),
    (layer(ir.Affine, scale=np.ones(3), shift=np.ones(3)), IMAGE),
    (layer(ir.MaxPool2d, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1)), (2, 3, 5, 4)),
    (layer(ir.MaxPool2d, kernel=(2, 2), stride=(2, 2), padding="same"), (2, 3, 5, 4)),
    (layer(ir.AvgPool2d, kernel=(2, 2), stride=(2, 2)), (2, 3, 4, 3)),
    (layer(ir.GlobalAvgPool), (2, 3, 1, 1)),
    (layer(ir.Pad, padding=(1, 2, 3, 4)), (2, 3, 13, 13)),
    (layer(ir.Upsample, factors=(2, 3)), (2, 3, 18, 21)),
    (layer(ir.Resize, size=(5, 6), mode="bilinear", coordinates="align_corners"), (2, 3, 5, 6)),
    (layer(ir.Flatten), (2, 189)),
    (layer(ir.HardSwish), IMAGE),
    (two(ir.Concat, layer(ir.Relu)), (2, 6, 9, 7)),
    (two(ir.Add, layer(ir.Relu)), IMAGE),
    (two(ir.Mul, layer(ir.GlobalAvgPool)), IMAGE),
    (
        lambda build: build.add(ir.Linear, "rows", [layer(ir.Flatten)(build)], weight=np.ones((5, 63, 3), np.float32)),
        (2, 5),
    ),
]


@pytest.mark.parametrize(("write", "shape"), SHAPES)
def test_what_layers_make_of_a_map(write: Write, shape: Shape) -> None:
    made = net(write)
    assert ShapeInference(made).results({"image": IMAGE}) == [shape]
    if not any(isinstance(each, ir.Resize) for each in made):
        (found,) = run(made, {"image": np.ones(IMAGE, np.float32)})
        assert found.shape == shape


REFUSED: list[tuple[Write, str]] = [
    (conv(8, 5, 3, 3), "takes 5 channels but is given 3"),
    (conv(8, 1, 3, 3), "takes 1 channels but is given 3"),
    (conv(8, 3, 9, 9), "nothing left of its input: the image is too small"),
    (conv(8, 3, 3, 3, dilation=(4, 4)), "nothing left"),
    (layer(ir.ConvTranspose2d, weight=np.ones((4, 4, 2, 2), np.float32)), "takes 4 channels but is given 3"),
    (layer(ir.Linear, weight=np.ones((3, 8), np.float32)), r"\(Linear\) cannot take"),
    (layer(ir.Affine, scale=np.ones(4), shift=np.ones(4)), "numbers for 4 channels of 3"),
    (layer(ir.MaxPool2d, kernel=(2, 3), padding=(2, 0, 0, 0)), "pads as much as its window is large"),
    (two(ir.Add, conv(8, 3, 1, 1)), "different shapes"),
    (two(ir.Mul, layer(ir.MaxPool2d, kernel=(2, 2))), "multiplies maps of different shapes"),
    (two(ir.Concat, layer(ir.MaxPool2d, kernel=(2, 2))), "joins maps of different sizes"),
    (
        lambda build: build.add(ir.Linear, "rows", [layer(ir.Flatten)(build)], weight=np.ones((5, 3), np.float32)),
        "takes 3 numbers but is given 192",
    ),
    (
        lambda build: build.add(
            ir.Conv2d, "second", [layer(ir.Flatten)(build)], weight=np.ones((8, 3, 3, 3), np.float32)
        ),
        "takes maps but is given rows",
    ),
    (
        lambda build: build.add(ir.Pad, "second", [layer(ir.Flatten)(build)], padding=(1, 1, 1, 1)),
        "takes maps but is given rows",
    ),
]


@pytest.mark.parametrize(("write", "match"), REFUSED)
def test_layers_that_do_not_fit_together(write: Write, match: str) -> None:
    with pytest.raises(ModelFileError, match=match):
        ShapeInference(net(write)).layers({"image": (1, 3, 8, 8)})


def test_a_sum_of_what_layers_take() -> None:
    build = NetBuilder(("image",))
    bias = np.ones(8, np.float32)
    first = build.add(ir.Conv2d, "conv", ["image"], weight=np.ones((8, 1, 3, 3), np.float32), bias=bias, groups=2)
    last = build.add(ir.MaxPool2d, "pool", [first], kernel=(2, 2), stride=(2, 2))
    found = ShapeInference(build.finish([last])).layers({"image": (1, 2, 10, 6)})
    assert found == [
        LayerShape("conv", "Conv2d", (1, 8, 8, 4), parameters=80, flops=2 * 256 * 9 + 256),
        LayerShape("pool", "MaxPool2d", (1, 8, 4, 2), parameters=0, flops=64 * 4),
    ]


def test_memory_is_what_is_there_at_the_same_time() -> None:
    build = NetBuilder(("image",))
    first = build.add(ir.Relu, "first", ["image"])
    second = build.add(ir.Relu, "second", [first])
    third = build.add(ir.Relu, "third", [second])
    shapes, inputs = (
        ShapeInference(build.finish([build.add(ir.Add, "sum", [third, second])])),
        {"image": (1, 1, 10, 10)},
    )
    # The second, the third, and their sum.
    assert shapes.peak_bytes(inputs, shapes.layers(inputs)) == 3 * 400


def test_it_holds_no_weights() -> None:
    tracemalloc.start()
    try:
        made = net(conv(512, 512, 3, 3, scale=np.ones(512)))
        shapes = ShapeInference(made)
        del made
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100_000
    assert shapes.layers({"image": (1, 512, 8, 8)})[0].parameters == 512 * 512 * 9
