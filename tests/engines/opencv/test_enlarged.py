"""Convolutions of enlarged maps that are done on the small ones give what cv2.dnn gives."""

from __future__ import annotations

import pytest

from mrcnn_cv.engines.opencv.hybrid import HybridNet, pieces_of
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph import ir
from tests.engines.heads import Head, check_equal

CHANNELS = 32


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(("side", "padding"), [(3, "same"), (3, ir.NO_PADDING), (5, "same"), (1, "same"), (2, "same")])
@pytest.mark.parametrize(("small", "large"), [((3, 3), (15, 15)), ((2, 4), (19, 11))])
def test_they_equal_the_whole(
    mode: str, corners: bool, side: int, padding: ir.Padding, small: tuple[int, int], large: tuple[int, int]
) -> None:
    head = Head(CHANNELS)
    enlarged = head.resize(head.relu(head.crops), large, mode, corners)
    inner = head.relu(head.convolution(enlarged, side, padding=padding, channels=24))
    graph = head.graph(head.convolution(inner, 3, taken=24, channels=8))
    assert [piece.kind for piece in pieces_of(graph, small)] == ["net", "upsampled", "net"]
    net = make_net(graph, BACKENDS["cpu"], size=small)
    assert isinstance(net, HybridNet)
    check_equal(net, graph, [(count, CHANNELS, *small) for count in (3, 40, 1)])


def test_a_sum_and_an_output_may_follow() -> None:
    head = Head(CHANNELS)
    beside = head.convolution(head.resize(head.relu(head.crops), (12, 12)), 3)
    enlarged = head.convolution(head.resize(head.crops, (12, 12)), 3)
    graph = head.graph(head.relu(head.add(enlarged, beside), ir.Relu6))
    assert [piece.kind for piece in pieces_of(graph, (3, 3))].count("upsampled") == 2
    check_equal(make_net(graph, BACKENDS["cpu"], size=(3, 3)), graph, [(5, CHANNELS, 3, 3), (2, CHANNELS, 3, 3)])


@pytest.mark.parametrize("case", ["smaller", "seen twice", "asked for", "any size", "strides"])
def test_others_stay_as_they_are(case: str) -> None:
    head = Head(CHANNELS)
    enlarged = head.resize(head.relu(head.crops), (5, 5) if case == "smaller" else (15, 15))
    outputs = [head.convolution(enlarged, 3, 2 if case == "strides" else 1)]
    if case == "seen twice":
        outputs.append(head.convolution(enlarged, 3))
    if case == "asked for":
        outputs.append(enlarged)
    kinds = [piece.kind for piece in pieces_of(head.graph(*outputs), None if case == "any size" else (3, 3))]
    assert "upsampled" not in kinds


@pytest.mark.parametrize(("small", "large"), [((64, 64), (1024, 1024)), ((5, 5), (15, 15))])
def test_what_would_take_more_memory_or_time_stays_as_it_is(small: tuple[int, int], large: tuple[int, int]) -> None:
    head = Head(CHANNELS)
    graph = head.graph(head.convolution(head.resize(head.crops, large), 3))
    assert [piece.kind for piece in pieces_of(graph, small)] == ["net"]
