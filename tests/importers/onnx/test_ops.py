"""Layers of ONNX give what ONNX's documentation says: taken into a net, run by plain numpy, held against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import AvgPool2d, Conv2d, HardSwish, Linear, NetGraph
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.extract import Map, Output, beginnings, extract_net
from tests.importers.net_runner import run
from tests.importers.onnx_graphs import OnnxBuilder
from tests.importers.tensorflow.test_extract import values, windows

Float = NDArray[np.float32]
SIZES = [(9, 12), (8, 10)]


def nhwc(image: Float) -> Float:
    return np.ascontiguousarray(image.transpose(0, 2, 3, 1))


def convolve(
    image: Float, weights: Float, stride: int = 1, pads: Sequence[int] = (0, 0, 0, 0), groups: int = 1
) -> Float:
    """Conv of (N, C, H, W) with (O, I, h, w), which is of float64 for the sum."""
    top, left, bottom, right = pads
    padded = np.pad(image, [(0, 0), (0, 0), (top, bottom), (left, right)])
    share, each = weights.shape[1], len(weights) // groups
    parts = []
    for group in range(groups):
        seen = windows(nhwc(padded[:, group * share : (group + 1) * share]), weights.shape[2:], stride)
        kernels = weights[group * each : (group + 1) * each].transpose(2, 3, 1, 0)
        parts.append(np.tensordot(seen, kernels, 3))
    return np.asarray(np.concatenate(parts, axis=3).transpose(0, 3, 1, 2), dtype=np.float32)


@pytest.fixture
def build() -> OnnxBuilder:
    """A model with an input called "image"."""
    return OnnxBuilder()


def check(
    build: OnnxBuilder,
    output: str,
    image: Float,
    expected: NDArray[Any],
    start: Map | None = None,
    order: Sequence[int] | None = None,
) -> None:
    """That a net from "image" makes `expected` of an image, and what `ShapeInference` says of its shape."""
    net = extract(build, output, start, order)
    (found,) = run(net, {"image": image})
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    assert ShapeInference(net).results({"image": image.shape}) == [expected.shape]


def extract(build: OnnxBuilder, output: str, start: Map | None = None, order: Sequence[int] | None = None) -> NetGraph:
    graph = build.graph()
    return extract_net(graph, OnnxConstantFolder(graph), {"image": start or Map("image")}, [Output(output, order)])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kernel", "stride", "pads"),
    [
        ((3, 3), 1, (1, 1, 1, 1)),
        ((3, 3), 2, (1, 1, 1, 1)),
        ((7, 7), 2, (3, 3, 3, 3)),
        ((1, 1), 2, (0, 0, 0, 0)),
        ((2, 3), 1, (1, 0, 0, 2)),
    ],
)
def test_convolution_with_pads_and_bias(
    build: OnnxBuilder, size: tuple[int, int], kernel: tuple[int, int], stride: int, pads: tuple[int, ...]
) -> None:
    image, weights, bias = values(1, 3, *size), values(4, 3, *kernel, seed=1), values(4, seed=2)
    names = [build.const("w", weights), build.const("b", bias)]
    build.node("y", "Conv", ["image", *names], pads=list(pads), strides=[stride] * 2)
    check(build, "y", image, convolve(image, weights, stride, pads) + bias[:, None, None])


@pytest.mark.parametrize(("channels", "outputs", "groups"), [(8, 8, 8), (8, 16, 8), (8, 12, 2), (16, 8, 4)])
def test_grouped_convolutions(build: OnnxBuilder, channels: int, outputs: int, groups: int) -> None:
    image, weights = values(1, channels, 6, 7), values(outputs, channels // groups, 3, 3, seed=1)
    build.node("y", "Conv", ["image", build.const("w", weights)], pads=[1] * 4, group=groups)
    check(build, "y", image, convolve(image, weights, 1, [1] * 4, groups))


def test_dilated_convolution(build: OnnxBuilder) -> None:
    image, weights = values(1, 3, 10, 8), values(4, 3, 3, 3, seed=1)
    spread = np.zeros((4, 3, 5, 5), np.float32)
    spread[:, :, ::2, ::2] = weights
    build.node("y", "Conv", ["image", build.const("w", weights)], pads=[2] * 4, dilations=[2, 2])
    check(build, "y", image, convolve(image, spread, 1, [2] * 4))


def test_batch_norm_folds(build: OnnxBuilder) -> None:
    image, weights = values(1, 3, 6, 7), values(4, 3, 1, 1, seed=1)
    gamma, beta, mean, variance = values(4, 4, seed=2)
    variance = np.abs(variance) + np.float32(0.1)
    build.node("c", "Conv", ["image", build.const("w", weights)])
    parts = [build.const(name, part) for name, part in zip("gbmv", (gamma, beta, mean, variance), strict=True)]
    build.node("y", "BatchNormalization", ["c", *parts], epsilon=0.01)
    turned = [part[:, None, None] for part in (gamma, beta, mean, variance)]
    expected = (convolve(image, weights) - turned[2]) / np.sqrt(turned[3] + 0.01) * turned[0] + turned[1]
    check(build, "y", image, np.asarray(expected, dtype=np.float32))


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (4, 1, 1), ()])
def test_factors_and_shifts_per_channel(build: OnnxBuilder, shape: tuple[int, ...]) -> None:
    image, weights = values(1, 3, 6, 7), values(4, 3, 1, 1, seed=1)
    factor, shift = values(*shape, seed=2), values(*shape, seed=3)
    build.node("c", "Conv", ["image", build.const("w", weights)])
    build.node("m", "Mul", [build.const("f", factor), "c"])
    build.node("y", "Add", ["m", build.const("s", shift)])
    turned = [part.reshape(-1, 1, 1) for part in (factor, shift)]
    check(build, "y", image, convolve(image, weights) * turned[0] + turned[1])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(3, 2, 1), (2, 2, 0), (1, 2, 0), (3, 1, 1)])
def test_max_pool_does_not_see_its_pads(
    build: OnnxBuilder, size: tuple[int, int], kernel: int, stride: int, pad: int
) -> None:
    image = values(1, 3, *size) - 5
    build.node("y", "MaxPool", ["image"], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)
    padded = np.pad(image, [(0, 0), (0, 0), (pad, pad), (pad, pad)], constant_values=-np.inf)
    expected = windows(nhwc(padded), (kernel, kernel), stride).max(axis=(3, 4)).transpose(0, 3, 1, 2)
    check(build, "y", image, expected)


ACTIVATIONS: list[tuple[str, dict[str, float], Callable[[Float], NDArray[Any]]]] = [
    ("Relu", {}, lambda x: np.maximum(x, 0)),
    ("Sigmoid", {}, lambda x: np.float32(1) / (1 + np.exp(-x))),
    ("HardSwish", {}, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    ("HardSigmoid", {}, lambda x: np.clip(x * 0.2 + 0.5, 0, 1)),
]


@pytest.mark.parametrize(("op", "attributes", "function"), ACTIVATIONS)
def test_activations(
    build: OnnxBuilder, op: str, attributes: dict[str, float], function: Callable[[Float], NDArray[Any]]
) -> None:
    image = values(1, 3, 6, 7) * 4
    build.node("y", op, ["image"], **attributes)
    check(build, "y", image, function(image))


@pytest.mark.parametrize("opset", [10, 13])
def test_clip_to_six(opset: int) -> None:
    build, image = OnnxBuilder(opset), values(1, 3, 6, 7) * 8
    if opset < 11:
        build.node("y", "Clip", ["image"], min=0.0, max=6.0)
    else:
        build.node("y", "Clip", ["image", build.const("least", np.float32(0)), build.const("most", np.float32(6))])
    check(build, "y", image, np.clip(image, 0, 6))


@pytest.mark.parametrize("first", [True, False])
def test_hard_swish_in_two_nodes(build: OnnxBuilder, first: bool) -> None:
    image = values(1, 3, 6, 7) * 4
    gate = build.node("gate", "HardSigmoid", ["image"], alpha=1 / 6, beta=0.5)
    build.node("y", "Mul", [gate, "image"] if first else ["image", gate])
    check(build, "y", image, image * np.clip(image / 6 + 0.5, 0, 1))


@pytest.mark.parametrize("op", ["GlobalAveragePool", "ReduceMean"])
@pytest.mark.parametrize("first", [True, False])
def test_squeeze_and_excite(build: OnnxBuilder, op: str, first: bool) -> None:
    image, weights = values(1, 4, 6, 7), values(4, 4, 1, 1, seed=1)
    build.node("mean", op, ["image"], **({"axes": [2, 3]} if op == "ReduceMean" else {}))
    build.node("c", "Conv", ["mean", build.const("w", weights)])
    build.node("gate", "Sigmoid", ["c"])
    build.node("y", "Mul", ["gate", "image"] if first else ["image", "gate"])
    gates = np.float32(1) / (1 + np.exp(-convolve(image.mean(axis=(2, 3), keepdims=True), weights)))
    check(build, "y", image, image * gates)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_map_is_enlarged_to_the_one_that_it_is_added_to(build: OnnxBuilder, stride: int) -> None:
    image, weights = values(1, 3, 8, 16), values(3, 3, 1, 1, seed=1)
    build.node("coarse", "Conv", ["image", build.const("w", weights)], strides=[stride] * 2)
    build.node("shape", "Shape", ["image"])
    rule = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    build.node("large", "Resize", ["coarse", "", "", "shape"], **rule)
    build.node("y", "Add", ["image", "large"])
    check(build, "y", image, image + convolve(image, weights, stride).repeat(stride, 2).repeat(stride, 3))


@pytest.mark.parametrize("count", [1, 3])
def test_transposed_convolution(build: OnnxBuilder, count: int) -> None:
    image, weights, bias = values(count, 3, 4, 5), values(3, 6, 2, 2, seed=1), values(6, seed=2)
    names = [build.const("w", weights), build.const("b", bias)]
    build.node("y", "ConvTranspose", ["image", *names], strides=[2, 2], kernel_shape=[2, 2])
    patches = np.einsum("nchw,coij->nohiwj", image, weights).reshape(count, 6, 8, 10)
    check(build, "y", image, np.asarray(patches, dtype=np.float32) + bias[:, None, None], Map("image", (3, 4, 5)))


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
@pytest.mark.parametrize("flatten", ["Flatten", "Reshape", "Reshape to rows"])
def test_a_flattened_map_meets_the_rows_of_a_matrix(build: OnnxBuilder, flat: bool, op: str, flatten: str) -> None:
    crops, weights, bias = values(4, 3, 2, 5), values(7, 30, seed=1), values(7, seed=2)
    if flatten == "Flatten":
        build.node("rows", "Flatten", ["image"], axis=1)
    elif flatten == "Reshape":
        build.node("rows", "Reshape", ["image", build.const("shape", [-1, 30])])
    else:
        build.node("count", "Gather", [build.node("all", "Shape", ["image"]), build.const("zero", [0])])
        build.node("sides", "Concat", ["count", build.const("rest", [-1])], axis=0)
        build.node("rows", "Reshape", ["image", "sides"])
    if op == "Gemm":
        build.node("y", "Gemm", ["rows", build.const("w", weights), build.const("b", bias)], transB=1, alpha=2.0)
        expected = 2 * (crops.reshape(4, -1) @ weights.T) + bias
    else:
        build.node("m", "MatMul", ["rows", build.const("w", weights.T)])
        build.node("y", "Add", [build.const("b", bias), "m"])
        expected = crops.reshape(4, -1) @ weights.T + bias
    given = nhwc(crops).reshape(4, -1) if flat else crops
    check(build, "y", given, expected, Map("image", (3, 2, 5), flat=flat, channels_last=flat))


@pytest.mark.parametrize("op", ["Conv", "Gemm", "MatMul"])
def test_only_the_wanted_channels_are_made(build: OnnxBuilder, op: str) -> None:
    image, weights, bias, order = values(2, 3, 1, 1), values(4, 3, 1, 1, seed=1), values(4, seed=2), [3, 1]
    expected = (convolve(image, weights) + bias[:, None, None])[:, order]
    if op == "Conv":
        build.node("y", "Conv", ["image", build.const("w", weights), build.const("b", bias)])
        check(build, "y", image, expected, order=order)
        return
    build.node("rows", "Flatten", ["image"])
    if op == "Gemm":
        build.node("y", "Gemm", ["rows", build.const("w", weights[..., 0, 0].T), build.const("b", bias)])
    else:
        build.node("m", "MatMul", ["rows", build.const("w", weights[..., 0, 0].T)])
        build.node("y", "Add", ["m", build.const("b", bias)])
    check(build, "y", image, expected[..., 0, 0], Map("image", (3, 1, 1)), order)


def test_where_a_net_begins(build: OnnxBuilder) -> None:
    """At what is no layer: not at constants, nor at a sum of pads."""
    build.node("batch", "Unsqueeze", ["image", build.const("axes", [0])])
    build.node("c", "Conv", ["batch", build.const("w", values(4, 3, 3, 3))])
    build.node("y", "Add", ["c", build.node("r", "Relu", ["c"])])
    graph = build.graph()
    assert beginnings(graph, OnnxConstantFolder(graph), ["y"]) == ["batch"]


def _conv(build: OnnxBuilder, **attributes: object) -> str:
    return build.node("y", "Conv", ["image", build.const("w", values(4, 3, 3, 3))], **attributes)


def _enlarge(build: OnnxBuilder, **attributes: object) -> str:
    return build.node("y", "Resize", ["image"], **attributes)


_TOO_MANY_BIASES = (("w", values(4, 3, 1, 1)), ("b", values(5)))

REFUSED: list[tuple[Callable[[OnnxBuilder], str], str]] = [
    (lambda build: _conv(build, pads=[1000] * 4), "pads"),
    (lambda build: _conv(build, pads=[-1] * 4), "pads"),
    (lambda build: _conv(build, pads=[1] * 3), "pads"),
    (lambda build: _conv(build, auto_pad="SAME_UPPER"), "pads"),
    (lambda build: _conv(build, strides=[0, 1]), "strides"),
    (lambda build: _conv(build, strides=[1 << 40, 1]), "strides"),
    (lambda build: _conv(build, group=3), "groups"),
    (lambda build: _conv(build, group=0), "groups"),
    (lambda build: _conv(build, dilations=[2, 2]), "changes the size"),
    (lambda build: build.node("y", "Conv", ["image", "image"]), "no constants"),
    (lambda build: build.node("y", "Conv", ["image", build.const("w", values(4, 3))]), "shape"),
    (
        lambda build: build.node("y", "ConvTranspose", ["image", build.const("w", values(3, 4, 3, 3))], strides=[2, 2]),
        "overlap",
    ),
    (lambda build: build.node("y", "MaxPool", ["image"], kernel_shape=[3, 3], ceil_mode=1), "not supported"),
    (lambda build: build.node("y", "AveragePool", ["image"], kernel_shape=[3, 3], pads=[1] * 4), "not supported"),
    (lambda build: build.node("y", "Clip", ["image", build.const("a", np.float32(-1))]), "clips to"),
    (lambda build: build.node("y", "Add", ["image", build.const("a", values(1, 3, 8, 8))]), "by position"),
    (lambda build: build.node("y", "Sub", ["image", build.node("r", "Relu", ["image"])]), "combines two"),
    (lambda build: build.node("y", "Sub", [build.const("a", np.float32(1)), "image"]), "constant first"),
    (lambda build: build.node("y", "Div", ["image", build.const("a", np.float32(0))]), "not all finite"),
    (lambda build: build.node("y", "Pad", ["image", build.const("a", [0, 1, 0, 0, 0, 0, 0, 0])]), "pads a map"),
    (lambda build: build.node("y", "Pad", ["image", build.const("a", [0, 0, 0, 99, 0, 0, 0, 0])]), "out of range"),
    (lambda build: build.node("y", "Pad", ["image", build.const("a", [0, 0, 0, -1, 0, 0, 0, 0])]), "out of range"),
    (
        lambda build: build.node("y", "Conv", ["image", build.const("w", np.full((4, 3, 1, 1), np.nan, np.float32))]),
        "not all finite",
    ),
    (
        lambda build: build.node("y", "ConvTranspose", ["image", build.const("w", values(3, 4, 9, 9))], strides=[9, 9]),
        "more than 8 times",
    ),
    (
        lambda build: build.node("y", "Conv", ["image", *(build.const(*each) for each in _TOO_MANY_BIASES)]),
        "4 channels but 5",
    ),
    (
        lambda build: build.node(
            "y", "Add", ["image", build.node("p", "MaxPool", ["image"], kernel_shape=[1, 1], strides=[2, 2])]
        ),
        "does not double",
    ),
    (lambda build: _enlarge(build, mode="linear"), "resizes"),
    (lambda build: _enlarge(build, mode="nearest", coordinate_transformation_mode="align_corners"), "resizes"),
    (lambda build: build.node("y", "ReduceMean", ["image"], axes=[1]), "not over height and width"),
    (lambda build: build.node("y", "Reshape", ["image", build.const("s", [3, -1, 2])]), "not a flattening"),
    (lambda build: build.node("y", "Transpose", ["image"], perm=[0, 2, 3, 1]), "not a layer"),
    (lambda build: build.node("y", "MatMul", ["image", build.const("w", values(3, 3))]), "fully connected"),
]


@pytest.mark.parametrize(("spoil", "match"), REFUSED)
def test_refused_rather_than_translated_wrongly(
    build: OnnxBuilder, spoil: Callable[[OnnxBuilder], str], match: str
) -> None:
    name = spoil(build)
    with pytest.raises(ModelFileError, match=match) as error:
        extract(build, name)
    assert "\n" not in str(error.value)


def test_a_matrix_for_crops_of_another_size(build: OnnxBuilder) -> None:
    build.node("rows", "Flatten", ["image"])
    build.node("y", "Gemm", ["rows", build.const("w", values(30, 7))])
    with pytest.raises(ModelFileError, match="takes 30 numbers, but is given 3x7x7"):
        extract(build, "y", Map("image", (3, 7, 7)))


def test_groups_have_no_order(build: OnnxBuilder) -> None:
    build.node("y", "Conv", ["image", build.const("w", values(4, 3, 1, 1))], group=2)
    with pytest.raises(ModelFileError, match="in groups where a layer makes its predictions"):
        extract(build, "y", order=[3, 1])


def test_a_channel_that_there_is_not_is_not_put_out(build: OnnxBuilder) -> None:
    build.node("y", "Conv", ["image", build.const("w", values(1, 1, 1, 1))])
    with pytest.raises(ModelFileError, match="1 results, too few"):
        extract(build, "y", order=[1])


def test_a_batch_norm_of_rows(build: OnnxBuilder) -> None:
    """Behind a flattening it goes by position; of rows that are cut with their channels last it would be wrong."""
    crops, parts = values(4, 3, 2, 5), [np.abs(values(30, seed=seed)) for seed in range(4)]
    build.node("rows", "Flatten", ["image"])
    names = [build.const(name, part) for name, part in zip("gbmv", parts, strict=True)]
    build.node("y", "BatchNormalization", ["rows", *names], epsilon=0.01)
    gamma, beta, mean, variance = parts
    expected = (crops.reshape(4, 30) - mean) / np.sqrt(variance + 0.01) * gamma + beta
    check(build, "y", crops, np.asarray(expected, dtype=np.float32), Map("image", (3, 2, 5)))
    with pytest.raises(ModelFileError, match="differs by position"):
        extract(build, "y", Map("image", (3, 2, 5), flat=True, channels_last=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("transposed", [True, False])
def test_weights_are_views_of_the_constants(build: OnnxBuilder, transposed: bool, dtype: type) -> None:
    """Also those of the first matrix, whose rows meet crops with their channels last, and what a norm scales."""
    kernel: NDArray[Any] = values(6, 3, 3, 3).astype(dtype)
    rows: NDArray[Any] = values(7, 30, seed=1).astype(dtype)
    build.node("c", "Conv", ["image", build.const("w", kernel)])
    build.node("y", "Mul", ["c", build.const("f", values(6, 1, 1, seed=2))])
    graph = build.graph()
    evaluator = OnnxConstantFolder(graph)
    (conv,) = extract_net(graph, evaluator, {"image": Map("image")}, [Output("y")])
    assert isinstance(conv, Conv2d)
    assert conv.scale is not None
    assert conv.weight.dtype == dtype
    assert np.shares_memory(conv.weight, evaluator.value("w"))

    other = OnnxBuilder()
    name = other.const("w", rows if transposed else rows.T)
    other.node("rows", "Flatten", ["image"])
    other.node("y", "Gemm", ["rows", name], transB=int(transposed))
    graph = other.graph()
    evaluator = OnnxConstantFolder(graph)
    start = Map("image", (3, 2, 5), flat=True, channels_last=True)
    (linear,) = extract_net(graph, evaluator, {"image": start}, [Output("y")])
    assert isinstance(linear, Linear)
    assert np.shares_memory(linear.weight, evaluator.value("w"))
    np.testing.assert_array_equal(linear.folded(), nhwc(rows.reshape(7, 3, 2, 5).astype(np.float32)).reshape(7, -1))


def test_a_gate_that_became_part_of_a_layer_is_left_out(build: OnnxBuilder) -> None:
    gate = build.node("gate", "HardSigmoid", ["image"], alpha=1 / 6, beta=0.5)
    build.node("y", "Mul", [gate, "image"])
    (layer,) = extract(build, "y")
    assert isinstance(layer, HardSwish)


def test_pools_of_a_net_go_behind_its_convolutions(build: OnnxBuilder) -> None:
    image = values(1, 8, 6, 7)
    build.node("p", "AveragePool", ["image"], kernel_shape=[2, 2], strides=[2, 2])
    build.node("c", "Conv", ["p", build.const("w", values(4, 8, 1, 1, seed=1)), build.const("b", values(4, seed=2))])
    build.node("y", "Relu", ["c"])
    assert [type(layer) for layer in extract(build, "y")][:2] == [Conv2d, AvgPool2d]
    pooled = image[:, :, :6, :6].reshape(1, 8, 3, 2, 3, 2).mean(axis=(3, 5))
    expected = convolve(pooled, values(4, 8, 1, 1, seed=1)) + values(4, seed=2)[:, None, None]
    check(build, "y", image, np.maximum(expected, 0))
