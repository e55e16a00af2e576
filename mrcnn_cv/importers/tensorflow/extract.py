"""Cut one net out of a graph: the user's nodes are read, checked, and become layers of a NetGraph.

Control inputs, identities and assertions go; batch norms, biases and constant factors become Affine layers, which
`passes.fold_affine` folds into the weights before them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.partial_shapes import Shape, output_shape
from mrcnn_cv.graph.passes import standard_passes
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.constant_folding import Array, NotConstant
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.dilation import read_dilated
from mrcnn_cv.importers.tensorflow.graphdef import PASS_THROUGH, Graph, node_name
from mrcnn_cv.importers.tensorflow.upsampling import read_factors, read_upsampled

BATCH_NORM = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
ADD = frozenset({"Add", "AddV2", "BiasAdd"})
JOINING = ADD | {"Mul"}
AFFINE = BATCH_NORM | JOINING | {"Sub", "RealDiv"}
WEIGHTED = frozenset({"Conv2D", "DepthwiseConv2dNative", "MatMul"})
TRANSPOSED = "Conv2DBackpropInput"


class SubgraphExtractor:
    """Reads the part of `graph` between `starts` (tensor → name of the net's input) and the tensors asked for.

    channels: of the net's inputs, where they are known: a convolution with fewer input channels works in groups.
    """

    def __init__(self, graph: Graph, starts: dict[str, str], channels: int | None = None) -> None:
        self._graph = graph
        self._values = TensorFlowConstantFolder(graph)
        self._builder = NetBuilder(tuple(dict.fromkeys(starts.values())))
        self._results = {node_name(tensor): name for tensor, name in starts.items()}
        self._shapes: dict[str, Shape] = dict.fromkeys(starts.values(), (None, channels, None, None))

    def extract(self, tensors: Sequence[str]) -> ir.NetGraph:
        """The net that puts out `tensors`, in their order."""
        stack = [node_name(tensor) for tensor in reversed(tensors)]
        open_nodes: set[str] = set()
        while stack:
            name = stack[-1]
            if name in self._results:
                stack.pop()
                continue
            node = self._graph.nodes[name]
            missing = [source for source in self._sources(node) if source not in self._results]
            if missing:
                if name in open_nodes:
                    raise ModelFileError(f"the node '{name}' depends on itself")
                open_nodes.add(name)
                stack.extend(missing)
                continue
            self._results[name] = self._read(node)
        return self._builder.finish(tuple(self._results[node_name(tensor)] for tensor in tensors))

    def _sources(self, node: pb.NodeDef) -> list[str]:
        """Names of the nodes whose maps the layer of `node` takes."""
        inputs = [node_name(tensor) for tensor in self._graph.inputs(node)]
        if node.op in AFFINE:
            index = self._map_index(node)
            return inputs if index is None else [inputs[index]]
        if node.op not in PASS_THROUGH and node.op not in _LAYERS:
            raise ModelFileError(
                f"the node '{node.name}' is a {node.op}, which is not a layer of a Faster or Mask R-CNN that mrcnn-cv"
                " knows"
            )
        if node.op == "ConcatV2":
            return inputs[:-1]
        if node.op == TRANSPOSED:
            return inputs[2:]
        several = read_dilated(self._graph, self._values, node) or read_upsampled(self._graph, self._values, node)
        return inputs[:1] if several is None else [node_name(several.source)]

    def _read(self, node: pb.NodeDef) -> str:
        if node.op in PASS_THROUGH:
            return self._source(node)
        return self._affine(node) if node.op in AFFINE else _LAYERS[node.op](self, node)

    def _source(self, node: pb.NodeDef, index: int = 0) -> str:
        return self._results[node_name(self._graph.inputs(node)[index])]

    def _constant(self, node: pb.NodeDef, index: int) -> Array:
        tensor = self._graph.inputs(node)[index]
        try:
            return self._values.value(tensor)
        except NotConstant as error:
            raise ModelFileError(f"the node '{node.name}' ({node.op}) needs a constant, but {error}") from error

    def _add(self, kind: type[ir.Layer], node: pb.NodeDef, sources: Sequence[str], **fields: object) -> str:
        """A layer with the name of `node`."""
        name = self._builder.add(kind, node.name, tuple(sources), **fields)
        shapes = [self._shapes[source] for source in sources]
        # A factor for a map of unknown channels may be one for all.
        self._shapes[name] = shapes[0] if kind is ir.Affine else output_shape(self._builder.layers[name], shapes)
        return name

    def _same(self, kind: type[ir.Layer], node: pb.NodeDef, **fields: object) -> str:
        """A layer on one map."""
        return self._add(kind, node, [self._source(node)], **fields)

    # Factors and shifts by channel, sums and products.

    def _map_index(self, node: pb.NodeDef) -> int | None:
        """Which input of an affine node is the map; None where it joins two of them."""
        if node.op in BATCH_NORM:
            return 0
        for index in (1, 0):
            if self._values.find(self._graph.inputs(node)[index]) is not None:
                return 1 - index
        if node.op in JOINING:
            return None
        raise ModelFileError(f"the node '{node.name}' ({node.op}) combines two feature maps, which is not supported")

    def _affine(self, node: pb.NodeDef) -> str:
        index = self._map_index(node)
        if index is None:
            return self._add(ir.Add if node.op in ADD else ir.Mul, node, [self._source(node, 0), self._source(node, 1)])
        scale, shift = self._batch_norm(node) if node.op in BATCH_NORM else self._by_channel(node, 1 - index)
        source = self._source(node, index)
        channels = self._shapes[source][1] or max(scale.size, shift.size)
        for vector in (scale, shift):
            if vector.size not in (1, channels):
                raise ModelFileError(
                    f"the node '{node.name}' has {channels} channels but {vector.size} factors follow it"
                )
        fields = {"scale": np.broadcast_to(scale, channels), "shift": np.broadcast_to(shift, channels)}
        return self._add(ir.Affine, node, [source], **fields)

    def _batch_norm(self, node: pb.NodeDef) -> tuple[Array, Array]:
        """(scale, shift), float64."""
        # An exporter that leaves out defaults leaves out TensorFlow's: in training, and an epsilon of 1e-4.
        if "is_training" not in node.attr or node.attr["is_training"].b:
            raise ModelFileError(f"the batch norm '{node.name}' is in training mode: export the model for inference")
        gamma, beta, mean, variance = (self._constant(node, i).astype(np.float64).ravel() for i in range(1, 5))
        if len({part.size for part in (gamma, beta, mean, variance)}) != 1:
            raise ModelFileError(f"the batch norm '{node.name}' has statistics of different lengths")
        with np.errstate(all="ignore"):
            scale = gamma / np.sqrt(variance + (node.attr["epsilon"].f if "epsilon" in node.attr else 1e-4))
            return scale, beta - mean * scale

    def _by_channel(self, node: pb.NodeDef, index: int) -> tuple[Array, Array]:
        """(scale, shift), float64, of a node whose input `index` is the constant."""
        value = np.atleast_1d(self._constant(node, index).astype(np.float64))
        if value.size != value.shape[-1]:
            raise ModelFileError(f"the node '{node.name}' ({node.op}) differs by position, not only by channel")
        value = value.ravel()
        if index == 0 and node.op in ("Sub", "RealDiv"):
            raise ModelFileError(f"the node '{node.name}' ({node.op}) has its constant first, which is not supported")
        if node.op in ("Mul", "RealDiv"):
            with np.errstate(divide="ignore"):
                return 1 / value if node.op == "RealDiv" else value, np.zeros(1)
        return np.ones(1), -value if node.op == "Sub" else value

    # Layers with weights.

    def _convolution(self, node: pb.NodeDef) -> str:
        dilated = read_dilated(self._graph, self._values, node)
        layer, tensor, dilation = (node, self._graph.inputs(node)[0], 1) if dilated is None else dilated
        weights = self._weights(layer, 4)
        source = self._results[node_name(tensor)]
        known = self._shapes[source][1]
        if layer.op == "DepthwiseConv2dNative":
            groups, taken = weights.shape[2], weights.shape[2]
            weights = weights.reshape(*weights.shape[:2], 1, -1)
        else:
            taken = weights.shape[2]
            # With fewer channels than there are, a convolution has groups.
            groups = known // taken if known is not None and known % taken == 0 else 1
        if known is not None and known != (taken if layer.op != "Conv2D" else taken * groups):
            raise ModelFileError(f"the layer '{node.name}' takes {taken} channels but is given {known}")
        _check_layout(layer)
        kernel, stride = weights.shape[:2], _pair(layer, "strides")
        if kernel == (1, 1):
            # Its dilation moves nothing; TensorFlow 1 dilates all layers of a block, these too.
            dilation = 1
        elif dilation > 1 and stride != (1, 1):
            raise ModelFileError(f"the dilated convolution '{layer.name}' has strides, which is not supported")
        is_same = dilated is not None or layer.attr["padding"].s == b"SAME"
        padding = _same(kernel, stride, dilation) if is_same else _explicit(layer)
        return self._add(
            ir.Conv2d,
            node,
            [source],
            weight=weights.transpose(3, 2, 0, 1),
            stride=stride,
            padding=padding,
            dilation=(dilation, dilation),
            groups=groups,
        )

    def _weights(self, node: pb.NodeDef, axes: int, index: int = 1) -> Array:
        weights = self._constant(node, index)
        if weights.ndim != axes or 0 in weights.shape or weights.dtype.kind != "f":
            raise ModelFileError(f"the weights of '{node.name}' ({node.op}) have the shape {weights.shape}")
        return weights

    def _transposed(self, node: pb.NodeDef) -> str:
        """A transposed convolution whose patches lie side by side."""
        _check_layout(node)
        weights, stride = self._weights(node, 4), _pair(node, "strides")
        if stride != weights.shape[:2]:
            raise ModelFileError(f"the strides of '{node.name}' are not the size of its kernel, which is not supported")
        source = self._source(node, 2)
        self._check_channels(node, source, weights.shape[3])
        return self._add(ir.ConvTranspose2d, node, [source], weight=weights.transpose(3, 2, 0, 1))

    def _linear(self, node: pb.NodeDef) -> str:
        weights = self._weights(node, 2)
        if node.attr["transpose_a"].b:
            raise ModelFileError(f"the node '{node.name}' transposes its input, which is not supported")
        weights = weights if node.attr["transpose_b"].b else weights.T
        return self._add(ir.Linear, node, [self._source(node)], weight=weights)

    def _check_channels(self, node: pb.NodeDef, source: str, taken: int) -> None:
        known = self._shapes[source][1]
        if known is not None and known != taken:
            raise ModelFileError(f"the layer '{node.name}' takes {taken} channels but is given {known}")

    # Layers without weights.

    def _concat(self, node: pb.NodeDef) -> str:
        count = len(self._graph.inputs(node)) - 1
        if self._constant(node, count).tolist() not in (3, -1):
            raise ModelFileError(f"the node '{node.name}' joins along an axis that is not the channels")
        sources = [self._source(node, index) for index in range(count)]
        return self._add(ir.Concat, node, sources)

    def _pool(self, node: pb.NodeDef) -> str:
        _check_layout(node)
        kernel, stride = _pair(node, "ksize"), _pair(node, "strides")
        is_same = node.attr["padding"].s == b"SAME"
        if node.op == "MaxPool":
            padding = _same(kernel, stride) if is_same else _explicit(node)
            return self._same(ir.MaxPool2d, node, kernel=kernel, stride=stride, padding=padding)
        if node.attr["padding"].s == b"EXPLICIT":
            raise ModelFileError(f"the average pool '{node.name}' has paddings of its own, which is not supported")
        padding = "same" if is_same else ir.NO_PADDING
        return self._same(ir.AvgPool2d, node, kernel=kernel, stride=stride, padding=padding)

    def _pad(self, node: pb.NodeDef) -> str:
        amounts = self._constant(node, 1)
        if node.op == "MirrorPad":
            if amounts.any():
                raise ModelFileError(f"the node '{node.name}' pads with a mirrored border, which is not supported")
            return self._source(node)
        if amounts.shape != (4, 2) or amounts[[0, 3]].any():
            raise ModelFileError(f"the paddings of '{node.name}' are out of range")
        (top, bottom), (left, right) = amounts[1:3].tolist()
        return self._same(ir.Pad, node, padding=(top, left, bottom, right))

    def _mean(self, node: pb.NodeDef) -> str:
        axes = sorted(int(axis) % 4 for axis in self._constant(node, 1).ravel())
        if axes != [1, 2]:
            raise ModelFileError(f"the node '{node.name}' averages over axes {axes}, not over height and width")
        mean = self._same(ir.GlobalAvgPool, node)
        if node.attr["keep_dims"].b:
            return mean
        # What follows a mean without the two axes takes a matrix.
        return self._add(ir.Flatten, pb.NodeDef(name=f"{node.name}/flat"), [mean], channels_last=True)

    def _reshape(self, node: pb.NodeDef) -> str:
        upsampled = read_upsampled(self._graph, self._values, node)
        if upsampled is None:
            return self._flatten(node)
        source = self._results[node_name(upsampled.source)]
        fields = {"size": upsampled.size, "mode": "nearest", "coordinates": "asymmetric"}
        return self._add(ir.Resize, node, [source], **fields)

    def _flatten(self, node: pb.NodeDef) -> str:
        if not self._flattens(node):
            raise ModelFileError(f"the node '{node.name}' ({node.op}) is not a flattening, so it is not supported here")
        return self._same(ir.Flatten, node, channels_last=True)

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
        factors = read_factors(self._graph, node)
        if factors is not None:
            return self._same(ir.Upsample, node, factors=factors)
        size = self._constant(node, 1).ravel()
        if size.size != 2:
            raise ModelFileError(f"the node '{node.name}' resizes to {size.size} sides, where a map has two")
        corners, centers = node.attr["align_corners"].b, node.attr["half_pixel_centers"].b
        return self._same(
            ir.Resize,
            node,
            size=(int(size[0]), int(size[1])),
            mode="bilinear" if node.op == "ResizeBilinear" else "nearest",
            coordinates="align_corners" if corners else "half_pixel" if centers else "asymmetric",
        )


_LAYERS: dict[str, Callable[[SubgraphExtractor, pb.NodeDef], str]] = {
    "Conv2D": SubgraphExtractor._convolution,
    "DepthwiseConv2dNative": SubgraphExtractor._convolution,
    "BatchToSpaceND": SubgraphExtractor._convolution,
    TRANSPOSED: SubgraphExtractor._transposed,
    "MatMul": SubgraphExtractor._linear,
    "Relu": lambda extractor, node: extractor._same(ir.Relu, node),
    "Relu6": lambda extractor, node: extractor._same(ir.Relu6, node),
    "Sigmoid": lambda extractor, node: extractor._same(ir.Sigmoid, node),
    "MaxPool": SubgraphExtractor._pool,
    "AvgPool": SubgraphExtractor._pool,
    "ConcatV2": SubgraphExtractor._concat,
    "Pad": SubgraphExtractor._pad,
    "MirrorPad": SubgraphExtractor._pad,
    "Mean": SubgraphExtractor._mean,
    "Reshape": SubgraphExtractor._reshape,
    "Squeeze": SubgraphExtractor._flatten,
    "ResizeBilinear": SubgraphExtractor._resize,
    "ResizeNearestNeighbor": SubgraphExtractor._resize,
}

NET_OPS = PASS_THROUGH | AFFINE | frozenset(_LAYERS) | {"SpaceToBatchND"}


def extract_net(
    graph: Graph, starts: dict[str, str], tensors: Sequence[str], channels: int | None = None
) -> ir.NetGraph:
    """The net from `starts` (tensor of the graph → name of the net's input) to `tensors`, batch norms folded.

    channels: of its inputs, where they are known.
    """
    return standard_passes(SubgraphExtractor(graph, starts, channels).extract(tensors))


def _same(kernel: Sequence[int], stride: ir.Pair, dilation: int = 1) -> ir.Padding:
    """SAME, in numbers where they do not depend on the size of the map."""
    if stride != (1, 1):
        return "same"
    down, across = (dilation * (side - 1) for side in kernel)
    return down // 2, across // 2, down - down // 2, across - across // 2


def _explicit(node: pb.NodeDef) -> ir.Padding:
    amounts = list(node.attr["explicit_paddings"].list.i)
    if node.attr["padding"].s == b"VALID":
        return ir.NO_PADDING
    return amounts[2], amounts[4], amounts[3], amounts[5]


def _check_layout(node: pb.NodeDef) -> None:
    if node.attr["data_format"].s not in (b"", b"NHWC"):
        raise ModelFileError(
            f"the node '{node.name}' is in {node.attr['data_format'].s!r} order: export the model for the CPU (NHWC)"
        )
    padding, amounts = node.attr["padding"].s, list(node.attr["explicit_paddings"].list.i)
    if padding == b"EXPLICIT":
        # In pairs of before and after for each of the axes.
        if len(amounts) != 8 or any(amounts[:2] + amounts[6:]) or not all(0 <= amount <= 64 for amount in amounts):
            raise ModelFileError(f"the paddings {amounts} of '{node.name}' are out of range")
    elif padding not in (b"SAME", b"VALID"):
        raise ModelFileError(f"the padding of '{node.name}' is neither SAME nor VALID")


def _pair(node: pb.NodeDef, attribute: str) -> ir.Pair:
    values = list(node.attr[attribute].list.i)
    if len(values) != 4 or values[0] != 1 or values[3] != 1 or not all(1 <= value <= 64 for value in values):
        raise ModelFileError(f"the {attribute} {values} of '{node.name}' are out of range")
    return values[1], values[2]
