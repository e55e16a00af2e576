"""Cut one net out of a graph and write it as plain layers, from a short list of ops that every engine reads.

The user's nodes are never handed on as they are: each is read, checked and written anew (`_LAYERS` is the whole op set;
another output format is another `Writer`). Batch norm, biases and constant factors fold into the convolution before
them, in double precision; control inputs, identities and assertions go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.builder import Writer
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.constant_folding import Evaluator, NotConstant
from mrcnn_cv.importers.tensorflow.dilation import read_dilated
from mrcnn_cv.importers.tensorflow.graphdef import PASS_THROUGH, Graph, node_name
from mrcnn_cv.importers.tensorflow.upsampling import read_factors, read_upsampled
from mrcnn_cv.model.definition import StageGraph

BATCH_NORM = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
ADD = frozenset({"Add", "AddV2", "BiasAdd"})
JOINING = ADD | {"Mul"}
AFFINE = BATCH_NORM | JOINING | {"Sub", "RealDiv"}
WEIGHTED = frozenset({"Conv2D", "DepthwiseConv2dNative", "MatMul"})
TRANSPOSED = "Conv2DBackpropInput"
LAYERS_WITH_WEIGHTS = WEIGHTED | {"BatchToSpaceND", TRANSPOSED}

Vector = NDArray[np.float64]


class StageCutter:
    """Writes the part of `graph` between `starts` (tensor → name of the net's input) and the tensors asked for."""

    def __init__(self, graph: Graph, starts: dict[str, str], writer: Writer) -> None:
        self._graph = graph
        self._values = Evaluator(graph)
        self._writer = writer
        self._written: dict[str, str] = {node_name(tensor): name for tensor, name in starts.items()}

    def cut(self, tensors: Sequence[str]) -> tuple[str, ...]:
        """Write everything that `tensors` need; returns their names in the net."""
        stack = [node_name(tensor) for tensor in reversed(tensors)]
        open_nodes: set[str] = set()
        while stack:
            name = stack[-1]
            if name in self._written:
                stack.pop()
                continue
            sources = self._sources(self._graph.nodes[name])
            missing = [source for source in sources if source not in self._written]
            if missing:
                if name in open_nodes:
                    raise ModelFileError(f"the node '{name}' depends on itself")
                open_nodes.add(name)
                stack.extend(missing)
                continue
            self._written[name] = self._write(self._graph.nodes[name])
        return tuple(self._written[node_name(tensor)] for tensor in tensors)

    def _sources(self, node: pb.NodeDef) -> list[str]:
        """Names of the nodes whose feature maps the layer of `node` takes."""
        if node.op in AFFINE:
            base = self._affine(node)[0]
            if base is not node:
                node = base
                if not self._folds(base):
                    return [base.name]
            elif node.op in JOINING:
                return [node_name(tensor) for tensor in self._graph.inputs(node)]
        if node.op in PASS_THROUGH | WEIGHTED or node.op in _LAYERS:
            inputs = [node_name(tensor) for tensor in self._graph.inputs(node)]
            if node.op == "ConcatV2":
                return inputs[:-1]
            if node.op == TRANSPOSED:
                return inputs[2:]
            several = read_dilated(self._graph, self._values, node) or read_upsampled(self._graph, self._values, node)
            return inputs[:1] if several is None else [node_name(several.source)]
        raise ModelFileError(
            f"the node '{node.name}' is a {node.op}, which is not a layer of a Faster or Mask R-CNN that mrcnn-cv knows"
        )

    def _write(self, node: pb.NodeDef) -> str:
        if node.op in PASS_THROUGH:
            return self._input(node, 0)
        if node.op in AFFINE:
            base, factor, shift = self._affine(node)
            if base is node:
                names = [self._written[node_name(tensor)] for tensor in self._graph.inputs(node)]
                return (self._writer.add if node.op in ADD else self._writer.multiply)(node.name, names)
            if not self._folds(base):
                return self._writer.affine(node.name, self._written[base.name], factor, shift)
            return self._weighted(base, factor, shift)
        if node.op in LAYERS_WITH_WEIGHTS:
            return self._weighted(node, np.ones(1), np.zeros(1))
        return _LAYERS[node.op](self, node)

    def _input(self, node: pb.NodeDef, index: int) -> str:
        return self._written[node_name(self._graph.inputs(node)[index])]

    def _constant(self, node: pb.NodeDef, index: int) -> NDArray[np.generic]:
        tensor = self._graph.inputs(node)[index]
        try:
            return self._values.value(tensor)
        except NotConstant as error:
            raise ModelFileError(f"the node '{node.name}' ({node.op}) needs a constant, but {error}") from error

    def _affine(self, node: pb.NodeDef) -> tuple[pb.NodeDef, Vector, Vector]:
        """Follow factors and shifts per channel upwards: (where they begin, factor, shift). Itself if it is none."""
        factor, shift = np.ones(1), np.zeros(1)
        start = node
        seen: set[str] = set()
        while node.op in AFFINE and node.name not in self._written:
            if node.name in seen:
                raise ModelFileError(f"the node '{node.name}' depends on itself")
            seen.add(node.name)
            step = self._affine_step(node)
            if step is None or (node is not start and len(self._graph.consumers(node.name)) > 1):
                break
            tensor, own_factor, own_shift = step
            sizes = {vector.size for vector in (factor, shift, own_factor, own_shift)} - {1}
            if len(sizes) > 1:
                raise ModelFileError(f"the node '{node.name}' ({node.op}) scales another number of channels")
            factor, shift = factor * own_factor, factor * own_shift + shift
            node = self._graph.node(tensor)
        if not (np.isfinite(factor).all() and np.isfinite(shift).all()):
            raise ModelFileError(f"the weights of '{start.name}' are not all finite numbers: the training has diverged")
        return node, factor, shift

    def _affine_step(self, node: pb.NodeDef) -> tuple[str, Vector, Vector] | None:
        """(input, factor, shift) of one node that scales or shifts channels by constants, else None."""
        inputs = self._graph.inputs(node)
        if node.op in BATCH_NORM:
            # An exporter that leaves out defaults leaves out TensorFlow's: in training, and an epsilon of 1e-4.
            if "is_training" not in node.attr or node.attr["is_training"].b:
                raise ModelFileError(
                    f"the batch norm '{node.name}' is in training mode: export the model for inference"
                )
            gamma, beta, mean, variance = (self._constant(node, i).astype(np.float64).ravel() for i in range(1, 5))
            if len({part.size for part in (gamma, beta, mean, variance)}) != 1:
                raise ModelFileError(f"the batch norm '{node.name}' has statistics of different lengths")
            with np.errstate(all="ignore"):
                own = gamma / np.sqrt(variance + (node.attr["epsilon"].f if "epsilon" in node.attr else 1e-4))
                return inputs[0], own, beta - mean * own
        for index in (1, 0):
            try:
                value = np.atleast_1d(self._values.value(inputs[index]).astype(np.float64))
            except NotConstant:
                continue
            if value.size != value.shape[-1]:
                raise ModelFileError(f"the node '{node.name}' ({node.op}) differs by position, not only by channel")
            value = value.ravel()
            if index == 0 and node.op in ("Sub", "RealDiv"):
                raise ModelFileError(
                    f"the node '{node.name}' ({node.op}) has its constant first, which is not supported"
                )
            if node.op in ("Mul", "RealDiv"):
                with np.errstate(divide="ignore"):
                    return inputs[1 - index], 1 / value if node.op == "RealDiv" else value, np.zeros(1)
            return inputs[1 - index], np.ones(1), -value if node.op == "Sub" else value
        if node.op in JOINING:
            return None
        raise ModelFileError(f"the node '{node.name}' ({node.op}) combines two feature maps, which is not supported")

    def _folds(self, base: pb.NodeDef) -> bool:
        """Whether what follows `base` can go into its weights: nobody else may need it unscaled."""
        return (
            base.name not in self._written
            and base.op in LAYERS_WITH_WEIGHTS
            and len(self._graph.consumers(base.name)) == 1
        )

    def _weighted(self, node: pb.NodeDef, factor: Vector, shift: Vector) -> str:
        """A convolution or matrix product whose result is scaled and shifted per channel."""
        dilated = read_dilated(self._graph, self._values, node)
        source, dilation, output = self._graph.inputs(node)[0], 1, node
        if dilated is not None:
            node, source, dilation = dilated
        name = node.name
        if node.op == TRANSPOSED:
            source = self._graph.inputs(node)[2]
        weights = self._constant(node, 1).astype(np.float64)
        if weights.ndim != (2 if node.op == "MatMul" else 4) or 0 in weights.shape:
            raise ModelFileError(f"the weights of '{name}' ({node.op}) have the shape {weights.shape}")
        if not np.isfinite(weights).all():
            raise ModelFileError(f"the weights of '{name}' are not all finite numbers: the training has diverged")
        if node.op == "MatMul":
            if node.attr["transpose_a"].b:
                raise ModelFileError(f"the node '{name}' transposes its input, which is not supported")
            weights = weights.T if node.attr["transpose_b"].b else weights
        if node.op == TRANSPOSED:
            weights = weights.swapaxes(2, 3)
        channels = weights.shape[-1] * (weights.shape[-2] if node.op == "DepthwiseConv2dNative" else 1)
        for vector in (factor, shift):
            if vector.size not in (1, channels):
                raise ModelFileError(
                    f"the node '{output.name}' has {channels} channels but {vector.size} factors follow it"
                )
        scale = np.broadcast_to(factor, channels)
        weights *= scale.reshape(weights.shape[-2:]) if node.op == "DepthwiseConv2dNative" else scale
        bias = np.broadcast_to(shift, channels).astype(np.float32)
        taken = self._written[node_name(source)]
        if node.op == TRANSPOSED:
            return self._writer.transposed(node, taken, weights.astype(np.float32), bias)
        return self._writer.weighted(node, taken, weights.astype(np.float32), bias, dilation)

    def _concat(self, node: pb.NodeDef) -> str:
        count = len(self._graph.inputs(node)) - 1
        if self._constant(node, count).tolist() not in (3, -1):
            raise ModelFileError(f"the node '{node.name}' joins along an axis that is not the channels")
        return self._writer.concat(node.name, [self._input(node, i) for i in range(count)])

    def _activation(self, node: pb.NodeDef) -> str:
        return self._writer.activation(node, self._input(node, 0))

    def _pool(self, node: pb.NodeDef) -> str:
        return self._writer.pool(node, self._input(node, 0))

    def _pad(self, node: pb.NodeDef) -> str:
        return self._writer.pad(node.name, self._input(node, 0), self._constant(node, 1))

    def _mirror_pad(self, node: pb.NodeDef) -> str:
        if self._constant(node, 1).any():
            raise ModelFileError(f"the node '{node.name}' pads with a mirrored border, which is not supported")
        return self._input(node, 0)

    def _mean(self, node: pb.NodeDef) -> str:
        axes = sorted(int(axis) % 4 for axis in self._constant(node, 1).ravel())
        if axes != [1, 2]:
            raise ModelFileError(f"the node '{node.name}' averages over axes {axes}, not over height and width")
        mean = self._writer.mean(node.name, self._input(node, 0))
        # What follows a mean without the two axes takes a matrix.
        return mean if node.attr["keep_dims"].b else self._writer.flatten(f"{node.name}/flat", mean)

    def _reshape(self, node: pb.NodeDef) -> str:
        upsampled = read_upsampled(self._graph, self._values, node)
        if upsampled is None:
            return self._flatten(node)
        resize = pb.NodeDef(name=node.name, op="ResizeNearestNeighbor")
        return self._writer.resize(resize, self._written[node_name(upsampled.source)], np.array(upsampled.size))

    def _flatten(self, node: pb.NodeDef) -> str:
        if not self._flattens(node):
            raise ModelFileError(f"the node '{node.name}' ({node.op}) is not a flattening, so it is not supported here")
        return self._writer.flatten(node.name, self._input(node, 0))

    def _flattens(self, node: pb.NodeDef) -> bool:
        """Whether a node makes one row of numbers per region."""
        if node.op == "Squeeze":
            return sorted(axis % 4 for axis in node.attr["squeeze_dims"].list.i) == [1, 2]
        shape = self._graph.node(self._graph.inputs(node)[1])
        if shape.op == "Pack" and len(self._graph.inputs(shape)) == 2:
            # The number of regions, read off the input, and one side that is left to TensorFlow or known.
            batch = self._graph.upstream([self._graph.inputs(shape)[0]])
            return any(source.op == "Shape" for source in batch.values()) and self._constant(shape, 1).size == 1
        sides = self._constant(node, 1).ravel()
        return len(sides) == 2 and int(sides[0]) == -1

    def _resize(self, node: pb.NodeDef) -> str:
        if len(self._graph.inputs(node)) == 3:
            # cv2.dnn's own form, into which other formats are translated.
            rows, columns = (int(self._constant(node, index)) for index in (1, 2))
            return self._writer.enlarge(node.name, self._input(node, 0), (rows, columns))
        factors = read_factors(self._graph, node)
        if factors is not None:
            return self._writer.enlarge(node.name, self._input(node, 0), factors)
        return self._writer.resize(node, self._input(node, 0), self._constant(node, 1))

    def _rows_as_pixels(self, node: pb.NodeDef) -> str:
        return self._writer.rows_as_pixels(node.name, self._input(node, 0), node.attr["length"].i)

    def _pixels_as_rows(self, node: pb.NodeDef) -> str:
        return self._writer.pixels_as_rows(node.name, self._input(node, 0), node.attr["length"].i)


ROWS_AS_PIXELS, PIXELS_AS_ROWS = "RowsAsPixels", "PixelsAsRows"
"""Ops of ours, for those who translate other formats: a matrix product as a convolution."""

_LAYERS: dict[str, Callable[[StageCutter, pb.NodeDef], str]] = {
    ROWS_AS_PIXELS: StageCutter._rows_as_pixels,
    PIXELS_AS_ROWS: StageCutter._pixels_as_rows,
    "Relu": StageCutter._activation,
    "Relu6": StageCutter._activation,
    "Sigmoid": StageCutter._activation,
    "HardSigmoid": StageCutter._activation,
    "HardSwish": StageCutter._activation,
    "MaxPool": StageCutter._pool,
    "AvgPool": StageCutter._pool,
    "ConcatV2": StageCutter._concat,
    "Pad": StageCutter._pad,
    "MirrorPad": StageCutter._mirror_pad,
    "Mean": StageCutter._mean,
    "Reshape": StageCutter._reshape,
    "Squeeze": StageCutter._flatten,
    "ResizeBilinear": StageCutter._resize,
    "ResizeNearestNeighbor": StageCutter._resize,
    "BatchToSpaceND": lambda cutter, node: cutter._write(node),
    TRANSPOSED: lambda cutter, node: cutter._write(node),
}

NET_OPS = PASS_THROUGH | AFFINE | WEIGHTED | frozenset(_LAYERS) | {"SpaceToBatchND"}


def cut_stage(graph: Graph, starts: dict[str, str], tensors: Sequence[str]) -> StageGraph:
    """The net from `starts` (tensor of the graph → name of the net's input) to `tensors`."""
    writer = Writer()
    inputs = tuple(dict.fromkeys(starts.values()))
    for name in inputs:
        writer.placeholder(name)
    outputs = StageCutter(graph, starts, writer).cut(tensors)
    return StageGraph(writer.serialize(outputs), inputs, outputs)
