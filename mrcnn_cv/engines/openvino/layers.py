"""A stage graph as a model of OpenVINO, layer by layer. All maps are NCHW, as `Net.run` takes and gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.engines.openvino.package import ops, ov
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.graphdef import tensor_value
from mrcnn_cv.model.definition import StageGraph

Values = Sequence[NDArray[Any]]
MAP_AXES = (2, 3)
CHANNELS_LAST = (0, 2, 3, 1)


def translate(stage: StageGraph, shapes: Mapping[str, Sequence[int]]) -> ov.Model:
    """The model of a stage; shapes: of its inputs, -1 for sides that may change from run to run."""
    message = pb.GraphDef()
    message.ParseFromString(stage.graph_def)
    translation = _Translation()
    for node in message.node:
        if node.op == "Const":
            translation.constants[node.name] = tensor_value(node)
        elif node.op == "Placeholder":
            parameter = ops.parameter(ov.PartialShape(list(shapes[node.name])), np.float32, name=node.name)
            translation.inputs[node.name] = parameter
            translation.outputs[node.name] = parameter.output(0)
        else:
            sources = [translation.outputs[name] for name in node.input if name in translation.outputs]
            values = [translation.constants[name] for name in node.input if name in translation.constants]
            translation.outputs[node.name] = _LAYERS[node.op](translation, node, sources, values)
    return ov.Model(
        [ops.result(translation.outputs[name]) for name in stage.outputs],
        [translation.inputs[name] for name in stage.inputs],
        "stage",
    )


@dataclass
class _Translation:
    """What is translated so far, by the names of the stage graph.

    dilated: (dilation, paddings (2, 2)) of the convolution that takes an output
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    dilated: dict[str, tuple[list[int], NDArray[Any]]] = field(default_factory=dict)


def _constant(value: Any, data_type: type[Any] = np.float32) -> Any:
    return ops.constant(np.array(value, dtype=data_type, order="C"))


def _rank(source: Any) -> int:
    return int(source.get_partial_shape().rank.get_length())


def _channels(source: Any) -> int:
    return int(source.get_partial_shape()[1].get_length())


def _per_channel(value: NDArray[Any], source: Any) -> Any:
    return _constant(value.reshape(1, -1, *[1] * (_rank(source) - 2)))


def _window(node: pb.NodeDef) -> dict[str, Any]:
    """Strides and paddings under the names of OpenVINO."""
    amounts = list(node.attr["explicit_paddings"].list.i) or [0] * 8
    return {
        "strides": list(node.attr["strides"].list.i)[1:3],
        "pads_begin": [amounts[2], amounts[4]],
        "pads_end": [amounts[3], amounts[5]],
        "auto_pad": "same_upper" if node.attr["padding"].s == b"SAME" else "explicit",
    }


def _convolution(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    source, weights = sources[0], values[0]
    if _rank(source) == 2:
        # Rows that cv2.dnn takes as the pixels of a map.
        return ops.matmul(source, _constant(weights[0, 0]), False, False).output(0)
    window = {**_window(node), "dilations": [1, 1]}
    if node.input[0] in translation.dilated:
        block, paddings = translation.dilated[node.input[0]]
        begin, end = paddings.T.tolist()
        window |= {"dilations": block, "pads_begin": begin, "pads_end": end, "auto_pad": "explicit"}
    height, width, taken, given = weights.shape
    if node.op == "DepthwiseConv2dNative":
        grouped = weights.transpose(2, 3, 0, 1)[:, :, np.newaxis]
        return ops.group_convolution(source, _constant(grouped), **window).output(0)
    turned = weights.transpose(3, 2, 0, 1)
    # With fewer channels than there are, a convolution has groups.
    groups = _channels(source) // taken
    if groups > 1:
        grouped = turned.reshape(groups, given // groups, taken, height, width)
        return ops.group_convolution(source, _constant(grouped), **window).output(0)
    return ops.convolution(source, _constant(turned), **window).output(0)


def _transposed(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    strides = list(node.attr["strides"].list.i)[1:3]
    return ops.convolution_backprop_data(sources[0], _constant(values[1].transpose(3, 2, 0, 1)), strides).output(0)


def _matrix(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    return ops.matmul(sources[0], _constant(values[0]), False, False).output(0)


def _bias(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    return ops.add(sources[0], _per_channel(values[0], sources[0])).output(0)


def _affine(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    scaled = ops.multiply(sources[0], _per_channel(values[0], sources[0]))
    return ops.add(scaled, _per_channel(values[1], sources[0])).output(0)


def _max_pool(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    side = list(node.attr["ksize"].list.i)[1:3]
    return ops.max_pool(sources[0], dilations=[1, 1], kernel_shape=side, **_window(node)).output(0)


def _average_pool(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    side = list(node.attr["ksize"].list.i)[1:3]
    return ops.avg_pool(sources[0], kernel_shape=side, exclude_pad=True, **_window(node)).output(0)


def _pad(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    begin, end = (_constant(amounts, np.int64) for amounts in values[0][[0, 3, 1, 2]].T)
    return ops.pad(sources[0], begin, end, "constant", _constant(0.0)).output(0)


def _mean(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    return ops.reduce_mean(sources[0], _constant(MAP_AXES, np.int64), True).output(0)


def _flatten(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    # TensorFlow's order: the channels last.
    turned = ops.transpose(sources[0], _constant(CHANNELS_LAST, np.int64))
    return ops.reshape(turned, _constant([0, -1], np.int64), True).output(0)


def _rows(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    """Rows stay rows here, where cv2.dnn takes them as pixels; the pixels of tiles become rows."""
    if _rank(sources[0]) == 2:
        return sources[0]
    turned = ops.transpose(sources[0], _constant(CHANNELS_LAST, np.int64))
    return ops.reshape(turned, _constant([-1, int(values[0][-1])], np.int64), False).output(0)


def _unchanged(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    return sources[0]


def _space(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    """Half of a dilation, as TensorFlow writes it; the other half, BatchToSpaceND, crops nothing."""
    translation.dilated[node.name] = (values[0].tolist(), values[1])
    return sources[0]


def _resize(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    axes = _constant(MAP_AXES, np.int64)
    if len(values) == 2:
        factors = _constant([int(value) for value in values])
        return ops.interpolate(
            sources[0],
            factors,
            mode="nearest",
            shape_calculation_mode="scales",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
            axes=axes,
        ).output(0)
    corners, centres = node.attr["align_corners"].b, node.attr["half_pixel_centers"].b
    return ops.interpolate(
        sources[0],
        _constant(values[0].ravel(), np.int64),
        mode="linear_onnx" if node.op == "ResizeBilinear" else "nearest",
        shape_calculation_mode="sizes",
        coordinate_transformation_mode="align_corners" if corners else "half_pixel" if centres else "asymmetric",
        nearest_mode="round_prefer_ceil" if corners else "floor",
        axes=axes,
    ).output(0)


def _activation(make: Callable[[Any], Any]) -> Callable[..., Any]:
    def layer(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
        return make(sources[0]).output(0)

    return layer


def _hard_sigmoid(translation: _Translation, node: pb.NodeDef, sources: list[Any], values: Values) -> Any:
    alpha, beta = (node.attr[name].f for name in ("alpha", "beta"))
    return ops.hard_sigmoid(sources[0], _constant(alpha).output(0), _constant(beta).output(0)).output(0)


_LAYERS: dict[str, Callable[[_Translation, pb.NodeDef, list[Any], Values], Any]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _convolution,
    "Conv2DBackpropInput": _transposed,
    "MatMul": _matrix,
    "BiasAdd": _bias,
    "FusedBatchNorm": _affine,
    "MaxPool": _max_pool,
    "AvgPool": _average_pool,
    "ConcatV2": lambda translation, node, sources, values: ops.concat(sources, 1).output(0),
    "Add": lambda translation, node, sources, values: ops.add(*sources).output(0),
    "Mul": lambda translation, node, sources, values: ops.multiply(*sources).output(0),
    "Pad": _pad,
    "Mean": _mean,
    "Flatten": _flatten,
    "Transpose": _unchanged,
    "Reshape": _rows,
    "SpaceToBatchND": _space,
    "BatchToSpaceND": _unchanged,
    "ResizeBilinear": _resize,
    "ResizeNearestNeighbor": _resize,
    "Relu": _activation(ops.relu),
    "Relu6": _activation(lambda source: ops.clamp(source, 0.0, 6.0)),
    "Sigmoid": _activation(ops.sigmoid),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _activation(ops.hswish),
}
