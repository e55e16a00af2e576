"""Small nets with random weights: for each kind of layer all that can differ, and some with everything in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.graph import ir

Float = Any  # arrays of float32


@dataclass(frozen=True)
class Case:
    """A net of one input "image", and shapes (C, H, W) or (K,) of what it takes, one after the other."""

    name: str
    net: ir.NetGraph
    shapes: tuple[tuple[int, ...], ...]

    def inputs(self, seed: int = 0) -> Iterator[dict[str, Float]]:
        """Random inputs of all shapes, one, two or three of a kind at once."""
        numbers = np.random.default_rng(seed)
        for index, shape in enumerate(self.shapes):
            yield {"image": numbers.normal(size=(index % 3 + 1, *shape)).astype(np.float32) * 2}

    def __str__(self) -> str:
        return self.name


BORDER = ("resize_nearest_half_pixel_15_11", (6, 21, 14))
"""The middle one of 11 pixels lies on the border between two of 14, where the noise of 32 bits decides."""


def settled(case: Case) -> Case:
    """Without what noise decides."""
    return replace(case, shapes=tuple(shape for shape in case.shapes if (case.name, shape) != BORDER))


MAPS = ((6, 12, 16), (6, 13, 16), (6, 12, 17), (6, 9, 9), (6, 12, 16), (6, 21, 14))
HEAD = ((6, 7, 7),) * 4
ROWS = ((18,),) * 4


class Weights:
    """Random ones, as they come from files: of other types, and as views whose axes are turned."""

    def __init__(self, seed: int) -> None:
        self._numbers = np.random.default_rng(seed)

    def of(self, *shape: int) -> Float:
        return (self._numbers.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    def turned(self, *shape: int) -> Float:
        """As TensorFlow stores a kernel: height, width, in, out."""
        return np.ascontiguousarray(self.of(*shape).transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)

    def factors(self, count: int) -> NDArray[np.float64]:
        return self._numbers.uniform(0.5, 1.5, count)

    def conv(self, name: str, source: str, taken: int, given: int, side: int = 3, **others: Any) -> ir.Conv2d:
        groups = others.get("groups", 1)
        weight = self.turned(given, taken // groups, side, side)
        return ir.Conv2d(name, (source,), weight, self.of(given), self.factors(given), **others)


def one(name: str, *layers: ir.Layer, shapes: tuple[tuple[int, ...], ...] = MAPS) -> Case:
    """A net with one result, that of its last layer."""
    return Case(name, ir.NetGraph(("image",), (layers[-1].name,), layers), shapes)


def cases() -> list[Case]:
    """All nets."""
    return [*_convs(), *_weighted(), *_pools(), *_sizes(), *_others(), *_whole()]


def _convs() -> Iterator[Case]:
    weights = Weights(1)
    variants: list[tuple[str, int, dict[str, Any]]] = [
        ("valid", 3, {}),
        ("pads", 3, {"padding": (2, 0, 1, 3)}),
        ("same", 3, {"padding": "same"}),
        ("same_even", 2, {"padding": "same"}),
        ("same_strided", 3, {"padding": "same", "stride": (2, 2)}),
        ("same_strided_even", 2, {"padding": "same", "stride": (2, 2)}),
        ("same_strided_7", 7, {"padding": "same", "stride": (2, 2)}),
        ("same_stride_of_two_kinds", 3, {"padding": "same", "stride": (2, 1)}),
        ("same_small", 1, {"padding": "same", "stride": (2, 2)}),
        ("same_smaller_than_stride", 2, {"padding": "same", "stride": (3, 3)}),
        ("pads_strided", 3, {"padding": (0, 0, 1, 1), "stride": (2, 2)}),
        ("dilated", 3, {"dilation": (2, 2)}),
        ("same_dilated", 3, {"padding": "same", "dilation": (2, 3)}),
        ("groups", 3, {"padding": "same", "groups": 2}),
        ("depthwise", 3, {"padding": "same", "groups": 6, "stride": (2, 2)}),
    ]
    for name, side, others in variants:
        yield one(f"conv_{name}", weights.conv("conv", "image", 6, 12, side, **others))
    half = weights.of(5, 6, 3, 3).astype(np.float16)
    yield one("conv_half", ir.Conv2d("conv", ("image",), half, None, None))


def _weighted() -> Iterator[Case]:
    weights = Weights(2)
    patches = weights.turned(6, 4, 2, 2)
    yield one(
        "transposed", ir.ConvTranspose2d("up", ("image",), patches, weights.of(4), weights.factors(4)), shapes=HEAD
    )
    yield one("transposed_of_two_sides", ir.ConvTranspose2d("up", ("image",), weights.of(6, 4, 2, 3)))
    matrix = weights.of(18, 5).T
    yield one("linear", ir.Linear("rows", ("image",), matrix, weights.of(5), weights.factors(5)), shapes=ROWS)
    yield one("linear_of_many_axes", ir.Linear("rows", ("image",), weights.turned(5, 2, 3, 3)), shapes=ROWS)
    yield one("affine", ir.Affine("affine", ("image",), weights.factors(6), weights.factors(6)))
    first = ir.Linear("first", ("image",), weights.of(4, 18))
    yield one(
        "affine_of_rows", first, ir.Affine("affine", ("first",), weights.factors(4), weights.factors(4)), shapes=ROWS
    )


def _pools() -> Iterator[Case]:
    variants: list[tuple[str, ir.Pair, ir.Pair, ir.Padding]] = [
        ("valid", (3, 3), (2, 2), ir.NO_PADDING),
        ("same", (3, 3), (1, 1), "same"),
        ("same_even", (2, 2), (1, 1), "same"),
        ("same_strided", (3, 3), (2, 2), "same"),
        ("same_strided_even", (2, 2), (2, 2), "same"),
        ("of_two_sides", (2, 3), (2, 1), "same"),
        ("of_one_pixel", (1, 1), (2, 2), "same"),
    ]
    for name, kernel, stride, padding in variants:
        yield one(f"max_pool_{name}", ir.MaxPool2d("pool", ("image",), kernel, stride, padding))
        yield one(f"avg_pool_{name}", ir.AvgPool2d("pool", ("image",), kernel, stride, padding))
    yield one("max_pool_pads", ir.MaxPool2d("pool", ("image",), (3, 3), (2, 2), (1, 1, 1, 1)))
    yield one("max_pool_odd_pads", ir.MaxPool2d("pool", ("image",), (3, 3), (2, 2), (0, 1, 1, 0)))
    yield one("max_pool_tiny", ir.MaxPool2d("pool", ("image",), (2, 2), (2, 2), "same"), shapes=HEAD)
    yield one("global_avg_pool", ir.GlobalAvgPool("mean", ("image",)))


def _sizes() -> Iterator[Case]:
    # By itself, ONNX Runtime's provider for OpenVINO does not take it.
    padded = Weights(5).conv("conv", "pad", 6, 5)
    yield one("pad", ir.Pad("pad", ("image",), (1, 0, 2, 3)), padded)
    yield one("upsample", ir.Upsample("up", ("image",), (2, 2)))
    yield one("upsample_of_two_sides", ir.Upsample("up", ("image",), (3, 2)))
    rules: tuple[Any, ...] = ("asymmetric", "half_pixel", "align_corners")
    modes: tuple[Any, ...] = ("bilinear", "nearest")
    for rule in rules:
        for mode in modes:
            # Where "nearest" hits the border between two pixels, the noise of 32 bits decides: 14 to 4 is left out.
            for size in ((14, 14), (15, 11), (5, 4)) if mode == "bilinear" else ((14, 14), (15, 11)):
                name = f"resize_{mode}_{rule}_{size[0]}_{size[1]}"
                yield one(name, ir.Resize("resize", ("image",), size, mode, rule), shapes=(*HEAD, *MAPS))
    yield one("flatten", ir.Flatten("rows", ("image",)), shapes=HEAD)
    yield one("flatten_channels_last", ir.Flatten("rows", ("image",), True), shapes=HEAD)


def _others() -> Iterator[Case]:
    weights = Weights(3)
    first = weights.conv("first", "image", 6, 5, padding="same")
    second = weights.conv("second", "image", 6, 5, 1)
    rows = ir.Linear("rows", ("image",), weights.of(8, 18))
    activations = (
        ir.Relu("end", ("image",)),
        ir.Relu6("end", ("image",)),
        ir.Sigmoid("end", ("image",)),
        ir.HardSigmoid("end", ("image",), 0.2, 0.5),
        ir.HardSwish("end", ("image",)),
    )
    for layer in activations:
        yield one(layer.op, layer)
        yield one(f"{layer.op}_behind_conv", first, replace(layer, inputs=("first",)))
        yield one(f"{layer.op}_of_rows", rows, replace(layer, inputs=("rows",)), shapes=ROWS)
    yield one("concat", first, second, ir.Concat("end", ("first", "image", "second")))
    yield one("concat_of_one", ir.Concat("end", ("image",)))
    yield one("add", first, second, ir.Add("end", ("first", "second")))
    yield one("add_to_itself", first, ir.Add("end", ("first", "first")))
    yield one("mul", first, second, ir.Mul("end", ("first", "second")))
    for inputs in (("first", "mean"), ("mean", "first")):
        yield one(f"mul_{inputs[0]}", first, ir.GlobalAvgPool("mean", ("first",)), ir.Mul("end", inputs))


def _whole() -> Iterator[Case]:
    weights = Weights(4)
    backbone = (
        weights.conv("conv1", "image", 6, 8, 7, stride=(2, 2), padding="same"),
        ir.Relu("relu1", ("conv1",)),
        ir.MaxPool2d("pool1", ("relu1",), (3, 3), (2, 2), "same"),
        weights.conv("conv2", "pool1", 8, 8, padding="same"),
        ir.Affine("norm", ("conv2",), weights.factors(8), weights.factors(8)),
        ir.Add("sum", ("norm", "pool1")),
        ir.Relu("relu2", ("sum",)),
        weights.conv("conv3", "relu2", 8, 8, stride=(2, 2), padding="same"),
        weights.conv("lateral2", "relu2", 8, 4, 1),
        weights.conv("lateral3", "conv3", 8, 4, 1),
        ir.Upsample("up", ("lateral3",), (2, 2)),
        ir.Sigmoid("objectness", ("lateral3",)),
    )
    sides = ((6, 32, 48), (6, 29, 41), (6, 30, 42), (6, 32, 48))
    # An output that another layer takes is kept, and so is one that an activation follows.
    outputs = ("objectness", "conv3", "lateral2", "up", "relu2", "lateral3")
    yield Case("backbone", ir.NetGraph(("image",), outputs, backbone), sides)
    head = (
        weights.conv("conv", "image", 6, 8, padding="same"),
        ir.Relu6("relu", ("conv",)),
        ir.Flatten("flat", ("relu",), channels_last=True),
        ir.Linear("hidden", ("flat",), weights.of(10, 8 * 49), weights.of(10)),
        ir.Relu("hidden/relu", ("hidden",)),
        ir.Linear("scores", ("hidden/relu",), weights.of(3, 10), weights.of(3)),
        ir.Linear("boxes", ("hidden/relu",), weights.of(8, 10), weights.of(8)),
    )
    yield Case("box_head", ir.NetGraph(("image",), ("boxes", "scores"), head), HEAD)
    mask_head = (
        weights.conv("conv", "image", 6, 8, padding="same"),
        ir.Resize("resize", ("conv",), (14, 14), "bilinear", "align_corners"),
        ir.ConvTranspose2d("up", ("resize",), weights.turned(8, 8, 2, 2), weights.of(8)),
        ir.Relu("relu", ("up",)),
        weights.conv("logits", "relu", 8, 3, 1),
        ir.Sigmoid("masks", ("logits",)),
    )
    yield Case("mask_head", ir.NetGraph(("image",), ("masks",), mask_head), HEAD)
