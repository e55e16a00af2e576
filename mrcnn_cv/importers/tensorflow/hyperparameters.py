"""What the readers of all frozen graphs ask: values of constants, channels of layers, sizes of crops."""

from __future__ import annotations

from collections.abc import Sequence

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.extract import ADD
from mrcnn_cv.importers.tensorflow.graphdef import Graph


def with_bias(graph: Graph, layer: pb.NodeDef) -> str:
    """The result of a layer with weights after its bias, if it has one."""
    following = [node for node in graph.consumers(layer.name) if node.op in ADD]
    return following[0].name if len(following) == 1 else layer.name


class TensorFlowHyperparameterReader:
    """Reads the numbers of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._values = TensorFlowConstantFolder(graph)
        self.find = self._values.find
        self.number = self._values.number

    def layer_channels(self, layer: pb.NodeDef) -> int:
        """How many channels a layer with weights predicts."""
        weights = self.find(self._graph.inputs(layer)[1])
        if weights is None or weights.ndim < 2:
            raise ModelFileError(f"has no constant weights at '{layer.name}': it is not frozen")
        return int(weights.shape[-2 if layer.op == "MatMul" and layer.attr["transpose_b"].b else -1])

    def crop_size(self, crops: Sequence[pb.NodeDef]) -> tuple[int, int]:
        """(height, width) of the regions that CropAndResize nodes cut, the same for all of them."""
        sizes = [self.find(self._graph.inputs(crop)[3]) for crop in crops]
        known = {tuple(map(int, size.ravel())) for size in sizes if size is not None and size.size == 2}
        if len(known) != 1 or not all(1 <= side <= 512 for size in known for side in size):
            raise ModelFileError(f"does not say a usable crop size at '{crops[0].name}'")
        for crop in crops:
            if crop.attr["method"].s not in (b"", b"bilinear"):
                raise ModelFileError(
                    f"crops with the method {crop.attr['method'].s!r}, which is not supported (bilinear is)"
                )
        height, width = known.pop()
        return height, width
