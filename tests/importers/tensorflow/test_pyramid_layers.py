"""Layers of feature pyramids and mask heads, cut out of small graphs and run by cv2.dnn, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.passes.split_transposed_conv import split_transposed_conv
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.tensorflow.extract import extract_net
from mrcnn_cv.inference.masks import select_masks
from tests.importers.graphs import Builder
from tests.importers.tensorflow.test_extract import Float, convolve, nchw, values
from tests.support.engine import ENGINE

ONE, TWO = [1, 1, 1, 1], [1, 2, 2, 1]


@pytest.fixture
def build() -> Builder:
    """A graph with a placeholder called "image" and a convolution "low" of two channels over it."""
    builder = Builder()
    builder.node("image", "Placeholder")
    builder.const("kernel", values(3, 3, 3, 2))
    builder.node("low", "Conv2D", ["image", "kernel"], strides=ONE, padding=b"SAME")
    return builder


def upsample(build: Builder, factors: list[int], **attributes: bool) -> None:
    """As Keras' UpSampling2D: the size is the shape of the map, multiplied."""
    build.node("shape", "Shape", ["low"])
    for name, value in (("begin", [1]), ("end", [3]), ("step", [1]), ("factors", factors)):
        build.const(name, value, "int32")
    build.node("sides", "StridedSlice", ["shape", "begin", "end", "step"])
    build.node("size", "Mul", ["sides", "factors"])
    build.node("up", "ResizeNearestNeighbor", ["low", "size"], **attributes)


@pytest.mark.parametrize("half_pixel_centers", [False, True])
@pytest.mark.parametrize("factors", [[2, 2], [3, 1]])
def test_a_map_of_any_size_is_enlarged(build: Builder, factors: list[int], half_pixel_centers: bool) -> None:
    upsample(build, factors, half_pixel_centers=half_pixel_centers)
    stage = extract_net(build.graph(), {"image": "image"}, ["up"])
    net = make_net(stage, BACKENDS[ENGINE])
    for size in ((8, 6), (5, 7), (16, 12), (8, 6)):
        image = values(1, *size, 3)
        (found,) = net.run({"image": nchw(image)})
        expected = convolve(image, values(3, 3, 3, 2)).repeat(factors[0], axis=1).repeat(factors[1], axis=2)
        np.testing.assert_allclose(found.transpose(0, 2, 3, 1), expected, atol=1e-4)
        assert ShapeInference(stage).results({"image": nchw(image).shape}) == [nchw(expected).shape]


def test_sizes_that_are_no_multiples_of_the_map_are_refused(build: Builder) -> None:
    upsample(build, [2, 2], align_corners=True)
    with pytest.raises(ModelFileError, match="'up' resizes a map in a way"):
        extract_net(build.graph(), {"image": "image"}, ["up"])
    other = Builder()
    other.message.CopyFrom(build.message)
    other.message.node[-1].attr["align_corners"].b = False
    other.message.node[-2].op = "Add"
    with pytest.raises(ModelFileError, match="whole number of times"):
        extract_net(other.graph(), {"image": "image"}, ["up"])
    other.message.node[-2].op = "Mul"
    next(node for node in other.message.node if node.name == "shape").input[0] = "image"
    with pytest.raises(ModelFileError, match="'up' resizes a map in a way"):
        extract_net(other.graph(), {"image": "image"}, ["up"])


def transpose(build: Builder, weights: Float, strides: list[int]) -> None:
    """As Keras' Conv2DTranspose: the first input is the shape of the result, which the importer does not need."""
    build.node("any", "Placeholder")
    build.const("spread", weights)
    build.node("deconv", "Conv2DBackpropInput", ["any", "spread", "low"], strides=strides, padding=b"VALID")
    build.const("biases", values(weights.shape[2], seed=3))
    build.node("biased", "BiasAdd", ["deconv", "biases"])
    build.const("factors", values(weights.shape[2], seed=4))
    build.node("scaled", "Mul", ["biased", "factors"])
    build.node("out", "Relu", ["scaled"])


@pytest.mark.parametrize("count", [1, 5])
def test_transposed_convolution_with_what_follows_it(build: Builder, count: int) -> None:
    weights = values(2, 2, 5, 2, seed=2)
    transpose(build, weights, TWO)
    stage = extract_net(build.graph(), {"image": "image"}, ["out"])
    image = values(count, 7, 9, 3)
    (found,) = make_net(stage, BACKENDS[ENGINE]).run({"image": nchw(image)})
    low = convolve(image, values(3, 3, 3, 2))
    spread = np.einsum("nyxi,hwoi->nyhxwo", low, weights).reshape(count, 14, 18, 5)
    expected = np.maximum((spread + values(5, seed=3)) * values(5, seed=4), 0)
    np.testing.assert_allclose(found.transpose(0, 2, 3, 1), expected, atol=1e-4)
    inside = ShapeInference(stage).layers({"image": nchw(image).shape})
    assert inside[-1].output == nchw(expected).shape
    deconv = next(layer for layer in inside if layer.op == "ConvTranspose2d")
    elements = count * 14 * 18 * 5
    assert (deconv.parameters, deconv.flops) == (40 + 5, 2 * elements * 2 + elements)


def test_patches_that_overlap_are_refused(build: Builder) -> None:
    transpose(build, values(3, 3, 5, 2), TWO)
    with pytest.raises(ModelFileError, match="the strides of 'deconv' are not the size of its kernel"):
        extract_net(build.graph(), {"image": "image"}, ["out"])


def mask_tail(build: Builder, activation: str = "Relu") -> None:
    """transposed convolution → activation → layer of 1 x 1 with biases, as mask heads end."""
    transpose(build, values(2, 2, 5, 2, seed=2), TWO)
    build.node("active", activation, ["scaled"])
    build.const("last", values(1, 1, 5, 3, seed=5))
    build.node("predictor", "Conv2D", ["active", "last"], strides=ONE, padding=b"VALID")
    build.const("last/biases", values(3, seed=6))
    build.node("masks", "BiasAdd", ["predictor", "last/biases"])


@pytest.mark.parametrize("activation", ["Relu", "Relu6"])
def test_a_mask_head_does_without_its_transposed_convolution(build: Builder, activation: str) -> None:
    mask_tail(build, activation)
    stage = extract_net(build.graph(), {"image": "crops"}, ["masks"])
    other, mask_block_size = split_transposed_conv(stage)
    assert mask_block_size == 2
    crops = nchw(values(4, 7, 9, 3))
    (expected,), (found,) = (make_net(net, BACKENDS[ENGINE]).run({"crops": crops}) for net in (stage, other))
    assert found.shape == (4, 12, 7, 9)
    classes = np.array([0, 2, 1, 2])
    np.testing.assert_allclose(select_masks(found, classes, 2), select_masks(expected, classes), atol=1e-5)
    inside = ShapeInference(other).layers({"crops": (4, 3, 7, 9)})
    assert inside[-1].output == (4, 12, 7, 9)
    assert {layer.op for layer in inside} == {"Conv2d", activation, "Concat"}


def test_heads_that_end_otherwise_stay_as_they_are(build: Builder) -> None:
    mask_tail(build)
    build.const("wide", values(3, 3, 5, 3))
    build.node("wider", "Conv2D", ["active", "wide"], strides=ONE, padding=b"SAME")
    build.node("branch", "AddV2", ["masks", "wider"])
    for output in ("out", "wider", "branch", "low"):
        stage = extract_net(build.graph(), {"image": "crops"}, [output])
        assert split_transposed_conv(stage) == (stage, 1)
