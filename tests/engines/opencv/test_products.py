"""Convolutions as matrix products give what cv2.dnn gives for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mrcnn_cv.engines.opencv import blas_conv as products
from mrcnn_cv.engines.opencv.hybrid import HybridNet, pieces_of
from mrcnn_cv.engines.opencv.partition import Piece
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph import ir
from mrcnn_cv.util import blas
from mrcnn_cv.util.opencv import cv2
from tests.engines.heads import Head, check_against_numpy, check_equal
from tests.support.opencv import OpenCvNet, classic_only

pytestmark = classic_only

CHANNELS = 40

Layout = Callable[[Head], ir.NetGraph]


@pytest.fixture(autouse=True)
def _products_of_few_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST_GAIN", 5)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def _threads(request: pytest.FixtureRequest) -> object:
    before = cv2.getNumThreads()
    cv2.setNumThreads(request.param)
    yield
    cv2.setNumThreads(before)


def alone(head: Head) -> ir.NetGraph:
    return head.graph(head.convolution(head.crops, 1, channels=56))


def branches(head: Head) -> ir.NetGraph:
    """Of the same maps, ended in different ways; one of them is asked for in its middle."""
    first = head.relu(head.convolution(head.crops, 1))
    second = head.convolution(head.crops, 1, channels=64, bias=False)
    third = head.relu(head.convolution(head.crops, 1), ir.Relu6)
    deeper = head.relu(head.convolution(third, 3))
    pooled = head.largest(head.crops, 1)
    return head.graph(head.concat(first, head.relu(second), deeper, pooled), second)


def residual(head: Head) -> ir.NetGraph:
    """A sum of two convolutions of the same maps, and one of a convolution and what it took."""
    inner = head.relu(head.convolution(head.relu(head.convolution(head.crops, 1)), 3))
    first = head.relu(head.add(head.convolution(head.crops, 1), head.convolution(inner, 1)))
    inner = head.relu(head.convolution(first, 1))
    second = head.add(first, head.relu(head.convolution(inner, 1)))
    return head.graph(head.mean(head.relu(second)))


def twice_itself(head: Head) -> ir.NetGraph:
    first = head.convolution(head.crops, 1)
    return head.graph(head.relu(head.add(first, first)))


def steps_of_two(head: Head) -> ir.NetGraph:
    """Windows of several sizes that go on by two; two of them see the same."""
    first = head.relu(head.convolution(head.crops, 3, 2))
    second = head.convolution(head.crops, 3, 2, channels=48)
    third = head.convolution(head.crops, 1, 2)
    return head.graph(head.concat(first, second, third, head.convolution(head.crops, 5, 2)))


LAYOUTS = [alone, branches, residual, twice_itself, steps_of_two]


def in_groups(head: Head) -> ir.NetGraph:
    """Convolutions in groups, of which one takes the same maps as one that is none."""
    first = head.convolution(head.crops, 1, groups=2)
    second = head.relu(head.convolution(head.crops, 3, 2, groups=4))
    third = head.relu(head.convolution(head.relu(head.convolution(head.crops, 1)), 1, groups=5))
    return head.graph(head.relu(head.add(first, third)), head.convolution(second, 1))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("count", "size"), [(1, (7, 7)), (3, (4, 4)), (50, (2, 3)), (2, (14, 9)), (1, (1, 30))])
@pytest.mark.usefixtures("_threads")
def test_a_head_with_products_equals_the_whole(layout: Layout, count: int, size: tuple[int, int]) -> None:
    graph = layout(Head(CHANNELS))
    net = make_net(graph, BACKENDS["cpu"], size=size)
    assert isinstance(net, HybridNet)
    assert "product" in [piece.kind for piece in pieces_of(graph, size)]
    # More maps, then fewer: what the ones before left in memory must not show.
    check_equal(net, graph, [(maps, CHANNELS, *size) for maps in (count, count + 3, 1)])


@pytest.mark.parametrize("layout", [alone, branches, residual, steps_of_two])
@pytest.mark.usefixtures("_threads")
def test_a_trunk_takes_maps_of_any_size(layout: Layout) -> None:
    graph = layout(Head(CHANNELS))
    net = make_net(graph, BACKENDS["cpu"])
    assert isinstance(net, HybridNet)
    check_equal(net, graph, [(1, CHANNELS, *size) for size in ((20, 31), (8, 8), (33, 17), (20, 31), (1, 1))])


@pytest.mark.parametrize("size", [(7, 7), (2, 2)])
def test_convolutions_in_groups_stay_with_opencv(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST_CHANNELS", 1)
    graph = in_groups(Head(CHANNELS))
    assert [piece.kind for piece in pieces_of(graph, size)].count("product") == 2
    net = make_net(graph, BACKENDS["cpu"], size=size)
    check_equal(net, graph, [(count, CHANNELS, *size) for count in (4, 1, 6)])


def test_products_of_the_same_maps_are_one() -> None:
    kinds = [piece.kind for piece in pieces_of(branches(Head(CHANNELS)), None)]
    assert kinds.count("product") == 1
    # Of 3x3 and 5x5 windows one each, and one of 1x1.
    kinds = [piece.kind for piece in pieces_of(steps_of_two(Head(CHANNELS)), (7, 7))]
    assert kinds.count("product") == 3


def test_a_residual_unit_is_added_up_within_the_product() -> None:
    graphs = [piece.net for piece in pieces_of(residual(Head(CHANNELS)), None) if piece.kind == "product"]
    assert sum(len(graph.inputs) == 2 for graph in graphs) == 2


def test_few_channels_stay_with_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = alone(Head(CHANNELS))
    monkeypatch.setattr(products, "LEAST_GAIN", 24)
    assert isinstance(make_net(graph, BACKENDS["cpu"]), OpenCvNet)


def test_without_a_fast_library_all_stays_with_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "is_fast", lambda: False)
    assert isinstance(make_net(alone(Head(CHANNELS)), BACKENDS["cpu"]), OpenCvNet)


@pytest.mark.long
def test_of_thousands_of_convolutions_it_is_soon_known_which_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a row in which the outermost ones are not, and without them the next ones are not."""
    monkeypatch.setattr(products, "LEAST_GAIN", CHANNELS + 1)
    head = Head(CHANNELS)
    at = head.crops
    for _ in range(3000):
        at = head.convolution(at, 1, bias=False)
    graph = head.graph(at)
    assert pieces_of(graph, None) == [Piece(graph, "net")]


def test_windows_that_see_too_much_stay_with_opencv() -> None:
    head = Head(CHANNELS)
    graph = head.graph(head.convolution(head.crops, 9, 2))
    assert [piece.kind for piece in pieces_of(graph, (7, 7))] == ["product"]
    assert [piece.kind for piece in pieces_of(graph, (64, 64))] == ["net"]


def test_memory_is_used_again() -> None:
    """Also by maps of other sizes, and it does not grow with them."""
    net = make_net(residual(Head(CHANNELS)), BACKENDS["cpu"])
    assert isinstance(net, HybridNet)
    held = []
    for side in (40, 20, 40, 30, 12, 40, 39, 40):
        net.run({"crops": np.zeros((1, CHANNELS, side, side), np.float32)})
        held.append(sum(memory.size for memory in net._memory._free))
    assert max(held) == held[0]


@pytest.mark.parametrize(("side", "stride"), [(3, 2), (3, 1), (1, 2), (5, 3)])
@pytest.mark.parametrize("padding", [(1, 1, 1, 1), (0, 1, 2, 0)])
@pytest.mark.usefixtures("_threads")
def test_paddings_in_numbers(side: int, stride: int, padding: ir.Padding) -> None:
    """As ONNX gives them; on an even map they are not what "same" would add."""
    head = Head(CHANNELS)
    graph = head.graph(head.relu(head.convolution(head.crops, side, stride, padding=padding)))
    assert [piece.kind for piece in pieces_of(graph, (4, 4))] == ["product"]
    net = make_net(graph, BACKENDS["cpu"], size=(4, 4))
    check_equal(net, graph, [(count, CHANNELS, 4, 4) for count in (3, 20, 1)])
    check_against_numpy(net, graph, [(5, CHANNELS, 4, 4)])


def test_windows_that_pad_differently_are_no_single_product() -> None:
    head = Head(CHANNELS)
    first = head.convolution(head.crops, 3, 2, padding=(1, 1, 1, 1))
    second = head.convolution(head.crops, 3, 2)
    graph = head.graph(first, second)
    assert [piece.kind for piece in pieces_of(graph, (8, 8))] == ["product", "product"]
    check_against_numpy(make_net(graph, BACKENDS["cpu"], size=(8, 8)), graph, [(2, CHANNELS, 8, 8)])
