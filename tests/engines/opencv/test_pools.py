"""MaxPools of tiny maps give what cv2.dnn gives."""

from __future__ import annotations

import pytest

from mrcnn_cv.engines.opencv.hybrid import HybridNet, pieces_of
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph import ir
from tests.engines.heads import Head, check_against_numpy, check_equal
from tests.support.opencv import classic_only

pytestmark = classic_only

CHANNELS = 70


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["same", ir.NO_PADDING])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (1, 5), (3, 1)])
@pytest.mark.parametrize("size", [(7, 7), (6, 5), (3, 8)])
def test_they_equal_the_whole(stride: int, padding: ir.Padding, kernel: tuple[int, int], size: tuple[int, int]) -> None:
    if padding != "same" and (kernel[0] > size[0] or kernel[1] > size[1]):
        pytest.skip("no window fits")
    head = Head(CHANNELS)
    graph = head.graph(head.relu(head.largest(head.crops, stride, kernel, padding)))
    assert [piece.kind for piece in pieces_of(graph, size)] == ["pool", "net"]
    net = make_net(graph, BACKENDS["cpu"], size=size)
    assert isinstance(net, HybridNet)
    check_equal(net, graph, [(count, CHANNELS, *size) for count in (1, 40, 2)])


@pytest.mark.parametrize("size", [(9, 9), None])
def test_larger_maps_and_those_of_any_size_stay_with_opencv(size: tuple[int, int] | None) -> None:
    head = Head(CHANNELS)
    graph = head.graph(head.largest(head.crops, 1))
    assert [piece.kind for piece in pieces_of(graph, size)] == ["net"]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [(1, 1, 1, 1), (1, 0, 0, 1), (0, 1, 1, 0)])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 3)])
def test_paddings_in_numbers(stride: int, padding: ir.Padding, kernel: ir.Pair) -> None:
    """As ONNX gives them; they are not always what "same" would add."""
    head = Head(CHANNELS)
    graph = head.graph(head.relu(head.largest(head.crops, stride, kernel, padding), ir.Sigmoid))
    assert [piece.kind for piece in pieces_of(graph, (7, 6))] == ["pool", "net"]
    net = make_net(graph, BACKENDS["cpu"], size=(7, 6))
    check_equal(net, graph, [(count, CHANNELS, 7, 6) for count in (1, 30, 2)])
    check_against_numpy(net, graph, [(3, CHANNELS, 7, 6)])
