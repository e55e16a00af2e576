"""Heads made of random layers, and how to tell that two nets give the same."""

from __future__ import annotations

import numpy as np

from mrcnn_cv.engines.base import Float, Net
from mrcnn_cv.engines.opencv.small_maps import LEAST_CHANNELS
from mrcnn_cv.engines.select import BACKENDS, CvNet
from mrcnn_cv.graph.builder import Writer
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.model.definition import StageGraph


class Head:
    """Writes the layers of a head with random weights, each of so many channels."""

    def __init__(self, channels: int = LEAST_CHANNELS) -> None:
        self.channels = channels
        self.writer = Writer()
        self.crops = self.writer.placeholder("crops")
        self._random = np.random.default_rng(0)
        self._count = 0

    def convolution(
        self,
        source: str,
        side: int,
        stride: int = 1,
        channels: int = 0,
        bias: bool = True,
        padding: str = "SAME",
        taken: int = 0,
        dilation: int = 1,
    ) -> str:
        """channels, taken: of its result and of its input; 0: as all."""
        node = self._node("Conv2D", padding, stride)
        shape = (side, side, taken or self.channels, channels or self.channels)
        weights = self._random.normal(0, 1 / side, shape).astype(np.float32)
        shift = self._random.normal(size=shape[3]) * bias
        return self.writer.weighted(node, source, weights, shift.astype(np.float32), dilation)

    def relu(self, source: str, op: str = "Relu") -> str:
        return self.writer.activation(self._node(op, "", 1), source)

    def add(self, *sources: str) -> str:
        return self.writer.add(self._node("Add", "", 1).name, sources)

    def largest(self, source: str, stride: int, kernel: tuple[int, int] = (3, 3), padding: str = "SAME") -> str:
        node = self._node("MaxPool", padding, stride)
        node.attr["ksize"].list.i.extend([1, *kernel, 1])
        return self.writer.pool(node, source)

    def resize(self, source: str, size: tuple[int, int], op: str = "ResizeBilinear", corners: bool = False) -> str:
        node = self._node(op, "", 1)
        node.attr["align_corners"].b = corners
        return self.writer.resize(node, source, np.array(size, np.int32))

    def stage(self, *outputs: str) -> StageGraph:
        return StageGraph(self.writer.serialize(outputs), ("crops",), outputs)

    def _node(self, op: str, padding: str, stride: int) -> pb.NodeDef:
        self._count += 1
        node = pb.NodeDef(name=f"layer{self._count}", op=op)
        node.attr["strides"].list.i.extend([1, stride, stride, 1])
        node.attr["padding"].s = padding.encode()
        return node


def check_equal(net: Net, stage: StageGraph, shapes: list[tuple[int, ...]]) -> None:
    """The net gives what cv2.dnn gives for the stage in one piece, for one input of each shape after the other."""
    whole = CvNet(stage, BACKENDS["cpu"])
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
