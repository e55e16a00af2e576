"""Heads made of random layers, and how to tell that two nets give the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mrcnn_cv.engines.base import Float, Net
from mrcnn_cv.engines.opencv.blas_conv import MIN_CHANNELS
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from tests.graph import reference
from tests.support.opencv import opencv_net


class Head:
    """Adds the layers of a head with random weights, each of so many channels."""

    def __init__(self, channels: int = MIN_CHANNELS) -> None:
        self.channels = channels
        self.crops = ir.CROPS
        self._build = NetBuilder((ir.CROPS,))
        self._random = np.random.default_rng(0)

    def convolution(
        self,
        source: str,
        side: int,
        stride: int = 1,
        channels: int = 0,
        bias: bool = True,
        padding: ir.Padding = "same",
        taken: int = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> str:
        """channels, taken: of its result and of its input; 0: as all."""
        shape = (channels or self.channels, (taken or self.channels) // groups, side, side)
        return self._build.add(
            ir.Conv2d,
            "conv",
            [source],
            weight=self.values(*shape) / np.float32(side),
            bias=self.values(shape[0]) if bias else None,
            stride=(stride, stride),
            padding=_in_numbers(padding, (side, side), stride, dilation),
            dilation=(dilation, dilation),
            groups=groups,
        )

    def linear(self, source: str, taken: int, given: int, bias: bool = True) -> str:
        """taken, given: numbers of its rows."""
        weight = self.values(given, taken) / np.float32(np.sqrt(taken))
        return self._build.add(ir.Linear, "rows", [source], weight=weight, bias=self.values(given) if bias else None)

    def flatten(self, source: str, channels_last: bool = True) -> str:
        return self._build.add(ir.Flatten, "flat", [source], channels_last=channels_last)

    def relu(self, source: str, kind: type[ir.Layer] = ir.Relu) -> str:
        return self._build.add(kind, "relu", [source])

    def add(self, *sources: str) -> str:
        return self._build.add(ir.Add, "sum", sources)

    def concat(self, *sources: str) -> str:
        return self._build.add(ir.Concat, "joined", sources)

    def mean(self, source: str) -> str:
        return self._build.add(ir.GlobalAvgPool, "mean", [source])

    def largest(self, source: str, stride: int, kernel: ir.Pair = (3, 3), padding: ir.Padding = "same") -> str:
        padding = _in_numbers(padding, kernel, stride)
        return self._build.add(ir.MaxPool2d, "pool", [source], kernel=kernel, stride=(stride, stride), padding=padding)

    def resize(self, source: str, size: ir.Pair, mode: str = "bilinear", corners: bool = False) -> str:
        coordinates = "align_corners" if corners else "asymmetric"
        return self._build.add(ir.Resize, "resized", [source], size=size, mode=mode, coordinates=coordinates)

    def graph(self, *outputs: str) -> ir.NetGraph:
        return self._build.finish(outputs)

    def values(self, *shape: int) -> Float:
        return self._random.normal(size=shape).astype(np.float32)


def _in_numbers(padding: ir.Padding, kernel: ir.Pair, stride: int, dilation: int = 1) -> ir.Padding:
    """As importers say "same" where it does not depend on the size of the map."""
    if padding != "same" or stride != 1:
        return padding
    down, across = (dilation * (side - 1) for side in kernel)
    return down // 2, across // 2, down - down // 2, across - across // 2


def check_equal(net: Net, graph: ir.NetGraph, shapes: Sequence[tuple[int, ...]]) -> None:
    """The net gives what cv2.dnn gives for the graph in one piece, for one input of each shape after the other."""
    whole = opencv_net(graph)
    random = np.random.default_rng(1)
    for shape in shapes:
        maps: Float = random.normal(size=shape).astype(np.float32)
        kept = maps.copy()
        for found, expected in zip(net.run({"crops": maps}), whole.run({"crops": maps}), strict=True):
            assert found.shape == expected.shape
            assert found.flags.owndata
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
        np.testing.assert_array_equal(maps, kept)
    assert net.devices() <= {"cpu"}


def check_against_numpy(
    net: Net, graph: ir.NetGraph, shapes: Sequence[tuple[int, ...]], atol: float = 1e-4, of_largest: float = 0.0
) -> None:
    """The net gives what plain numpy gives for the graph, for one input of each shape after the other.

    of_largest: what part of the largest number it may differ by, where that is more.
    """
    for shape in shapes:
        maps: Float = np.random.default_rng(2).normal(size=shape).astype(np.float32)
        for found, expected in zip(net.run({"crops": maps}), reference.run(graph, {"crops": maps}), strict=True):
            allowed = max(atol, of_largest * np.abs(expected).max())
            np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)
