"""Convolutions of enlarged maps that are done on the small ones give what cv2.dnn gives."""

from __future__ import annotations

import pytest

from mrcnn_cv.engines.opencv.hybrid import CvPieces, pieces_of
from mrcnn_cv.engines.select import BACKENDS, make_net
from tests.engines.heads import Head, check_equal

CHANNELS = 32


@pytest.mark.parametrize("op", ["ResizeBilinear", "ResizeNearestNeighbor"])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(("side", "padding"), [(3, "SAME"), (3, "VALID"), (5, "SAME"), (1, "SAME"), (2, "SAME")])
@pytest.mark.parametrize(("small", "large"), [((3, 3), (15, 15)), ((2, 4), (19, 11))])
def test_they_equal_the_whole(
    op: str, corners: bool, side: int, padding: str, small: tuple[int, int], large: tuple[int, int]
) -> None:
    head = Head(CHANNELS)
    enlarged = head.resize(head.relu(head.crops), large, op, corners)
    inner = head.relu(head.convolution(enlarged, side, padding=padding, channels=24))
    stage = head.stage(head.convolution(inner, 3, taken=24, channels=8))
    assert [piece.kind for piece in pieces_of(stage, small)] == ["net", "enlarged", "net"]
    net = make_net(stage, BACKENDS["cpu"], size=small)
    assert isinstance(net, CvPieces)
    check_equal(net, stage, [(count, CHANNELS, *small) for count in (3, 40, 1)])


def test_a_sum_and_an_output_may_follow() -> None:
    head = Head(CHANNELS)
    beside = head.convolution(head.resize(head.relu(head.crops), (12, 12)), 3)
    enlarged = head.convolution(head.resize(head.crops, (12, 12)), 3)
    stage = head.stage(head.relu(head.add(enlarged, beside), "Relu6"))
    assert [piece.kind for piece in pieces_of(stage, (3, 3))].count("enlarged") == 2
    check_equal(make_net(stage, BACKENDS["cpu"], size=(3, 3)), stage, [(5, CHANNELS, 3, 3), (2, CHANNELS, 3, 3)])


@pytest.mark.parametrize("case", ["smaller", "seen twice", "asked for", "any size", "strides"])
def test_others_stay_as_they_are(case: str) -> None:
    head = Head(CHANNELS)
    enlarged = head.resize(head.relu(head.crops), (5, 5) if case == "smaller" else (15, 15))
    outputs = [head.convolution(enlarged, 3, 2 if case == "strides" else 1)]
    if case == "seen twice":
        outputs.append(head.convolution(enlarged, 3))
    if case == "asked for":
        outputs.append(enlarged)
    kinds = [piece.kind for piece in pieces_of(head.stage(*outputs), None if case == "any size" else (3, 3))]
    assert "enlarged" not in kinds


@pytest.mark.parametrize(("small", "large"), [((64, 64), (1024, 1024)), ((5, 5), (15, 15))])
def test_what_would_take_more_memory_or_time_stays_as_it_is(small: tuple[int, int], large: tuple[int, int]) -> None:
    head = Head(CHANNELS)
    stage = head.stage(head.convolution(head.resize(head.crops, large), 3))
    assert [piece.kind for piece in pieces_of(stage, small)] == ["net"]
