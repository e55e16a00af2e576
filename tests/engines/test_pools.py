"""MaxPools of tiny maps give what cv2.dnn gives."""

from __future__ import annotations

import pytest

from mrcnn_cv.engines.opencv.hybrid import CvPieces, pieces_of
from mrcnn_cv.engines.select import BACKENDS, make_net
from tests.engines.heads import Head, check_equal

CHANNELS = 70


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (1, 5), (3, 1)])
@pytest.mark.parametrize("size", [(7, 7), (6, 5), (3, 8)])
def test_they_equal_the_whole(stride: int, padding: str, kernel: tuple[int, int], size: tuple[int, int]) -> None:
    if padding == "VALID" and (kernel[0] > size[0] or kernel[1] > size[1]):
        pytest.skip("no window fits")
    head = Head(CHANNELS)
    stage = head.stage(head.relu(head.largest(head.crops, stride, kernel, padding)))
    assert [piece.kind for piece in pieces_of(stage, size)] == ["pool", "net"]
    net = make_net(stage, BACKENDS["cpu"], size=size)
    assert isinstance(net, CvPieces)
    check_equal(net, stage, [(count, CHANNELS, *size) for count in (1, 40, 2)])


@pytest.mark.parametrize("size", [(9, 9), None])
def test_larger_maps_and_those_of_any_size_stay_with_opencv(size: tuple[int, int] | None) -> None:
    head = Head(CHANNELS)
    stage = head.stage(head.largest(head.crops, 1))
    assert [piece.kind for piece in pieces_of(stage, size)] == ["net"]
