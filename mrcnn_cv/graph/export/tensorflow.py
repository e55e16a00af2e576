"""A NetGraph as the GraphDef that cv2.dnn's TensorFlow importer reads (OpenCV 4.10 to 5.0, the classic engine).

Written as that importer wants it: dilations as SpaceToBatchND, biases as BiasAdd, paddings as SAME where they are the
same. Maps are NHWC here; cv2.dnn turns them to NCHW. Weights go straight into the bytes of the message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.export.tensorflow_message import Fill, GraphWriter
from mrcnn_cv.graph.passes.flatten_channels_last import flatten_channels_last

BIAS_SUFFIX = "/with_bias"
"""A BiasAdd is named after its convolution, because the importer keeps only the convolution's name."""

POINT = {"ksize": [1, 1, 1, 1], "strides": [1, 1, 1, 1], "padding": b"VALID"}
"""A pool that changes nothing."""

ORDERED = (ir.Conv2d, ir.MaxPool2d, ir.AvgPool2d, ir.Concat)
"""Layers of whose results the importer knows the order of axes; others have that of what they take."""


class TensorFlowGraph(NamedTuple):
    """message: the GraphDef's bytes. outputs: of the net, as its nodes are called."""

    message: NDArray[np.uint8]
    outputs: tuple[str, ...]


def to_tensorflow(net: ir.NetGraph) -> TensorFlowGraph:
    """The message for a net; ModelFileError for what the importer cannot read."""
    net = flatten_channels_last(net)
    exporter = _Exporter(net)
    for name in net.inputs:
        exporter.writer.node(name, "Placeholder", [])
    for layer in net:
        exporter.results[layer.name] = _LAYERS[type(layer)](exporter, layer)
        if isinstance(layer, ORDERED) or exporter.ordered.issuperset(layer.inputs):
            exporter.ordered.add(layer.name)
    return TensorFlowGraph(exporter.writer.message(), tuple(exporter.results[name] for name in net.outputs))


class _Exporter:
    """results: layer or input → the node that has its result. ordered: see `ORDERED`."""

    def __init__(self, net: ir.NetGraph) -> None:
        self.writer = GraphWriter()
        self.net = net
        self.layers = net.by_name
        self.results = {name: name for name in net.inputs}
        self.consumers = net.consumers()
        self.ordered: set[str] = set()

    def source(self, layer: ir.Layer) -> str:
        """The node that has what a layer takes first."""
        return self.results[layer.inputs[0]]

    def biased(self, layer: ir.Weighted, result: str) -> str:
        """The result of a layer with its bias."""
        if layer.bias is None:
            return result
        biases = self.writer.values(f"{layer.name}/biases", layer.bias)
        return self.writer.node(f"{layer.name}{BIAS_SUFFIX}", "BiasAdd", [result, biases])


def _convolution(exporter: _Exporter, layer: ir.Conv2d) -> str:
    if layer.dilation != (1, 1) and layer.kernel != (1, 1):
        return _dilated(exporter, layer)
    padding = _padding(layer)
    if isinstance(exporter.layers.get(layer.inputs[0]), ir.Pad) and padding["padding"] != b"VALID":
        # The importer makes one padding of both, and forgets the second.
        raise ModelFileError(f"pads the input of '{layer.name}' twice, which OpenCV's importer cannot read")
    result = _with_kernel(exporter, layer, exporter.source(layer), strides=[1, *layer.stride, 1], **padding)
    return exporter.biased(layer, result)


def _dilated(exporter: _Exporter, layer: ir.Conv2d) -> str:
    """cv2.dnn takes a dilation from SpaceToBatchND only, and ignores the attribute of a Conv2D."""
    name, writer = layer.name, exporter.writer
    if layer.stride != (1, 1) or _padding(layer, layer.dilation)["padding"] != b"SAME":
        raise ModelFileError(
            f"has a dilated convolution '{name}' that changes the size of its input, which OpenCV's importer cannot"
            " read"
        )
    both = [step * (side - 1) for step, side in zip(layer.dilation, layer.kernel, strict=True)]
    if any(total % 2 for total in both):
        raise ModelFileError(
            f"pads the dilated convolution '{name}' by more behind than before, which OpenCV's importer cannot read"
        )
    amounts = [[total // 2] * 2 for total in both]
    sources = [exporter.source(layer), writer.numbers(f"{name}/space/block", layer.dilation)]
    space = writer.node(f"{name}/space", "SpaceToBatchND", [*sources, writer.numbers(f"{name}/space/amounts", amounts)])
    result = _with_kernel(exporter, layer, space, strides=[1, 1, 1, 1], padding=b"VALID")
    sources = [result, writer.numbers(f"{name}/batch/block", layer.dilation)]
    nothing = writer.numbers(f"{name}/batch/amounts", [[0, 0], [0, 0]])
    result = writer.node(f"{name}/batch", "BatchToSpaceND", [*sources, nothing])
    # Behind a dilation the bias is a layer of its own, and the importer keeps only the convolution's name.
    bias = np.zeros(layer.out_channels, np.float32) if layer.bias is None else layer.bias
    biases = writer.values(f"{name}/biases", bias)
    result = writer.node(f"{name}{BIAS_SUFFIX}", "BiasAdd", [result, biases])
    if name in exporter.net.outputs and len(exporter.consumers.get(name, [])) == 1:
        # With the one activation that takes it, cv2.dnn makes one layer of all three even where the bias is asked for,
        # and hands out memory that nobody wrote (4.10 to 5.0). What two take it leaves alone.
        writer.node(f"{name}/once_more", "MaxPool", [result], **POINT)
    return result


def _with_kernel(exporter: _Exporter, layer: ir.Conv2d, source: str, **window: Any) -> str:
    """The convolution itself, without its bias."""
    if layer.groups > 1 and layer.weight.shape[1] == 1:
        op, turned = "DepthwiseConv2dNative", layer.weight[:, 0].transpose(1, 2, 0)
        shape: tuple[int, ...] = (*layer.kernel, layer.groups, layer.out_channels // layer.groups)
    else:
        # Fewer channels in the weights than in the map make as many groups.
        op, turned = "Conv2D", layer.weight.transpose(2, 3, 1, 0)
        shape = turned.shape
    weights = exporter.writer.weights(f"{layer.name}/weights", shape, _scaled(turned, layer.scale))
    return exporter.writer.node(layer.name, op, [source, weights], **window)


def _scaled(turned: ir.Array, scale: NDArray[np.float64] | None) -> Fill:
    """Writes weights whose last axis the scale belongs to."""

    def fill(target: NDArray[Any]) -> None:
        target = target.reshape(turned.shape)
        if scale is None:
            np.copyto(target, turned, casting="same_kind")
        else:
            with np.errstate(all="ignore"):
                np.multiply(turned, scale, out=target, casting="same_kind", dtype=np.float64)

    return fill


def _padding(layer: ir.Conv2d | ir.MaxPool2d | ir.AvgPool2d, dilation: ir.Pair = (1, 1)) -> dict[str, Any]:
    """Paddings that are given make a layer of their own in cv2.dnn: SAME wherever it is the same."""
    if layer.padding == "same":
        if any(step > side > 2 for step, side in zip(layer.stride, layer.kernel, strict=True)):
            # The importer then pads nothing in front (4.10 to 5.0).
            raise ModelFileError(f"pads '{layer.name}', whose windows leave gaps, which OpenCV's importer cannot read")
        return {"padding": b"SAME"}
    if not any(layer.padding):
        return {"padding": b"VALID"}
    top, left, bottom, right = layer.padding
    down, across = (step * (side - 1) for step, side in zip(dilation, layer.kernel, strict=True))
    same = (down // 2, across // 2, down - down // 2, across - across // 2)
    if layer.stride == (1, 1) and layer.padding == same:
        return {"padding": b"SAME"}
    return {"padding": b"EXPLICIT", "explicit_paddings": [0, 0, top, bottom, left, right, 0, 0]}


def _transposed(exporter: _Exporter, layer: ir.ConvTranspose2d) -> str:
    name, writer, turned = layer.name, exporter.writer, layer.weight.transpose(2, 3, 1, 0)
    scale = None if layer.scale is None else layer.scale[:, np.newaxis]
    # Of the shape only whether it is a multiple of the strides counts for the importer.
    shape = writer.numbers(f"{name}/shape", [1, *layer.kernel, layer.out_channels])
    weights = writer.weights(f"{name}/weights", turned.shape, _scaled(turned, scale))
    inputs = [shape, weights, exporter.source(layer)]
    result = writer.node(name, "Conv2DBackpropInput", inputs, strides=[1, *layer.kernel, 1], padding=b"VALID")
    bias = np.zeros(layer.out_channels, np.float32) if layer.bias is None else layer.bias
    return writer.node(f"{name}{BIAS_SUFFIX}", "BiasAdd", [result, writer.values(f"{name}/biases", bias)])


def _linear(exporter: _Exporter, layer: ir.Linear) -> str:
    rows = layer.weight.transpose(*range(1, layer.weight.ndim), 0)
    shape = (layer.in_features, layer.out_features)
    weights = exporter.writer.weights(f"{layer.name}/weights", shape, _scaled(rows, layer.scale))
    return exporter.biased(layer, exporter.writer.node(layer.name, "MatMul", [exporter.source(layer), weights]))


def _flatten(exporter: _Exporter, layer: ir.Flatten) -> str:
    if not layer.channels_last:
        raise ModelFileError(f"flattens a map by channels at '{layer.name}', which OpenCV's importer cannot read")
    source = exporter.source(layer)
    if layer.inputs[0] not in exporter.ordered:
        # The importer would not turn what it flattens.
        source = exporter.writer.node(f"{layer.name}/ordered", "MaxPool", [source], **POINT, data_format=b"NHWC")
    return exporter.writer.node(layer.name, "Flatten", [source])


def _affine(exporter: _Exporter, layer: ir.Affine) -> str:
    parts = [layer.scale, layer.shift, np.zeros(layer.scale.size), np.ones(layer.scale.size)]
    inputs = [exporter.writer.values(f"{layer.name}/{index}", part) for index, part in enumerate(parts)]
    inputs.insert(0, exporter.source(layer))
    return exporter.writer.node(layer.name, "FusedBatchNorm", inputs, epsilon=0.0, is_training=False)


def _pool(exporter: _Exporter, layer: ir.MaxPool2d | ir.AvgPool2d) -> str:
    return exporter.writer.node(
        layer.name,
        "MaxPool" if isinstance(layer, ir.MaxPool2d) else "AvgPool",
        [exporter.source(layer)],
        ksize=[1, *layer.kernel, 1],
        strides=[1, *layer.stride, 1],
        # Without a convolution before it, the importer would not know the order of what a Flatten then takes.
        data_format=b"NHWC",
        **_padding(layer),
    )


def _mean(exporter: _Exporter, layer: ir.GlobalAvgPool) -> str:
    axes = exporter.writer.numbers(f"{layer.name}/axes", [1, 2])
    return exporter.writer.node(layer.name, "Mean", [exporter.source(layer), axes], keep_dims=True)


def _pad(exporter: _Exporter, layer: ir.Pad) -> str:
    top, left, bottom, right = layer.padding
    amounts = exporter.writer.numbers(f"{layer.name}/paddings", [[0, 0], [top, bottom], [left, right], [0, 0]])
    return exporter.writer.node(layer.name, "Pad", [exporter.source(layer), amounts])


def _upsample(exporter: _Exporter, layer: ir.Upsample) -> str:
    """cv2.dnn's own form, with two factors, for maps of any size."""
    rows, columns = layer.factors
    sides = [
        exporter.writer.numbers(f"{layer.name}/rows", rows),
        exporter.writer.numbers(f"{layer.name}/cols", columns),
    ]
    return exporter.writer.node(layer.name, "ResizeNearestNeighbor", [exporter.source(layer), *sides])


def _resize(exporter: _Exporter, layer: ir.Resize) -> str:
    return exporter.writer.node(
        layer.name,
        "ResizeBilinear" if layer.mode == "bilinear" else "ResizeNearestNeighbor",
        [exporter.source(layer), exporter.writer.numbers(f"{layer.name}/size", layer.size)],
        align_corners=layer.coordinates == "align_corners",
        half_pixel_centers=layer.coordinates == "half_pixel",
    )


def _concat(exporter: _Exporter, layer: ir.Concat) -> str:
    sources = [exporter.results[name] for name in layer.inputs]
    if len(sources) == 1:
        # cv2.dnn leaves out to join a single map, and hands out memory that nobody wrote (4.10 to 5.0).
        return exporter.writer.node(layer.name, "MaxPool", sources, **POINT, data_format=b"NHWC")
    axis = exporter.writer.number(f"{layer.name}/axis", 3)
    # Without a convolution before it, the importer would take the axis as it is.
    return exporter.writer.node(layer.name, "ConcatV2", [*sources, axis], data_format=b"NHWC")


def _hard_sigmoid(exporter: _Exporter, layer: ir.HardSigmoid) -> str:
    slope = {"alpha": float(layer.alpha), "beta": float(layer.beta)}
    return exporter.writer.node(layer.name, "HardSigmoid", [exporter.source(layer)], **slope)


def _plain(op: str) -> Callable[[_Exporter, ir.Layer], str]:
    def add(exporter: _Exporter, layer: ir.Layer) -> str:
        sources: Sequence[str] = [exporter.results[name] for name in layer.inputs]
        return exporter.writer.node(layer.name, op, sources)

    return add


_LAYERS: dict[type[ir.Layer], Callable[[_Exporter, Any], str]] = {
    ir.Conv2d: _convolution,
    ir.ConvTranspose2d: _transposed,
    ir.Linear: _linear,
    ir.Affine: _affine,
    ir.MaxPool2d: _pool,
    ir.AvgPool2d: _pool,
    ir.GlobalAvgPool: _mean,
    ir.Pad: _pad,
    ir.Upsample: _upsample,
    ir.Resize: _resize,
    ir.Concat: _concat,
    ir.Add: _plain("Add"),
    ir.Mul: _plain("Mul"),
    ir.Relu: _plain("Relu"),
    ir.Relu6: _plain("Relu6"),
    ir.Sigmoid: _plain("Sigmoid"),
    # Ops that TensorFlow does not have become cv2.dnn's layers of that name.
    ir.HardSigmoid: _hard_sigmoid,
    ir.HardSwish: _plain("HardSwish"),
    ir.Flatten: _flatten,
}
