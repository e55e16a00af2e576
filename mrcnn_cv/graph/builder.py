"""Write plain layers as the GraphDef that cv2.dnn imports. Every layer that a stage may use is a method here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.limits import MAX_WEIGHT_BYTES
from mrcnn_cv.graph.passes.reorder_pools import pools_last
from mrcnn_cv.graph.protos import graph_pb2 as pb

CROPS = "crops"
"""The input of a stage that takes crops."""

BIAS_SUFFIX = "/with_bias"
"""A BiasAdd is named after its convolution, because cv2.dnn's importer keeps only the convolution's name."""


MAX_ROW = 1 << 24

MAX_LAYERS = 1 << 14
"""Of a net, its constants among them; the largest nets have 3,000."""

MAX_ENLARGED = 8
"""By a transposed convolution; models have 2. With a kernel of 64 x 64 OpenCV 5.0 takes seconds for ten pixels."""

_TURN = np.array([1, 0], np.int32)


class Writer:
    """A GraphDef in the making. Each method adds one layer and returns the name of its result.

    Weights are float32 in TensorFlow's order (height, width, in, out); feature maps are NHWC for TensorFlow and NCHW in
    cv2.dnn, whose importer turns them.
    """

    def __init__(self, nodes: Iterable[pb.NodeDef] = ()) -> None:
        """nodes: layers that were written before."""
        self._graph = pb.GraphDef(node=nodes)
        self._names = {node.name for node in self._graph.node}
        self._padded = {node.name for node in self._graph.node if node.op == "Pad"}
        self._bytes = 0

    def serialize(self, outputs: tuple[str, ...] | None = None) -> bytes:
        """The GraphDef's bytes; outputs: of the stage when all of it is written, whose layers may then be reordered."""
        if outputs is not None:
            pools_last(self._graph, outputs)
        return self._graph.SerializeToString()

    def placeholder(self, name: str) -> str:
        return self._node(name, "Placeholder", [])

    def weighted(
        self, node: pb.NodeDef, source: str, weights: NDArray[np.float32], bias: NDArray[np.float32], dilation: int
    ) -> str:
        """Conv2D, DepthwiseConv2dNative or MatMul, with a bias where it is not zero."""
        if weights.shape[:2] == (1, 1):
            # Its dilation moves nothing; TensorFlow 1 dilates all layers of a block, these too.
            dilation = 1
        block = np.array([dilation, dilation], np.int32)
        if dilation > 1:
            # cv2.dnn takes a dilation from SpaceToBatchND only, and ignores the attribute of a Conv2D.
            paddings = np.array([[dilation * (side // 2)] * 2 for side in weights.shape[:2]], np.int32)
            source = self._node(
                f"{node.name}/space", "SpaceToBatchND", [source, *self._pair(node.name, "space", block, paddings)]
            )
        layer = self._node(node.name, node.op, [source, self._const(f"{node.name}/weights", weights)])
        if node.op != "MatMul":
            self._window(node, self._graph.node[-1], dilation)
        if dilation > 1:
            crops = np.zeros((2, 2), np.int32)
            layer = self._node(
                f"{node.name}/batch", "BatchToSpaceND", [layer, *self._pair(node.name, "batch", block, crops)]
            )
        # After a dilation the importer keeps only the convolution's name, too.
        if bias.any() or dilation > 1:
            return self._node(f"{node.name}{BIAS_SUFFIX}", "BiasAdd", [layer, self._const(f"{node.name}/biases", bias)])
        return layer

    def transposed(self, node: pb.NodeDef, source: str, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """Conv2DBackpropInput whose patches lie side by side; weights (height, width, in, out)."""
        _check_layout(node)
        _check_window(node, "strides")
        if list(node.attr["strides"].list.i)[1:3] != list(weights.shape[:2]) or min(weights.shape[:2]) < 1:
            raise ModelFileError(f"the strides of '{node.name}' are not the size of its kernel, which is not supported")
        if max(weights.shape[:2]) > MAX_ENLARGED:
            raise ModelFileError(f"the transposed convolution '{node.name}' enlarges more than {MAX_ENLARGED} times")
        # Of the shape only whether it is a multiple of the strides counts for the importer.
        shape = np.array([1, *weights.shape[:2], weights.shape[3]], np.int32)
        constants = [
            self._const(f"{node.name}/shape", shape),
            self._const(f"{node.name}/weights", weights.swapaxes(2, 3)),
        ]
        layer = self._node(node.name, node.op, [*constants, source])
        _copy_attributes(node, self._graph.node[-1], ("strides",))
        self._graph.node[-1].attr["padding"].s = b"VALID"
        return self._node(f"{node.name}{BIAS_SUFFIX}", "BiasAdd", [layer, self._const(f"{node.name}/biases", bias)])

    def _window(self, node: pb.NodeDef, added: pb.NodeDef, dilation: int) -> None:
        """Strides and padding of a convolution."""
        _check_layout(node)
        _check_window(node, "strides")
        if dilation > 1 and set(node.attr["strides"].list.i) != {1}:
            raise ModelFileError(f"the dilated convolution '{node.name}' has strides, which is not supported")
        if node.attr["padding"].s != b"VALID" and added.input[0] in self._padded:
            # The importer makes one padding of both, and forgets the second.
            raise ModelFileError(f"the input of '{node.name}' is padded twice, which is not supported")
        _copy_attributes(node, added, ("strides", "padding", *_EXPLICIT))
        if dilation > 1:
            added.attr["padding"].s = b"VALID"

    def _pair(self, name: str, part: str, block: NDArray[np.int32], amounts: NDArray[np.int32]) -> list[str]:
        return [self._const(f"{name}/{part}/block", block), self._const(f"{name}/{part}/amounts", amounts)]

    def affine(self, name: str, source: str, factor: NDArray[np.float64], shift: NDArray[np.float64]) -> str:
        """Scale and shift per channel where there is no convolution to fold them into: a batch norm of its own."""
        channels = max(factor.size, shift.size)
        scale = np.broadcast_to(factor, channels).astype(np.float32)
        offset = np.broadcast_to(shift, channels).astype(np.float32)
        parts = [scale, offset, np.zeros(channels, np.float32), np.ones(channels, np.float32)]
        inputs = [self._const(f"{name}/{index}", part) for index, part in enumerate(parts)]
        layer = self._node(name, "FusedBatchNorm", [source, *inputs])
        self._graph.node[-1].attr["epsilon"].f = 0.0
        self._graph.node[-1].attr["is_training"].b = False
        return layer

    def add(self, name: str, sources: Sequence[str]) -> str:
        return self._node(name, "Add", sources)

    def multiply(self, name: str, sources: Sequence[str]) -> str:
        """Two maps; one of them may be a single pixel."""
        return self._node(name, "Mul", sources)

    def activation(self, node: pb.NodeDef, source: str) -> str:
        """Ops that TensorFlow does not have become cv2.dnn's layers of that name."""
        layer = self._node(node.name, node.op, [source])
        _copy_attributes(node, self._graph.node[-1], ("alpha", "beta"))
        return layer

    def pool(self, node: pb.NodeDef, source: str) -> str:
        _check_layout(node)
        for attribute in ("ksize", "strides"):
            _check_window(node, attribute)
        if node.op == "AvgPool" and node.attr["padding"].s == b"EXPLICIT":
            raise ModelFileError(f"the average pool '{node.name}' has paddings of its own, which is not supported")
        layer = self._node(node.name, node.op, [source])
        _copy_attributes(node, self._graph.node[-1], ("ksize", "strides", "padding", *_EXPLICIT))
        # Without a convolution before it, the importer would not know the order of what a Flatten then takes.
        self._graph.node[-1].attr["data_format"].s = b"NHWC"
        return layer

    def concat(self, name: str, sources: Sequence[str]) -> str:
        layer = self._node(name, "ConcatV2", [*sources, self._const(f"{name}/axis", np.array(3, np.int32))])
        # Without a convolution before it, the importer would take the axis as it is.
        self._graph.node[-1].attr["data_format"].s = b"NHWC"
        return layer

    def pad(self, name: str, source: str, paddings: NDArray[np.generic]) -> str:
        amounts = paddings.astype(np.int32)
        if amounts.shape != (4, 2) or amounts.min() < 0 or amounts.max() > 64:
            raise ModelFileError(f"the paddings of '{name}' are out of range")
        name = self._node(name, "Pad", [source, self._const(f"{name}/paddings", amounts)])
        self._padded.add(name)
        return name

    def mean(self, name: str, source: str) -> str:
        """The average over height and width, which stay as axes of length 1."""
        layer = self._node(name, "Mean", [source, self._const(f"{name}/axes", np.array([1, 2], np.int32))])
        self._graph.node[-1].attr["keep_dims"].b = True
        return layer

    def flatten(self, name: str, source: str) -> str:
        return self._node(name, "Flatten", [source])

    def rows_as_pixels(self, name: str, source: str, length: int) -> str:
        """Rows (N, length) as the pixels of one map.

        There a matrix product is a convolution of 1x1, which cv2.dnn does two to four times as fast as its MatMul.
        """
        turned = self._node(f"{name}/turned", "Transpose", [source, self._const(f"{name}/axes", _TURN)])
        return self._reshaped(name, turned, [1, 1, -1, length])

    def pixels_as_rows(self, name: str, source: str, length: int) -> str:
        """The pixels of one map as rows (N, length)."""
        return self._reshaped(name, source, [-1, length])

    def _reshaped(self, name: str, source: str, shape: list[int]) -> str:
        if not 0 < shape[-1] <= MAX_ROW:
            raise ModelFileError(f"the node '{name}' makes rows of {shape[-1]} numbers, which is out of range")
        return self._node(name, "Reshape", [source, self._const(f"{name}/shape", np.array(shape, np.int32))])

    def resize(self, node: pb.NodeDef, source: str, size: NDArray[np.generic]) -> str:
        height, width = (int(value) for value in size.ravel())
        if not (0 < height <= 1024 and 0 < width <= 1024):
            raise ModelFileError(f"the node '{node.name}' resizes to {height}x{width}, which is out of range")
        layer = self._node(
            node.name, node.op, [source, self._const(f"{node.name}/size", np.array([height, width], np.int32))]
        )
        for attribute in ("align_corners", "half_pixel_centers"):
            self._graph.node[-1].attr[attribute].b = node.attr[attribute].b
        return layer

    def enlarge(self, name: str, source: str, factors: tuple[int, int]) -> str:
        """Every pixel repeated (rows, columns) times, for maps of any size: cv2.dnn's own form with two factors."""
        if not all(1 <= factor <= 64 for factor in factors):
            raise ModelFileError(f"the node '{name}' repeats pixels {factors} times, which is out of range")
        rows, columns = (
            self._const(f"{name}/{side}", np.array(factor, np.int32))
            for side, factor in zip(("rows", "columns"), factors, strict=True)
        )
        return self._node(name, "ResizeNearestNeighbor", [source, rows, columns])

    def _node(self, name: str, op: str, inputs: Sequence[str]) -> str:
        if len(self._graph.node) >= MAX_LAYERS:
            raise ModelFileError(f"has a net of more than {MAX_LAYERS} layers and constants, so it is not a detector's")
        name = self._unique(name)
        node = self._graph.node.add(name=name, op=op, input=inputs)
        node.attr["T"].type = pb.DT_FLOAT
        return name

    def _unique(self, name: str) -> str:
        """The name itself, or with a mark where a layer of the user's graph is called like one of ours."""
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def _const(self, name: str, value: NDArray[np.float32] | NDArray[np.int32]) -> str:
        self._bytes += value.nbytes
        if self._bytes > MAX_WEIGHT_BYTES:
            raise ModelFileError("repeats its weights so often that they would not fit into memory")
        if not np.isfinite(value).all():
            raise ModelFileError(f"the numbers of '{name}' are not all finite: the training has diverged")
        name = self._unique(name)
        node = self._graph.node.add(name=name, op="Const")
        data_type = pb.DT_FLOAT if value.dtype == np.float32 else pb.DT_INT32
        node.attr["dtype"].type = data_type
        tensor = node.attr["value"].tensor
        tensor.dtype = data_type
        for size in value.shape:
            tensor.tensor_shape.dim.add(size=size)
        if value.shape == () and value.dtype == np.int32:
            # cv2.dnn reads the axis of a ConcatV2 from here without looking whether it is there.
            tensor.int_val.append(int(value))
        else:
            tensor.tensor_content = np.ascontiguousarray(value).tobytes()
        return name


_EXPLICIT = ("explicit_paddings",)


def _copy_attributes(source: pb.NodeDef, target: pb.NodeDef, names: Sequence[str]) -> None:
    for name in names:
        if name in source.attr:
            target.attr[name].CopyFrom(source.attr[name])


def _check_layout(node: pb.NodeDef) -> None:
    if node.attr["data_format"].s not in (b"", b"NHWC"):
        raise ModelFileError(
            f"the node '{node.name}' is in {node.attr['data_format'].s!r} order: export the model for the CPU (NHWC)"
        )
    padding, amounts = node.attr["padding"].s, list(node.attr["explicit_paddings"].list.i)
    if padding == b"EXPLICIT":
        # In pairs of before and after for each of the axes; the importer reads no others than those of the map.
        if len(amounts) != 8 or any(amounts[:2] + amounts[6:]) or not all(0 <= amount <= 64 for amount in amounts):
            raise ModelFileError(f"the paddings {amounts} of '{node.name}' are out of range")
    elif padding not in (b"SAME", b"VALID"):
        raise ModelFileError(f"the padding of '{node.name}' is neither SAME nor VALID")


def _check_window(node: pb.NodeDef, attribute: str) -> None:
    values = list(node.attr[attribute].list.i)
    if len(values) != 4 or values[0] != 1 or values[3] != 1 or not all(1 <= value <= 64 for value in values):
        raise ModelFileError(f"the {attribute} {values} of '{node.name}' are out of range")
