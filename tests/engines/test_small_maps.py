"""Heads taken apart around convolutions on small maps give what they give in one piece, with and without products."""

from __future__ import annotations

import numpy as np
import pytest

from mrcnn_cv.engines.opencv import max_pool as pools
from mrcnn_cv.engines.opencv.hybrid import HybridNet, pieces_of
from mrcnn_cv.engines.opencv.small_maps import LEAST_CHANNELS, Sheet
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph import ir
from mrcnn_cv.util import blas
from tests.engines.heads import Head, check_equal
from tests.opencv import OpenCvNet, classic_only

pytestmark = classic_only


@pytest.fixture(autouse=True)
def _without_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "is_fast", lambda: False)
    monkeypatch.setattr(pools, "MOST_PIXELS", 0)


def residual() -> tuple[ir.NetGraph, int]:
    """Two residual units, as at the end of a ResNet."""
    head = Head()
    at = head.crops
    for _ in range(2):
        inner = head.relu(head.convolution(head.relu(head.convolution(at, 1)), 3))
        at = head.relu(head.add(head.convolution(inner, 1), at))
    pooled = head.mean(at)
    return head.graph(head.flatten(pooled)), 5


def inception() -> tuple[ir.NetGraph, int]:
    """Branches that make the maps half as large, and are joined."""
    head = Head()
    first = head.convolution(head.relu(head.convolution(head.crops, 1)), 3, 2)
    inner = head.relu(head.convolution(head.relu(head.convolution(head.crops, 1)), 3))
    second = head.relu(head.convolution(inner, 3, 2))
    return head.graph(head.concat(first, second, head.largest(head.crops, 2))), 3


def row() -> tuple[ir.NetGraph, int]:
    """Convolutions right behind each other, the first one without a bias; both are asked for."""
    head = Head()
    first = head.convolution(head.crops, 3, bias=False)
    second = head.relu(head.convolution(first, 3))
    return head.graph(first, second), 2


def ends_with_one() -> tuple[ir.NetGraph, int]:
    head = Head()
    return head.graph(head.convolution(head.convolution(head.crops, 1), 3)), 2


@pytest.mark.parametrize("layout", [residual, inception, row, ends_with_one])
@pytest.mark.parametrize(("count", "size"), [(1, (7, 7)), (3, (5, 5)), (17, (7, 7)), (10, (4, 11)), (4, (14, 9))])
def test_a_head_in_pieces_equals_the_whole(layout: object, count: int, size: tuple[int, int]) -> None:
    assert callable(layout)
    graph, pieces = layout()
    net = make_net(graph, BACKENDS["cpu"], size=size)
    assert isinstance(net, HybridNet)
    assert len(pieces_of(graph, size)) == pieces
    # The second time there are fewer maps, and what the first ones left on the sheet must not show.
    shapes: list[tuple[int, ...]] = [(maps, LEAST_CHANNELS, *size) for maps in (count, max(1, count - 2))]
    check_equal(net, graph, shapes)


@pytest.mark.parametrize("size", [(14, 14), (12, 40), (4, 4), (2, 8)])
def test_maps_of_sizes_that_are_fast_stay_in_one_piece(size: tuple[int, int]) -> None:
    graph, _ = residual()
    assert len(pieces_of(graph, size)) == 1
    assert isinstance(make_net(graph, BACKENDS["cpu"], size=size), OpenCvNet)


def test_thin_and_strided_and_other_convolutions_stay_in_one_piece() -> None:
    head = Head()
    one = head.convolution(head.convolution(head.crops, 5), 3, 2)
    graph = head.graph(head.convolution(one, 3, channels=LEAST_CHANNELS - 1))
    assert len(pieces_of(graph, (7, 7))) == 1


@pytest.mark.parametrize("count", [1, 2, 5, 9, 30])
def test_what_is_laid_out_can_be_picked_up_again(count: int) -> None:
    maps = np.random.default_rng(count).normal(size=(count, 3, 5, 7)).astype(np.float32)
    sheet = Sheet()
    laid = sheet.lay(maps)
    assert min(laid.shape[2:]) >= 12
    np.testing.assert_array_equal(sheet.pick(laid, maps.shape), maps)
    # Between neighbours there is nothing.
    assert not laid[:, :, 5::6].any()
    assert not laid[:, :, :, 7::8].any()
