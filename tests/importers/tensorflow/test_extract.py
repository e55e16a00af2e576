"""Nets cut out of small graphs give what the graphs mean: run by cv2.dnn, held against plain numpy."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import Conv2d, NetGraph
from mrcnn_cv.importers.tensorflow.extract import extract_net
from tests.importers.graphs import Builder, set_value
from tests.support.engine import ENGINE

Float = NDArray[np.float32]
ONE = [1, 1, 1, 1]


def values(*shape: int, seed: int = 0) -> Float:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def nchw(image: Float) -> Float:
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2))


def pad_same(image: Float, kernel: tuple[int, int], stride: int, fill: float = 0.0, dilation: int = 1) -> Float:
    """TensorFlow's SAME: the odd row or column goes to the bottom and the right."""
    pads = [(0, 0)]
    for size, window in zip(image.shape[1:3], kernel, strict=True):
        total = max((-(-size // stride) - 1) * stride + dilation * (window - 1) + 1 - size, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(image, [*pads, (0, 0)], constant_values=fill)


def windows(image: Float, kernel: tuple[int, int], stride: int, dilation: int = 1) -> Float:
    """(N, h, w, kh, kw, C): what each position of a sliding window sees."""
    height = (image.shape[1] - dilation * (kernel[0] - 1) - 1) // stride + 1
    width = (image.shape[2] - dilation * (kernel[1] - 1) - 1) // stride + 1
    result = np.empty((image.shape[0], height, width, *kernel, image.shape[3]), np.float32)
    for y in range(height):
        for x in range(width):
            rows = slice(y * stride, y * stride + dilation * (kernel[0] - 1) + 1, dilation)
            columns = slice(x * stride, x * stride + dilation * (kernel[1] - 1) + 1, dilation)
            result[:, y, x] = image[:, rows, columns]
    return result


def convolve(image: Float, weights: Float, stride: int = 1, padding: str = "SAME", dilation: int = 1) -> Float:
    kernel: tuple[int, int] = weights.shape[:2]
    if padding == "SAME":
        image = pad_same(image, kernel, stride, dilation=dilation)
    return np.asarray(np.tensordot(windows(image, kernel, stride, dilation), weights, 3), dtype=np.float32)


def run(build: Builder, outputs: str | list[str], image: Float, start: str = "image") -> list[Float]:
    """The outputs of the net from `start`, as NHWC."""
    names = [outputs] if isinstance(outputs, str) else outputs
    net = make_net(extract_net(build.graph(), {start: "image"}, names), BACKENDS[ENGINE])
    found = net.run({"image": nchw(image)})
    return [one.transpose(0, 2, 3, 1) if one.ndim == 4 else one for one in found]


def check(build: Builder, output: str, image: Float, expected: Float) -> None:
    (found,) = run(build, output, image)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-5)


@pytest.fixture
def build() -> Builder:
    """A graph with a placeholder called "image"."""
    builder = Builder()
    builder.node("image", "Placeholder")
    return builder


def conv(
    build: Builder, source: str, weights: Float, name: str = "conv", stride: int = 1, padding: bytes = b"SAME"
) -> str:
    build.const(f"{name}/weights", weights)
    build.node(f"{name}/read", "Identity", [f"{name}/weights"])
    return build.node(name, "Conv2D", [source, f"{name}/read"], strides=[1, stride, stride, 1], padding=padding)


class Norm:
    """A batch norm of `channels` channels with statistics of its own."""

    def __init__(self, channels: int, seed: int = 5) -> None:
        self.gamma, self.beta, self.mean, variance = values(4, channels, seed=seed)
        self.variance = np.abs(variance) + np.float32(0.1)

    def add(self, build: Builder, source: str, op: str = "FusedBatchNormV3", name: str = "norm") -> str:
        inputs = [source]
        for part in ("gamma", "beta", "mean", "variance"):
            inputs.append(build.const(f"{name}/{part}", getattr(self, part)))
        return build.node(name, op, inputs, epsilon=0.001, is_training=False)

    def __call__(self, image: Float) -> Float:
        scaled = (image - self.mean) / np.sqrt(self.variance + np.float32(0.001)) * self.gamma + self.beta
        return np.asarray(scaled, dtype=np.float32)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(7, 9), (8, 6)])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (2, 2), (1, 5)])
def test_convolution(build: Builder, kernel: tuple[int, int], size: tuple[int, int], stride: int, padding: str) -> None:
    image, weights = values(1, *size, 3), values(*kernel, 3, 4, seed=1)
    conv(build, "image", weights, stride=stride, padding=padding.encode())
    check(build, "conv", image, convolve(image, weights, stride, padding))


@pytest.mark.parametrize("op", ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"])
def test_convolution_bias_and_batch_norm(build: Builder, op: str) -> None:
    image, weights, bias, norm = values(1, 5, 6, 3), values(3, 3, 3, 4, seed=1), values(4, seed=2), Norm(4)
    conv(build, "image", weights)
    build.const("bias", bias)
    build.node("biased", "BiasAdd", ["conv", "bias"])
    norm.add(build, "biased", op)
    build.node("relu", "Relu", ["norm"])
    check(build, "relu", image, np.maximum(norm(convolve(image, weights) + bias), 0))


def test_a_batch_norm_without_its_epsilon_has_tensorflows_default(build: Builder) -> None:
    """Exporters may leave out attributes that have their default value."""
    image, norm = values(1, 5, 6, 4), Norm(4)
    norm.variance[:] = 1e-3
    norm.add(build, "image")
    del build.message.node[-1].attr["epsilon"]
    expected = (image - norm.mean) / np.sqrt(1e-3 + 1e-4) * norm.gamma + norm.beta
    (found,) = run(build, "norm", image)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_unfused_batch_norm_of_constants_on_either_side(build: Builder) -> None:
    image, weights = values(1, 5, 6, 3), values(3, 3, 3, 4, seed=1)
    factor, shift, less = values(3, 4, seed=2)
    conv(build, "image", weights)
    for name, value in (("factor", factor), ("shift", shift.reshape(1, 1, 1, 4)), ("less", less), ("two", 2.0)):
        build.const(name, value)
    build.node("a", "Mul", ["factor", "conv"])
    build.node("b", "Sub", ["a", "less"])
    build.node("c", "RealDiv", ["b", "two"])
    build.node("d", "AddV2", ["c", "shift"])
    check(build, "d", image, (convolve(image, weights) * factor - less) / 2 + shift)


def test_batch_norm_by_its_formula(build: Builder) -> None:
    """x * (gamma * rsqrt(variance + eps)) + (beta - mean * ...), as graphs without the fused op compute it."""
    image, weights, norm = values(1, 5, 6, 3), values(3, 3, 3, 4, seed=1), Norm(4)
    conv(build, "image", weights)
    for part in ("gamma", "beta", "mean", "variance"):
        build.const(part, getattr(norm, part))
    build.const("eps", 0.001)
    build.node("sum", "Add", ["variance", "eps"])
    build.node("rsqrt", "Rsqrt", ["sum"])
    build.node("factor", "Mul", ["rsqrt", "gamma"])
    build.node("scaled", "Mul", ["conv", "factor"])
    build.node("moved", "Mul", ["mean", "factor"])
    build.node("shift", "Sub", ["beta", "moved"])
    build.node("norm", "Add", ["scaled", "shift"])
    check(build, "norm", image, norm(convolve(image, weights)))


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution_with_batch_norm_and_relu6(build: Builder, stride: int) -> None:
    image, weights, norm = values(1, 7, 5, 3) * 9, values(3, 3, 3, 2, seed=1), Norm(6)
    build.const("weights", weights)
    strides = [1, stride, stride, 1]
    build.node("depth", "DepthwiseConv2dNative", ["image", "weights"], strides=strides, padding=b"SAME")
    norm.add(build, "depth")
    build.node("relu", "Relu6", ["norm"])
    seen = windows(pad_same(image, (3, 3), stride), (3, 3), stride)
    # Channel c and multiplier m give channel c * 2 + m.
    depth = np.einsum("nyxijc,ijcm->nyxcm", seen, weights)
    expected = np.clip(norm(depth.reshape(*depth.shape[:3], 6)), 0, 6).astype(np.float32)
    check(build, "relu", image, expected)


@pytest.mark.parametrize("op", ["MaxPool", "AvgPool"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("window", "stride"), [(3, 1), (3, 2), (2, 2), (1, 2)])
@pytest.mark.parametrize("size", [(7, 9), (8, 6)])
def test_pooling(build: Builder, size: tuple[int, int], window: int, stride: int, padding: str, op: str) -> None:
    """Padding is never part of a maximum or of an average (all values here are below zero)."""
    image = values(1, *size, 3) - 9
    build.node(
        "pool", op, ["image"], ksize=[1, window, window, 1], strides=[1, stride, stride, 1], padding=padding.encode()
    )
    padded = pad_same(image, (window, window), stride, np.nan) if padding == "SAME" else image
    reduce = np.nanmax if op == "MaxPool" else np.nanmean
    check(build, "pool", image, reduce(windows(padded, (window, window), stride), axis=(3, 4)))


def test_padding_before_a_valid_convolution(build: Builder) -> None:
    """How ResNet pads its first convolution."""
    image, weights = values(1, 9, 8, 3), values(7, 7, 3, 4, seed=1)
    build.const("paddings", [[0, 0], [3, 2], [1, 3], [0, 0]], "int32")
    build.node("pad", "Pad", ["image", "paddings"])
    conv(build, "pad", weights, stride=2, padding=b"VALID")
    padded = np.pad(image, [(0, 0), (3, 2), (1, 3), (0, 0)])
    check(build, "conv", image, convolve(padded, weights, 2, "VALID"))


def test_residual_unit(build: Builder) -> None:
    image, weights, norm = values(1, 5, 6, 4), values(3, 3, 4, 4, seed=1), Norm(4)
    norm.add(build, conv(build, "image", weights))
    build.node("sum", "AddV2", ["image", "norm"])
    build.node("relu", "Relu", ["sum"])
    check(build, "relu", image, np.maximum(image + norm(convolve(image, weights)), 0))


def test_branches_are_joined_in_order(build: Builder) -> None:
    image, first, second = values(1, 5, 6, 3), values(1, 1, 3, 2, seed=1), values(3, 3, 3, 4, seed=2)
    conv(build, "image", first, "a")
    conv(build, "image", second, "b")
    build.const("axis", 3, "int32")
    build.node("joined", "ConcatV2", ["b", "image", "a", "axis"])
    check(build, "joined", image, np.concatenate([convolve(image, second), image, convolve(image, first)], axis=3))


def dilated(build: Builder, weights: Float, paddings: str, crops: str, rate: int = 2) -> str:
    build.const("block", [rate, rate], "int32")
    build.node("space", "SpaceToBatchND", ["image", "block", paddings])
    conv(build, "space", weights, padding=b"VALID")
    return build.node("batch", "BatchToSpaceND", ["conv", "block", crops])


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (8, 9)])
@pytest.mark.parametrize("rate", [2, 3])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 7), (5, 1), (1, 1)])
def test_dilated_convolution_with_batch_norm(
    build: Builder, size: tuple[int, int], rate: int, kernel: tuple[int, int]
) -> None:
    """As TensorFlow 1 spells it: the paddings fill up to whole blocks, the crops take that away again."""
    image, weights, norm = values(1, *size, 3), values(*kernel, 3, 4, seed=1), Norm(4)
    reach = [rate * (side // 2) for side in kernel]
    extra = [-(side + 2 * half) % rate for side, half in zip(size, reach, strict=True)]
    build.const("paddings", [[half, half + more] for half, more in zip(reach, extra, strict=True)], "int32")
    build.const("crops", [[0, more] for more in extra], "int32")
    norm.add(build, dilated(build, weights, "paddings", "crops", rate))
    build.node("relu", "Relu", ["norm"])
    check(build, "relu", image, np.maximum(norm(convolve(image, weights, dilation=rate)), 0))


@pytest.mark.parametrize("dilations", [[1, 2, 2, 1], [1, 1, 2, 1]])
def test_a_dilation_as_an_attribute(build: Builder, dilations: list[int]) -> None:
    """As TensorFlow 2 spells it."""
    image, weights = values(1, 8, 9, 3), values(3, 3, 3, 4, seed=1)
    build.const("weights", weights)
    build.node("conv", "Conv2D", ["image", "weights"], strides=ONE, padding=b"SAME", dilations=dilations)
    if dilations[1] != dilations[2]:
        with pytest.raises(ModelFileError, match="dilation"):
            run(build, "conv", image)
    else:
        check(build, "conv", image, convolve(image, weights, dilation=2))


@pytest.mark.parametrize("keep", [True, False])
def test_head_of_mean_flatten_and_matrix_products(build: Builder, keep: bool) -> None:
    image, boxes, scores, bias = values(2, 4, 5, 3), values(3, 8, seed=1), values(3, 4, seed=2), values(4, seed=3)
    build.const("axes", [1, 2], "int32")
    source = build.node("mean", "Mean", ["image", "axes"], keep_dims=keep)
    if keep:
        build.const("shape", [-1, 3], "int32")
        source = build.node("flat", "Reshape", ["mean", "shape"])
    build.const("w1", boxes)
    build.const("w2", scores.T)
    build.const("bias", bias)
    build.node("boxes", "MatMul", [source, "w1"])
    build.node("product", "MatMul", [source, "w2"], transpose_b=True)
    build.node("scores", "BiasAdd", ["product", "bias"])
    found = run(build, ["boxes", "scores"], image)
    mean = image.mean(axis=(1, 2))
    np.testing.assert_allclose(found[0], mean @ boxes, atol=1e-5)
    np.testing.assert_allclose(found[1], mean @ scores + bias, atol=1e-5)


@pytest.mark.parametrize("spelling", ["constant", "pack", "squeeze"])
@pytest.mark.parametrize("after", ["Conv2D", "MaxPool"])
def test_flattening(build: Builder, after: str, spelling: str) -> None:
    """Rows, then columns, then channels, as TensorFlow orders a row of a matrix."""
    picture = values(2, 2, 3, 4) if spelling != "squeeze" else values(2, 1, 1, 24)
    if after == "Conv2D":
        conv(build, "image", np.eye(picture.shape[3], dtype=np.float32)[None, None], "picture")
    else:
        build.node("picture", after, ["image"], ksize=ONE, strides=ONE, padding=b"SAME")
    if spelling == "constant":
        build.const("shape", [-1, 24], "int32")
        build.node("flat", "Reshape", ["picture", "shape"])
    elif spelling == "squeeze":
        build.node("flat", "Squeeze", ["picture"], squeeze_dims=[1, 2])
    else:
        # slim.flatten until 2018 read the batch size off its input.
        for name, value in (("zero", [0]), ("one", [1])):
            build.const(name, value, "int32")
        build.node("sizes", "Shape", ["picture"])
        build.node("batch", "StridedSlice", ["sizes", "zero", "one", "one"], shrink_axis_mask=1)
        build.const("rest", -1, "int32")
        build.node("shape", "Pack", ["batch", "rest"])
        build.node("flat", "Reshape", ["picture", "shape"])
    weights = values(24, 3, seed=1)
    build.const("weights", weights)
    build.node("product", "MatMul", ["flat", "weights"])
    (found,) = run(build, "product", picture)
    np.testing.assert_allclose(found, picture.reshape(2, 24) @ weights, atol=1e-4)


@pytest.mark.parametrize("size", [(9, 7), (15, 15), (4, 5)])
def test_bilinear_resize_with_aligned_corners(build: Builder, size: tuple[int, int]) -> None:
    """As in the mask branch: the corners stay, what lies between them is a straight line."""
    y, x = np.meshgrid(np.linspace(-1, 1, 4), np.linspace(2, 5, 5), indexing="ij")
    image = np.stack([y, x, y + 2 * x], axis=-1)[None].astype(np.float32)
    build.const("size", size, "int32")
    build.node("resize", "ResizeBilinear", ["image", "size"], align_corners=True)
    y, x = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(2, 5, size[1]), indexing="ij")
    check(build, "resize", image, np.stack([y, x, y + 2 * x], axis=-1)[None].astype(np.float32))


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("size", [(8, 15), (9, 7), (3, 4)])
def test_nearest_neighbour_resize(build: Builder, size: tuple[int, int], aligned: bool) -> None:
    """Without aligned corners a sample takes the pixel that it lies in, with them the nearest one (halves go up)."""
    image = values(2, 4, 5, 3)
    build.const("size", size, "int32")
    build.node("resize", "ResizeNearestNeighbor", ["image", "size"], align_corners=aligned)
    chosen = []
    for before, after in zip((4, 5), size, strict=True):
        step = (before - 1) / (after - 1) if aligned else before / after
        chosen.append(np.floor(np.arange(after) * step + (0.5 if aligned else 0) + 1e-9).astype(int))
    check(build, "resize", image, image[:, chosen[0]][:, :, chosen[1]])


def four_sides(build: Builder, name: str, height: int, width: int, channels: int) -> str:
    """The shape of a Reshape whose number of regions is read off the image."""
    for constant, value in (("zero", [0]), ("one", [1])):
        build.const(f"{name}/{constant}", value, "int32")
    ends = [f"{name}/zero", f"{name}/one", f"{name}/one"]
    build.node(f"{name}/all", "Shape", ["image"])
    batch = build.node(f"{name}/batch", "StridedSlice", [f"{name}/all", *ends], shrink_axis_mask=1)
    sides = [build.const(f"{name}/{index}", side, "int32") for index, side in enumerate((height, width, channels))]
    return build.node(name, "Pack", [batch, *sides])


def reshaped_twice(build: Builder) -> None:
    """The Object Detection API since 2019."""
    build.node("columns", "Pack", ["image"] * 3, axis=3)
    build.node("wide", "Reshape", ["columns", four_sides(build, "wide/shape", 4, 15, 2)])
    build.node("rows", "Pack", ["wide"] * 2, axis=2)
    build.node("large", "Reshape", ["rows", four_sides(build, "large/shape", 8, 15, 2)])


def reshaped_once(build: Builder) -> None:
    build.node("columns", "Pack", ["image"] * 3, axis=3)
    build.node("rows", "Pack", ["columns"] * 2, axis=2)
    build.const("large/shape", [-1, 8, 15, 2], "int32")
    build.node("large", "Reshape", ["rows", "large/shape"])


def multiplied_with_ones(build: Builder) -> None:
    """Until 2018."""
    build.const("spread/shape", [-1, 4, 1, 5, 1, 2], "int32")
    build.node("spread", "Reshape", ["image", "spread/shape"])
    build.const("ones", np.ones((1, 1, 2, 1, 3, 1)))
    build.node("product", "Mul", ["spread", "ones"])
    build.node("large", "Reshape", ["product", four_sides(build, "large/shape", 8, 15, 2)])


@pytest.mark.parametrize("spell", [reshaped_twice, reshaped_once, multiplied_with_ones])
def test_repeated_pixels(build: Builder, spell: Callable[[Builder], None]) -> None:
    """convolve_then_upsample_masks."""
    image = values(3, 4, 5, 2)
    spell(build)
    check(build, "large", image, image.repeat(2, axis=1).repeat(3, axis=2))


def test_maps_that_are_stacked_otherwise_are_refused(build: Builder) -> None:
    build.node("relu", "Relu", ["image"])
    build.node("columns", "Pack", ["image", "relu"], axis=3)
    build.const("large/shape", [-1, 4, 10, 2], "int32")
    build.node("large", "Reshape", ["columns", "large/shape"])
    with pytest.raises(ModelFileError, match="is a Pack"):
        run(build, "large", values(1, 4, 5, 2))


def test_a_batch_norm_after_a_shared_layer_leaves_the_other_branch_alone(build: Builder) -> None:
    image, weights, norm = values(1, 5, 6, 3), values(3, 3, 3, 4, seed=1), Norm(4)
    norm.add(build, conv(build, "image", weights))
    build.node("other", "Relu", ["conv"])
    found = run(build, ["norm", "other", "conv"], image)
    plain = convolve(image, weights)
    for one, expected in zip(found, (norm(plain), np.maximum(plain, 0), plain), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-5)
    # And the layer is not computed twice for it.
    net = extract_net(build.graph(), {"image": "image"}, ["norm", "other"])
    assert [layer.op for layer in net] == ["Conv2d", "Affine", "Relu"]


def test_a_layer_that_is_asked_for_stays_unscaled_for_the_one_who_asks(build: Builder) -> None:
    """Whatever the order: the convolution folds into its batch norm, and is an output of its own."""
    image, weights, norm = values(1, 5, 6, 3), values(3, 3, 3, 4, seed=1), Norm(4)
    norm.add(build, conv(build, "image", weights))
    plain = convolve(image, weights)
    for names in (["conv", "norm"], ["norm", "conv"]):
        found = dict(zip(names, run(build, names, image), strict=True))
        np.testing.assert_allclose(found["conv"], plain, atol=1e-5)
        np.testing.assert_allclose(found["norm"], norm(plain), atol=1e-5)


def test_a_batch_norm_without_a_convolution_before_it(build: Builder) -> None:
    image, norm = values(1, 5, 6, 4), Norm(4)
    build.node("relu", "Relu", ["image"])
    norm.add(build, "relu")
    check(build, "norm", image, norm(np.maximum(image, 0)))


def test_names_of_ours_do_not_clash_with_the_users(build: Builder) -> None:
    image, first, second = values(1, 4, 4, 3), values(1, 1, 3, 3, seed=1), values(1, 1, 3, 2, seed=2)
    bias = values(3, seed=3)
    conv(build, "image", first, "regions")
    build.const("bias", bias)
    build.node("regions/with_bias", "BiasAdd", ["regions", "bias"])
    conv(build, "regions/with_bias", second, "crop")
    check(build, "crop", image, convolve(convolve(image, first) + bias, second))


def test_what_only_training_needs_is_left_out(build: Builder) -> None:
    image, weights = values(1, 5, 6, 3), values(3, 3, 3, 4, seed=1)
    build.node("assert", "Assert", ["image"])
    build.node("guarded", "Identity", ["image", "^assert"])
    build.node("checked", "CheckNumerics", ["guarded"])
    conv(build, "checked", weights)
    build.node("stopped", "StopGradient", ["conv"])
    net = extract_net(build.graph(), {"image": "image"}, ["stopped"])
    assert [layer.name for layer in net] == ["conv"]
    check(build, "stopped", image, convolve(image, weights))


def test_thousands_of_layers_in_a_row_do_not_overflow_the_stack(build: Builder) -> None:
    previous = "image"
    for index in range(5000):
        previous = build.node(f"pass{index}", "Identity" if index % 2 else "Relu", [previous])
    net = extract_net(build.graph(), {"image": "image"}, [previous])
    assert [layer.op for layer in net] == ["Relu"] * 2500


def test_weights_are_those_of_the_file_turned_not_copied(build: Builder) -> None:
    norm = Norm(4)
    norm.add(build, conv(build, "image", values(3, 3, 3, 4)))
    (layer,) = extract_net(build.graph(), {"image": "image"}, ["norm"]).layers
    assert isinstance(layer, Conv2d)
    assert layer.weight.base is not None
    assert layer.weight.transpose(2, 3, 1, 0).flags.c_contiguous
    np.testing.assert_array_equal(layer.weight.transpose(2, 3, 1, 0), values(3, 3, 3, 4))
    assert layer.scale is not None


def test_a_net_pickles(build: Builder) -> None:
    conv(build, "image", values(3, 3, 3, 4))
    net = extract_net(build.graph(), {"image": "image"}, ["conv"])
    again = pickle.loads(pickle.dumps(net))
    assert (again.inputs, again.outputs) == (net.inputs, net.outputs)
    np.testing.assert_array_equal(again.layers[0].weight, values(3, 3, 3, 4).transpose(3, 2, 0, 1))


def refuse(build: Builder, output: str, match: str) -> None:
    with pytest.raises(ModelFileError, match=match):
        extract_net(build.graph(), {"image": "image"}, [output])


def _unknown_op(build: Builder) -> str:
    return build.node("odd", "Einsum", ["image"])


def _training(build: Builder) -> str:
    Norm(3).add(build, "image")
    build.message.node[-1].attr["is_training"].b = True
    return "norm"


def _training_by_default(build: Builder) -> str:
    Norm(3).add(build, "image")
    del build.message.node[-1].attr["is_training"]
    return "norm"


def _not_numbers(build: Builder) -> str:
    weights = values(1, 1, 3, 3)
    weights[0, 0, 1, 1] = np.nan
    return conv(build, "image", weights)


def _negative_variance(build: Builder) -> str:
    norm = Norm(3)
    norm.variance[1] = -1
    return norm.add(build, "image")


def _channels_first(build: Builder) -> str:
    conv(build, "image", values(1, 1, 3, 3))
    build.message.node[-1].attr["data_format"].s = b"NCHW"
    return "conv"


def _explicit_padding(build: Builder) -> str:
    return conv(build, "image", values(1, 1, 3, 3), padding=b"EXPLICIT")


def _unknown_padding(build: Builder) -> str:
    return conv(build, "image", values(1, 1, 3, 3), padding=b"FULL")


def _huge_stride(build: Builder) -> str:
    return conv(build, "image", values(1, 1, 3, 3), stride=10000)


def _weights_from_the_image(build: Builder) -> str:
    return build.node("conv", "Conv2D", ["image", "image"], strides=ONE, padding=b"SAME")


def _weights_of_another_rank(build: Builder) -> str:
    return conv(build, "image", values(3, 3))


def _scale_of_another_width(build: Builder) -> str:
    conv(build, "image", values(1, 1, 3, 3))
    build.const("five", values(5))
    return build.node("scaled", "Mul", ["conv", "five"])


def _by_position(build: Builder) -> str:
    build.const("grid", values(5, 6, 3))
    return build.node("sum", "Add", ["image", "grid"])


def _difference_of_maps(build: Builder) -> str:
    return build.node("difference", "Sub", ["image", "image"])


def _constant_first(build: Builder) -> str:
    build.const("one", 1.0)
    return build.node("rest", "Sub", ["one", "image"])


def _join_of_rows(build: Builder) -> str:
    build.const("axis", 1, "int32")
    return build.node("joined", "ConcatV2", ["image", "image", "axis"])


def _mean_of_rows(build: Builder) -> str:
    build.const("axes", [1], "int32")
    return build.node("mean", "Mean", ["image", "axes"])


def _reshape(build: Builder) -> str:
    build.const("shape", [-1, 3, 4, 4], "int32")
    return build.node("reshaped", "Reshape", ["image", "shape"])


def _squeeze_of_the_batch(build: Builder) -> str:
    return build.node("squeezed", "Squeeze", ["image"], squeeze_dims=[0])


def _circle(build: Builder) -> str:
    build.node("a", "Relu", ["b"])
    return build.node("b", "Relu", ["a"])


def _dilation_with_valid_size(build: Builder) -> str:
    build.const("none", [[0, 0], [0, 0]], "int32")
    return dilated(build, values(3, 3, 3, 4), "none", "none")


def _dilation_without_middle(build: Builder) -> str:
    build.const("paddings", [[2, 2], [2, 2]], "int32")
    build.const("none", [[0, 0], [0, 0]], "int32")
    return dilated(build, values(3, 4, 3, 4), "paddings", "none")


def _dilation_by_two_numbers(build: Builder) -> str:
    output = _dilation_without_middle(build)
    set_value(next(node for node in build.message.node if node.name == "block"), np.array([2, 3], np.int32))
    return output


def _space_without_batch(build: Builder) -> str:
    build.const("two", [2, 2], "int32")
    build.const("none", [[0, 0], [0, 0]], "int32")
    return build.node("space", "BatchToSpaceND", ["image", "two", "none"])


REFUSALS: list[tuple[Callable[[Builder], str], str]] = [
    (_unknown_op, "Einsum"),
    (_training, "training mode"),
    (_training_by_default, "training mode"),
    (_not_numbers, "not all finite"),
    (_negative_variance, "not all finite"),
    (_channels_first, "NHWC"),
    (_explicit_padding, "out of range"),
    (_unknown_padding, "neither SAME nor VALID"),
    (_huge_stride, "out of range"),
    (_weights_from_the_image, "needs a constant"),
    (_weights_of_another_rank, "weights"),
    (_scale_of_another_width, "3 channels but 5"),
    (_by_position, "by position"),
    (_difference_of_maps, "combines two feature maps"),
    (_constant_first, "constant first"),
    (_join_of_rows, "axis"),
    (_mean_of_rows, "height and width"),
    (_reshape, "not a flattening"),
    (_squeeze_of_the_batch, "not a flattening"),
    (_circle, "itself"),
    (_dilation_with_valid_size, "SAME size"),
    (_dilation_without_middle, "no middle"),
    (_dilation_by_two_numbers, "not square"),
    (_space_without_batch, "dilated convolution"),
]


@pytest.mark.parametrize(("spoil", "match"), REFUSALS, ids=lambda value: getattr(value, "__name__", ""))
def test_refused_rather_than_computed_wrongly(build: Builder, spoil: Callable[[Builder], str], match: str) -> None:
    refuse(build, spoil(build), match)


def test_the_net_names_its_inputs_and_outputs(build: Builder) -> None:
    conv(build, "image", values(1, 1, 3, 3))
    stage = extract_net(build.graph(), {"image": "picture"}, ["conv"])
    assert isinstance(stage, NetGraph)
    assert (stage.inputs, stage.outputs) == (("picture",), ("conv",))
