"""What cv2.dnn gets wrong when it is left alone."""

from __future__ import annotations

import pytest

from mrcnn_cv.engines.opencv import blas_conv as products
from mrcnn_cv.engines.opencv.hybrid import HybridNet
from mrcnn_cv.engines.opencv.net import CvNet
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph.shape_inference import ShapeInference
from tests.engines.heads import Head, check_against_numpy
from tests.support.opencv import classic_only

pytestmark = classic_only

CHANNELS = 16
SHAPES: list[tuple[int, ...]] = [(1, CHANNELS, 20, 20), (1, CHANNELS, 9, 13)]


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_dilated_convolution_is_asked_for_and_taken_by_others(
    in_pieces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "MIN_GAIN", 0)
    head = Head(CHANNELS)
    middle = head.convolution(head.crops, 3, dilation=2)
    graph = head.graph(middle, head.relu(middle), head.convolution(middle, 1))
    net = make_net(graph, BACKENDS["cpu"]) if in_pieces else CvNet(graph, BACKENDS["cpu"])
    assert isinstance(net, HybridNet if in_pieces else CvNet)
    check_against_numpy(net, graph, SHAPES)


@pytest.mark.parametrize("bias", [False, True])
def test_a_dilated_convolution_is_asked_for_and_taken_by_one_activation(bias: bool) -> None:
    head = Head(CHANNELS)
    middle = head.convolution(head.crops, 3, dilation=2, bias=bias)
    graph = head.graph(middle, head.relu(middle))
    check_against_numpy(CvNet(graph, BACKENDS["cpu"]), graph, SHAPES)


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (3, 2), (1, 1)])
def test_a_dilated_convolution_keeps_any_size(size: tuple[int, int]) -> None:
    head = Head(CHANNELS)
    graph = head.graph(head.convolution(head.crops, 3, dilation=4))
    assert ShapeInference(graph).results({"crops": (1, CHANNELS, *size)}) == [(1, CHANNELS, *size)]
    check_against_numpy(make_net(graph, BACKENDS["cpu"]), graph, [(1, CHANNELS, *size)])


def test_maps_are_joined_by_channel_without_a_convolution_before() -> None:
    head = Head(3)
    graph = head.graph(head.concat(head.crops, head.crops))
    check_against_numpy(make_net(graph, BACKENDS["cpu"]), graph, [(1, 3, 2, 2), (2, 3, 4, 5)])


@pytest.mark.parametrize("count", [1, 2])
def test_a_map_that_is_joined_with_nothing_stays_as_it_is(count: int) -> None:
    head = Head(3)
    graph = head.graph(head.concat(head.crops))
    check_against_numpy(make_net(graph, BACKENDS["cpu"]), graph, [(count, 3, 5, 6)])
