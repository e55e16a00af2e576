"""Fully connected layers as matrix products of numpy's BLAS give what cv2.dnn and plain numpy give."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mrcnn_cv.engines.opencv import blas_linear
from mrcnn_cv.engines.opencv.hybrid import HybridNet, pieces_of
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph import ir
from mrcnn_cv.util import blas
from mrcnn_cv.util.opencv import cv2
from tests.engines.heads import Head, check_against_numpy, check_equal
from tests.support.opencv import OpenCvNet

CHANNELS = 6
SIZE = (3, 4)
TAKEN = CHANNELS * SIZE[0] * SIZE[1]

Layout = Callable[[Head], ir.NetGraph]


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(request.param)
    yield
    cv2.setNumThreads(before)


def alone(head: Head) -> ir.NetGraph:
    return head.graph(head.linear(head.flatten(head.crops), TAKEN, 9))


def without_bias(head: Head) -> ir.NetGraph:
    return head.graph(head.linear(head.flatten(head.crops), TAKEN, 9, bias=False))


def two_layers(head: Head) -> ir.NetGraph:
    """As in a box head with a pyramid: two hidden layers, then classes and boxes of the same rows."""
    first = head.relu(head.linear(head.flatten(head.relu(head.crops)), TAKEN, 32))
    second = head.relu(head.linear(first, 32, 24, bias=False), ir.Relu6)
    return head.graph(head.linear(second, 24, 8), head.linear(second, 24, 3, bias=False))


def asked_for_in_the_middle(head: Head) -> ir.NetGraph:
    row = head.linear(head.flatten(head.crops), TAKEN, 9)
    return head.graph(head.relu(row), row)


def other_activation(head: Head) -> ir.NetGraph:
    """One that a product cannot do, which stays with OpenCV."""
    row = head.relu(head.linear(head.flatten(head.crops), TAKEN, 9), ir.Sigmoid)
    return head.graph(head.linear(head.relu(row), 9, 5))


def by_channels(head: Head) -> ir.NetGraph:
    """Flattened in the order of ONNX."""
    map_of_known_channels = head.convolution(head.crops, 3)
    return head.graph(head.linear(head.flatten(map_of_known_channels, channels_last=False), TAKEN, 9))


def of_means(head: Head) -> ir.NetGraph:
    row = head.flatten(head.mean(head.convolution(head.crops, 1)))
    return head.graph(head.relu(head.linear(row, CHANNELS, 7)))


LAYOUTS = [
    (alone, ["net", "rows"]),
    (without_bias, ["net", "rows"]),
    (two_layers, ["net", "rows", "rows", "rows", "rows"]),
    (asked_for_in_the_middle, ["net", "rows", "net"]),
    (other_activation, ["net", "rows", "net", "rows"]),
    (by_channels, ["net", "rows"]),
    (of_means, ["net", "rows"]),
]


@pytest.mark.parametrize(("layout", "kinds"), LAYOUTS)
@pytest.mark.parametrize("size", [SIZE, None])
@pytest.mark.usefixtures("_threads")
def test_a_head_with_products_of_rows_equals_the_whole(layout: Layout, kinds: list[str], size: ir.Pair | None) -> None:
    graph = layout(Head(CHANNELS))
    # With so few channels nothing else pays.
    assert [piece.kind for piece in pieces_of(graph, size)] == kinds
    net = make_net(graph, BACKENDS["cpu"], size=size)
    assert isinstance(net, HybridNet)
    # More rows, then fewer: what the ones before left in memory must not show.
    shapes: list[tuple[int, ...]] = [(count, CHANNELS, *SIZE) for count in (1, 300, 7, 2)]
    check_equal(net, graph, shapes)
    check_against_numpy(net, graph, shapes)


@pytest.mark.parametrize("bias", [False, True])
def test_rows_may_be_the_input(bias: bool) -> None:
    head = Head()
    graph = head.graph(head.relu(head.linear(head.crops, 20, 5, bias)))
    assert [piece.kind for piece in pieces_of(graph, None)] == ["rows"]
    check_against_numpy(make_net(graph, BACKENDS["cpu"]), graph, [(count, 20) for count in (1, 50, 3)])


def test_weights_of_several_axes_are_rows_in_their_order() -> None:
    """As in files, whose weights nobody has copied yet: halves, turned, and with factors."""
    weight = Head().values(5, 3, 4, 2).astype(np.float16).transpose(0, 2, 3, 1)
    scale = Head().values(5).astype(np.float64)
    layer = ir.Linear("rows", (ir.CROPS,), weight, scale=scale)
    graph = ir.NetGraph((ir.CROPS,), ("rows",), (layer,))
    net = make_net(graph, BACKENDS["cpu"])
    assert isinstance(net, HybridNet)
    check_against_numpy(net, graph, [(3, 24)])


@pytest.mark.parametrize("layout", [layout for layout, _ in LAYOUTS])
def test_without_a_fast_library_all_stays_with_opencv(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "is_fast", lambda: False)
    graph = layout(Head(CHANNELS))
    assert [piece.kind for piece in pieces_of(graph, SIZE)] == ["net"]
    net = make_net(graph, BACKENDS["cpu"], size=SIZE)
    assert isinstance(net, OpenCvNet)
    check_against_numpy(net, graph, [(2, CHANNELS, *SIZE)])


def test_it_is_used_for_what_follows_at_once() -> None:
    """Only what products can do is done there."""
    (_, rows, *_) = pieces_of(two_layers(Head(CHANNELS)), None)
    assert [layer.op for layer in rows.net] == ["Linear", "Relu"]
    assert isinstance(rows.net.layers[1], blas_linear.FOLLOWERS)
