"""What a net may be made of: names, bounds, numbers that are numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder, check_finite, largest

ONES = np.ones((4, 3, 3, 3), np.float32)


@pytest.fixture
def build() -> NetBuilder:
    return NetBuilder(("image",))


def test_names_are_unique_and_stay_short(build: NetBuilder) -> None:
    names = [build.add(ir.Relu, name, ["image"]) for name in ("image", "relu", "relu", "relu", "relu_", "relu_")]
    assert names == ["image_", "relu", "relu_", "relu_2", "relu__", "relu__2"]
    assert [layer.name for layer in build.finish(names)] == names


def test_layers_that_no_output_needs_are_left_out(build: NetBuilder) -> None:
    first = build.add(ir.Relu, "first", ["image"])
    build.add(ir.Relu, "unused", [first])
    last = build.add(ir.Relu, "last", [first])
    net = build.finish([last, "image"])
    assert [layer.name for layer in net] == ["first", "last"]
    assert net.outputs == ("last", "image")


def test_a_layer_takes_only_what_is_there(build: NetBuilder) -> None:
    with pytest.raises(ValueError, match="takes 'other'"):
        build.add(ir.Relu, "relu", ["other"])


def test_biases_of_zero_are_none_and_one_is_that_of_all(build: NetBuilder) -> None:
    none = build.add(ir.Conv2d, "none", ["image"], weight=ONES, bias=np.zeros(4, np.float32))
    one = build.add(ir.Conv2d, "one", ["image"], weight=ONES, bias=np.ones(1, np.float64), dilation=(2, 2))
    layers = build.finish([none, one]).by_name
    first, second = layers[none], layers[one]
    assert isinstance(first, ir.Conv2d)
    assert isinstance(second, ir.Conv2d)
    assert first.bias is None
    assert second.bias is not None
    assert second.bias.dtype == np.float32
    np.testing.assert_array_equal(second.bias, np.ones(4))
    assert second.dilation == (2, 2)


def test_a_kernel_of_one_cell_is_not_dilated(build: NetBuilder) -> None:
    build.add(ir.Conv2d, "conv", ["image"], weight=ONES[:, :, :1, :1], dilation=(4, 4), stride=(2, 2))
    (layer,) = build.finish(["conv"])
    assert isinstance(layer, ir.Conv2d)
    assert layer.dilation == (1, 1)


def test_weights_are_not_copied(build: NetBuilder) -> None:
    weight = np.ones((300, 40, 9, 7), np.float32).transpose(1, 0, 3, 2)
    build.add(ir.Conv2d, "conv", ["image"], weight=weight)
    (layer,) = build.finish(["conv"])
    assert isinstance(layer, ir.Conv2d)
    assert layer.weight is weight


def test_a_row_is_not_flattened_once_more(build: NetBuilder) -> None:
    row = build.add(ir.Flatten, "flat", ["image"])
    assert build.add(ir.Flatten, "again", [row], channels_last=True) == row
    active = build.add(ir.Relu, "relu", [build.add(ir.Linear, "rows", [row], weight=ONES[:, 0])])
    assert build.add(ir.Flatten, "again", [active]) == active
    # Of an input nobody knows what it is.
    again = build.add(ir.Flatten, "again", ["image"])
    assert [layer.name for layer in build.finish([active, again])] == ["flat", "rows", "relu", "again"]


def conv(weight: Any = ONES, **fields: Any) -> Callable[[NetBuilder], str]:
    return lambda build: build.add(ir.Conv2d, "layer", ["image"], weight=weight, **fields)


def other(layer_class: type[ir.Layer], *inputs: str, **fields: Any) -> Callable[[NetBuilder], str]:
    return lambda build: build.add(layer_class, "layer", inputs or ("image",), **fields)


REFUSED: list[tuple[Callable[[NetBuilder], str], str]] = [
    (conv(np.ones((4, 3), np.float32)), r"weights of the shape \[4, 3\]"),
    (conv(np.ones((4, 0, 1, 1), np.float32)), "weights of the shape"),
    (conv(np.ones((4, 3, 1, 1), np.int64)), "weights of the shape"),
    (conv(np.ones((1, 1, 65, 1), np.float32)), r"kernel sides \[65, 1\] of 'layer' are out of range"),
    (conv(stride=(0, 1)), "strides"),
    (conv(stride=(65, 1)), "strides"),
    (conv(dilation=(65, 1)), "dilations"),
    (conv(dilation=(2, 2), stride=(2, 2)), "has strides, which is not supported"),
    (conv(padding=(0, 0, 65, 0)), "paddings"),
    (conv(padding=(0, -1, 0, 0)), "paddings"),
    (conv(groups=3), "3 groups for 4 channels"),
    (conv(bias=np.ones(5, np.float32)), "4 channels but 5"),
    (conv(scale=np.ones(5)), "4 channels but 5"),
    (conv(bias=np.array([1, np.nan, 1, 1], np.float32)), "'layer/biases' are not all finite"),
    (conv(bias=np.array([1, 1e300, 1, 1])), "'layer/biases' are not all finite"),
    (conv(scale=np.array([1, np.inf, 1, 1])), "'layer/scale' are not all finite"),
    (conv(np.where(ONES > 0, np.float32(-np.inf), ONES)), "'layer/weights' are not all finite"),
    (other(ir.ConvTranspose2d, weight=np.ones((3, 4, 9, 9), np.float32)), "more than 8 times"),
    (other(ir.Linear, weight=np.broadcast_to(np.float32(1), (1, (1 << 24) + 1))), "rows of 16777217 numbers"),
    (other(ir.Affine, scale=np.ones(3), shift=np.ones(2)), "3 factors but 2"),
    (other(ir.Affine, scale=np.array([np.nan]), shift=np.ones(2)), "not all finite numbers"),
    (other(ir.MaxPool2d, kernel=(65, 1)), "window"),
    (other(ir.MaxPool2d, kernel=(3, 3), padding=(0, 0, 0, 99)), "paddings"),
    (other(ir.AvgPool2d, kernel=(3, 3), padding=(1, 1, 1, 1)), "paddings of its own"),
    (other(ir.Pad, padding=(0, 0, 65, 0)), "paddings"),
    (other(ir.Upsample, factors=(2, 65)), "repeats pixels"),
    (other(ir.Resize, size=(0, 5), mode="bilinear", coordinates="asymmetric"), "resizes to 0x5"),
    (other(ir.Resize, size=(5, 1025), mode="bilinear", coordinates="asymmetric"), "resizes to 5x1025"),
    (other(ir.HardSigmoid, alpha=float("nan"), beta=0.5), "not all finite"),
    (other(ir.Add, "image"), "takes 1 maps"),
    (other(ir.Relu, "image", "image"), "takes 2 maps"),
]


@pytest.mark.parametrize(("spoil", "match"), REFUSED)
def test_out_of_bounds(build: NetBuilder, spoil: Callable[[NetBuilder], str], match: str) -> None:
    with pytest.raises(ModelFileError, match=match) as error:
        spoil(build)
    assert "\n" not in str(error.value)


def test_layers_without_number(build: NetBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and biases count, as does the input."""
    monkeypatch.setattr("mrcnn_cv.graph.net_builder.MAX_LAYERS", 7)
    for _ in range(2):
        conv(bias=np.ones(4, np.float32))(build)
    with pytest.raises(ModelFileError, match="more than 7 layers"):
        build.add(ir.Relu, "relu", ["image"])


def test_weights_without_number(build: NetBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an engine holds them: halves become float32."""
    monkeypatch.setattr("mrcnn_cv.graph.net_builder.MAX_WEIGHT_BYTES", 2 * ONES.nbytes)
    for _ in range(2):
        conv(ONES.astype(np.float16))(build)
    with pytest.raises(ModelFileError, match="would not fit into memory"):
        conv(ONES.astype(np.float16))(build)


LARGE = np.random.default_rng(0).normal(size=(3, 700, 11, 13)).astype(np.float32)


@pytest.mark.parametrize(
    "view",
    [
        LARGE,
        LARGE.T,
        LARGE.transpose(2, 0, 3, 1),
        LARGE[:, ::-1],
        LARGE[:, :, ::2],
        LARGE.reshape(1, 3, -1)[:, :, 1:],
        LARGE[0, 0],
        LARGE[..., :0],
    ],
)
def test_the_largest_number_of_any_view(view: ir.Array) -> None:
    assert largest(view) == float(np.abs(view).max(initial=0))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 123_456, LARGE.size - 1])
def test_one_number_that_is_none(number: float, place: int) -> None:
    spoilt = LARGE.copy()
    spoilt.reshape(-1)[place] = number
    for view in (spoilt, spoilt.T, spoilt[:, ::-1]):
        with pytest.raises(ModelFileError, match="the numbers of 'it' are not all finite: the training has diverged"):
            check_finite(view, "it")
