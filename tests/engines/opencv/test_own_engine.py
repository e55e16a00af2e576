"""Which pieces of nets stay ours where OpenCV's own engine (5.1 and later) runs the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mrcnn_cv.engines.opencv.hybrid import HybridNet, pieces_of
from mrcnn_cv.engines.opencv.onnx_net import CvOnnxNet, is_the_engine
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from tests.engines.heads import check_against_numpy

CHANNELS = 256

own_engine_only = pytest.mark.skipif(not is_the_engine(), reason="this OpenCV has the classic engine")


def weights(*shape: int) -> ir.Float:
    values = np.random.default_rng(len(shape)).normal(size=shape) / math.sqrt(math.prod(shape[1:]))
    return np.asarray(values, np.float32)


def head() -> ir.NetGraph:
    """A convolution of small maps, one of a point, a pool, one of enlarged maps, and a fully connected layer."""
    build = NetBuilder((ir.CROPS,))
    at = build.add(ir.Conv2d, "wide", [ir.CROPS], weight=weights(CHANNELS, CHANNELS, 3, 3), padding=(1, 1, 1, 1))
    at = build.add(ir.Conv2d, "point", [at], weight=weights(CHANNELS, CHANNELS, 1, 1))
    at = build.add(ir.MaxPool2d, "pool", [at], kernel=(2, 2))
    large = build.add(ir.Resize, "large", [at], size=(30, 30), mode="bilinear", coordinates="align_corners")
    mask = build.add(ir.Conv2d, "mask", [large], weight=weights(8, CHANNELS, 3, 3), padding=(1, 1, 1, 1))
    mean = build.add(ir.GlobalAvgPool, "mean", [at])
    row = build.add(ir.Flatten, "row", [mean])
    return build.finish([mask, build.add(ir.Linear, "scores", [row], weight=weights(16, CHANNELS))])


def backbone() -> ir.NetGraph:
    build = NetBuilder((ir.CROPS,))
    at = build.add(ir.Conv2d, "first", [ir.CROPS], weight=weights(CHANNELS, 3, 3, 3), padding=(1, 1, 1, 1))
    return build.finish([build.add(ir.Conv2d, "point", [at], weight=weights(CHANNELS, CHANNELS, 1, 1))])


def kinds(net: ir.NetGraph, size: ir.Pair | None, is_classic: bool) -> set[str]:
    return {piece.kind for piece in pieces_of(net, size, is_classic)}


def test_small_maps_and_points_of_heads_are_left_to_it() -> None:
    assert kinds(head(), (7, 7), is_classic=False) == {"net", "upsampled", "rows"}
    assert kinds(head(), (7, 7), is_classic=True) == {
        *("net", "winograd or product", "product", "pool", "upsampled", "rows")
    }


def test_points_of_backbones_are_products() -> None:
    assert kinds(backbone(), None, is_classic=False) == {"net", "product"}


@own_engine_only
@pytest.mark.parametrize(("net", "size"), [(head(), (7, 7)), (backbone(), None)])
def test_they_are_used_and_right(net: ir.NetGraph, size: ir.Pair | None) -> None:
    made = make_net(net, BACKENDS["cpu"], size=size)
    assert isinstance(made, HybridNet)
    assert any(isinstance(piece, CvOnnxNet) for piece in made._pieces)
    shapes = [(3, CHANNELS, 7, 7), (1, CHANNELS, 7, 7)] if size else [(1, 3, 40, 31), (1, 3, 20, 31)]
    check_against_numpy(made, net, shapes)
