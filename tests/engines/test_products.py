"""Convolutions as matrix products give what cv2.dnn gives for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mrcnn_cv.engines.opencv import blas_conv as products
from mrcnn_cv.engines.opencv import small_maps
from mrcnn_cv.engines.opencv.hybrid import CvPieces, pieces_of
from mrcnn_cv.engines.opencv.partition import Piece
from mrcnn_cv.engines.select import BACKENDS, CvNet, make_net
from mrcnn_cv.model.definition import StageGraph
from mrcnn_cv.util import blas
from mrcnn_cv.util.opencv import cv2
from tests.engines.heads import Head, check_equal

CHANNELS = 40

Layout = Callable[[Head], StageGraph]


@pytest.fixture(autouse=True)
def _products_of_few_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST_GAIN", 5)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def _threads(request: pytest.FixtureRequest) -> object:
    before = cv2.getNumThreads()
    cv2.setNumThreads(request.param)
    yield
    cv2.setNumThreads(before)


def alone(head: Head) -> StageGraph:
    return head.stage(head.convolution(head.crops, 1, channels=56))


def branches(head: Head) -> StageGraph:
    """Of the same maps, ended in different ways; one of them is asked for in its middle."""
    first = head.relu(head.convolution(head.crops, 1))
    second = head.convolution(head.crops, 1, channels=64, bias=False)
    third = head.relu(head.convolution(head.crops, 1), "Relu6")
    deeper = head.relu(head.convolution(third, 3))
    pooled = head.largest(head.crops, 1)
    return head.stage(head.writer.concat("joined", [first, head.relu(second), deeper, pooled]), second)


def residual(head: Head) -> StageGraph:
    """A sum of two convolutions of the same maps, and one of a convolution and what it took."""
    inner = head.relu(head.convolution(head.relu(head.convolution(head.crops, 1)), 3))
    first = head.relu(head.add(head.convolution(head.crops, 1), head.convolution(inner, 1)))
    inner = head.relu(head.convolution(first, 1))
    second = head.add(first, head.relu(head.convolution(inner, 1)))
    return head.stage(head.writer.mean("mean", head.relu(second)))


def twice_itself(head: Head) -> StageGraph:
    first = head.convolution(head.crops, 1)
    return head.stage(head.relu(head.add(first, first)))


def steps_of_two(head: Head) -> StageGraph:
    """Windows of several sizes that go on by two; two of them see the same."""
    first = head.relu(head.convolution(head.crops, 3, 2))
    second = head.convolution(head.crops, 3, 2, channels=48)
    third = head.convolution(head.crops, 1, 2)
    return head.stage(head.writer.concat("joined", [first, second, third, head.convolution(head.crops, 5, 2)]))


LAYOUTS = [alone, branches, residual, twice_itself, steps_of_two]


def in_groups(head: Head) -> StageGraph:
    """Convolutions in groups, of which one takes the same maps as one that is none."""
    first = head.convolution(head.crops, 1, taken=CHANNELS // 2)
    second = head.relu(head.convolution(head.crops, 3, 2, taken=CHANNELS // 4))
    third = head.relu(head.convolution(head.relu(head.convolution(head.crops, 1)), 1, taken=CHANNELS // 5))
    return head.stage(head.relu(head.add(first, third)), head.convolution(second, 1))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("count", "size"), [(1, (7, 7)), (3, (4, 4)), (50, (2, 3)), (2, (14, 9)), (1, (1, 30))])
@pytest.mark.usefixtures("_threads")
def test_a_head_with_products_equals_the_whole(layout: Layout, count: int, size: tuple[int, int]) -> None:
    stage = layout(Head(CHANNELS))
    net = make_net(stage, BACKENDS["cpu"], size=size)
    assert isinstance(net, CvPieces)
    assert "product" in [piece.kind for piece in pieces_of(stage, size)]
    # More maps, then fewer: what the ones before left in memory must not show.
    check_equal(net, stage, [(maps, CHANNELS, *size) for maps in (count, count + 3, 1)])


@pytest.mark.parametrize("layout", [alone, branches, residual, steps_of_two])
@pytest.mark.usefixtures("_threads")
def test_a_trunk_takes_maps_of_any_size(layout: Layout) -> None:
    stage = layout(Head(CHANNELS))
    net = make_net(stage, BACKENDS["cpu"])
    assert isinstance(net, CvPieces)
    check_equal(net, stage, [(1, CHANNELS, *size) for size in ((20, 31), (8, 8), (33, 17), (20, 31), (1, 1))])


@pytest.mark.parametrize("size", [(7, 7), (2, 2)])
def test_convolutions_in_groups_stay_with_opencv(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_maps, "LEAST_CHANNELS", 1)
    stage = in_groups(Head(CHANNELS))
    assert [piece.kind for piece in pieces_of(stage, size, CHANNELS)].count("product") == 2
    net = make_net(stage, BACKENDS["cpu"], size=size, channels=CHANNELS)
    check_equal(net, stage, [(count, CHANNELS, *size) for count in (4, 1, 6)])


def test_products_of_the_same_maps_are_one() -> None:
    kinds = [piece.kind for piece in pieces_of(branches(Head(CHANNELS)), None)]
    assert kinds.count("product") == 1
    # Of 3x3 and 5x5 windows one each, and one of 1x1.
    kinds = [piece.kind for piece in pieces_of(steps_of_two(Head(CHANNELS)), (7, 7))]
    assert kinds.count("product") == 3


def test_a_residual_unit_is_added_up_within_the_product() -> None:
    stages = [piece.stage for piece in pieces_of(residual(Head(CHANNELS)), None) if piece.kind == "product"]
    assert sum(len(stage.inputs) == 2 for stage in stages) == 2


def test_few_channels_stay_with_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = alone(Head(CHANNELS))
    monkeypatch.setattr(products, "LEAST_GAIN", 24)
    assert isinstance(make_net(stage, BACKENDS["cpu"]), CvNet)


def test_without_a_fast_library_all_stays_with_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "is_fast", lambda: False)
    assert isinstance(make_net(alone(Head(CHANNELS)), BACKENDS["cpu"]), CvNet)


def test_of_thousands_of_convolutions_it_is_soon_known_which_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a row in which the outermost ones are not, and without them the next ones are not."""
    monkeypatch.setattr(products, "LEAST_GAIN", CHANNELS + 1)
    head = Head(CHANNELS)
    at = head.crops
    for _ in range(3000):
        at = head.convolution(at, 1, bias=False)
    stage = head.stage(at)
    assert pieces_of(stage, None) == [Piece(stage, "net")]


def test_windows_that_see_too_much_stay_with_opencv() -> None:
    head = Head(CHANNELS)
    stage = head.stage(head.convolution(head.crops, 9, 2))
    assert [piece.kind for piece in pieces_of(stage, (7, 7))] == ["product"]
    assert [piece.kind for piece in pieces_of(stage, (64, 64))] == ["net"]


def test_memory_is_used_again() -> None:
    """Also by maps of other sizes, and it does not grow with them."""
    net = make_net(residual(Head(CHANNELS)), BACKENDS["cpu"])
    assert isinstance(net, CvPieces)
    held = []
    for side in (40, 20, 40, 30, 12, 40, 39, 40):
        net.run({"crops": np.zeros((1, CHANNELS, side, side), np.float32)})
        held.append(sum(memory.size for memory in net._memory._free))
    assert max(held) == held[0]
