"""What each layer of a NetGraph is in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.partial_shapes import Shape, Window, partial_shapes, same_padding
from mrcnn_cv.graph.protos import onnx_pb2 as pb

RESIZE_BY_AXES = 18
"""The first operator set in which Resize takes the sizes of some axes alone."""

DATA_TYPES = {"float32": pb.TensorProto.FLOAT, "int64": pb.TensorProto.INT64}

Attribute = float | int | str | Sequence[int]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A constant of the graph: an array, or the weights of a layer, which are made when they are asked for."""

    name: str
    shape: tuple[int, ...]
    source: ir.Array | ir.Weighted = field(repr=False)

    def array(self) -> ir.Array:
        """float32 or int64, in C order; weights are new at each call."""
        return np.ascontiguousarray(self.source) if isinstance(self.source, np.ndarray) else self.source.folded()

    def array_or_view(self) -> ir.Array:
        """The same, without a copy where the weights are stored like that."""
        if isinstance(self.source, np.ndarray) or self.source.scale is not None:
            return self.array()
        weight = self.source.weight
        is_ready = weight.dtype == np.float32 and weight.flags.c_contiguous and weight.flags.aligned
        return weight.reshape(self.shape) if is_ready else self.array()

    def message(self) -> pb.TensorProto:
        """All but the numbers."""
        data_type = str(self.source.dtype) if isinstance(self.source, np.ndarray) else "float32"
        return pb.TensorProto(name=self.name, dims=self.shape, data_type=DATA_TYPES[data_type])


class OnnxLayers:
    """The nodes and constants of a net."""

    def __init__(self, net: ir.NetGraph, inputs: Mapping[str, Sequence[int | None]] | None, opset: int) -> None:
        self.opset = opset
        self.shapes = partial_shapes(net, inputs)
        self.nodes: list[pb.NodeProto] = []
        self.tensors: dict[str, Tensor] = {}
        self._taken = {*net.inputs, *(layer.name for layer in net)}
        for layer in net:
            _LAYERS[type(layer)](self, layer)

    def constant(self, name: str, value: Any, data_type: type[Any] = np.float32) -> str:
        """The name of a constant of the graph."""
        array = np.array(value, data_type)
        return self._tensor(name, array.shape, array)

    def weights(self, layer: ir.Weighted) -> list[str]:
        """The names of a layer's weights, and of its bias where it has one."""
        shape = layer.weight.shape
        if isinstance(layer, ir.Linear):
            shape = layer.out_features, layer.in_features
        names = [self._tensor(f"{layer.name}.weight", shape, layer)]
        return names if layer.bias is None else [*names, self.constant(f"{layer.name}.bias", layer.bias)]

    def _tensor(self, name: str, shape: tuple[int, ...], source: ir.Array | ir.Weighted) -> str:
        name = self.free(name)
        self.tensors[name] = Tensor(name, tuple(map(int, shape)), source)
        return name

    def free(self, name: str) -> str:
        """A name that nothing has yet: this one or one like it."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def add(self, op: str, name: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        """A node whose one result has its name, which is returned."""
        node = pb.NodeProto(op_type=op, name=name, input=inputs, output=[name])
        node.attribute.extend(_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name


def _attribute(name: str, value: Attribute) -> pb.AttributeProto:
    match value:
        case int():
            return pb.AttributeProto(name=name, type=pb.AttributeProto.INT, i=value)
        case float():
            return pb.AttributeProto(name=name, type=pb.AttributeProto.FLOAT, f=value)
        case str():
            return pb.AttributeProto(name=name, type=pb.AttributeProto.STRING, s=value.encode())
    return pb.AttributeProto(name=name, type=pb.AttributeProto.INTS, ints=value)


def _window(translation: OnnxLayers, layer: Window) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {"kernel_shape": layer.kernel, "strides": layer.stride}
    size: Shape = translation.shapes[layer.inputs[0]][2:]
    padding = same_padding(layer, size) if layer.padding == "same" else layer.padding
    if padding is None:
        found["auto_pad"] = "SAME_UPPER"
    elif padding != ir.NO_PADDING:
        found["pads"] = padding
    return found


def _conv(translation: OnnxLayers, layer: ir.Conv2d) -> None:
    """ModelFileError for one with a stride, a dilation and "same" on a map of unknown size: no engine computes that."""
    attributes = _window(translation, layer) | {"dilations": layer.dilation, "group": layer.groups}
    if "auto_pad" in attributes and layer.dilation != (1, 1):
        raise ModelFileError(
            f"has a layer '{layer.name}' with a stride, a dilation and paddings that depend on the size of the image,"
            " which is not supported together"
        )
    translation.add("Conv", layer.name, [*layer.inputs, *translation.weights(layer)], **attributes)


def _transposed(translation: OnnxLayers, layer: ir.ConvTranspose2d) -> None:
    inputs = [*layer.inputs, *translation.weights(layer)]
    translation.add("ConvTranspose", layer.name, inputs, kernel_shape=layer.kernel, strides=layer.kernel)


def _linear(translation: OnnxLayers, layer: ir.Linear) -> None:
    translation.add("Gemm", layer.name, [*layer.inputs, *translation.weights(layer)], transB=1)


def _affine(translation: OnnxLayers, layer: ir.Affine) -> None:
    sides = [1] * (len(translation.shapes[layer.inputs[0]]) - 2)
    with np.errstate(over="ignore"):
        scale, shift = (each.astype(np.float32).reshape(-1, *sides) for each in (layer.scale, layer.shift))
    factors = translation.constant(f"{layer.name}.scale", scale)
    scaled = translation.add("Mul", translation.free(f"{layer.name}.scaled"), [layer.inputs[0], factors])
    translation.add("Add", layer.name, [scaled, translation.constant(f"{layer.name}.shift", shift)])


def _max_pool(translation: OnnxLayers, layer: ir.MaxPool2d) -> None:
    translation.add("MaxPool", layer.name, layer.inputs, **_window(translation, layer))


def _avg_pool(translation: OnnxLayers, layer: ir.AvgPool2d) -> None:
    translation.add("AveragePool", layer.name, layer.inputs, **_window(translation, layer), count_include_pad=0)


def _pad(translation: OnnxLayers, layer: ir.Pad) -> None:
    top, left, bottom, right = layer.padding
    pads = translation.constant(f"{layer.name}.pads", [0, 0, top, left, 0, 0, bottom, right], np.int64)
    translation.add("Pad", layer.name, [*layer.inputs, pads], mode="constant")


def _upsample(translation: OnnxLayers, layer: ir.Upsample) -> None:
    scales = translation.constant(f"{layer.name}.scales", [1, 1, *layer.factors])
    translation.add(
        "Resize",
        layer.name,
        [*layer.inputs, "", scales],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _resize(translation: OnnxLayers, layer: ir.Resize) -> None:
    attributes: dict[str, Attribute] = {
        "mode": "linear" if layer.mode == "bilinear" else "nearest",
        "coordinate_transformation_mode": layer.coordinates,
    }
    if layer.mode == "nearest":
        attributes["nearest_mode"] = "floor" if layer.coordinates == "asymmetric" else "round_prefer_ceil"
    # Sizes, not scales: what a scale makes of a side that it does not divide is left to every engine's taste.
    count, channels = translation.shapes[layer.inputs[0]][:2]
    if count is not None and channels is not None:
        sizes = translation.constant(f"{layer.name}.sizes", [count, channels, *layer.size], np.int64)
    else:
        sizes = translation.constant(f"{layer.name}.size", layer.size, np.int64)
        if translation.opset >= RESIZE_BY_AXES:
            attributes["axes"] = (2, 3)
        else:
            sizes = _with_others(translation, layer, sizes)
    translation.add("Resize", layer.name, [*layer.inputs, "", "", sizes], **attributes)


def _with_others(translation: OnnxLayers, layer: ir.Resize, size: str) -> str:
    """(N, C, height, width) of a resized map whose N nobody knows yet."""
    shape = translation.add("Shape", translation.free(f"{layer.name}.shape"), layer.inputs)
    first, last = (translation.constant(f"{layer.name}.axis_{axis}", [axis], np.int64) for axis in (0, 2))
    others = translation.add("Slice", translation.free(f"{layer.name}.count"), [shape, first, last])
    return translation.add("Concat", translation.free(f"{layer.name}.sizes"), [others, size], axis=0)


def _relu6(translation: OnnxLayers, layer: ir.Relu6) -> None:
    bounds = [translation.constant(f"{layer.name}.{name}", value) for name, value in (("least", 0.0), ("most", 6.0))]
    translation.add("Clip", layer.name, [*layer.inputs, *bounds])


def _hard_sigmoid(translation: OnnxLayers, layer: ir.HardSigmoid) -> None:
    translation.add("HardSigmoid", layer.name, layer.inputs, alpha=float(layer.alpha), beta=float(layer.beta))


def _flatten(translation: OnnxLayers, layer: ir.Flatten) -> None:
    inputs = layer.inputs
    if layer.channels_last:
        inputs = (translation.add("Transpose", translation.free(f"{layer.name}.turned"), inputs, perm=(0, 2, 3, 1)),)
    translation.add("Flatten", layer.name, inputs, axis=1)


def _as(op: str, **attributes: Attribute) -> Callable[[OnnxLayers, ir.Layer], None]:
    def layer_of_one_node(translation: OnnxLayers, layer: ir.Layer) -> None:
        translation.add(op, layer.name, layer.inputs, **attributes)

    return layer_of_one_node


_LAYERS: dict[type[ir.Layer], Callable[[OnnxLayers, Any], None]] = {
    ir.Conv2d: _conv,
    ir.ConvTranspose2d: _transposed,
    ir.Linear: _linear,
    ir.Relu: _as("Relu"),
    ir.Relu6: _relu6,
    ir.Sigmoid: _as("Sigmoid"),
    ir.HardSigmoid: _hard_sigmoid,
    ir.HardSwish: _as("HardSwish"),
    ir.Affine: _affine,
    ir.MaxPool2d: _max_pool,
    ir.AvgPool2d: _avg_pool,
    ir.GlobalAvgPool: _as("GlobalAveragePool"),
    ir.Pad: _pad,
    ir.Upsample: _upsample,
    ir.Resize: _resize,
    ir.Concat: _as("Concat", axis=1),
    ir.Add: _as("Add"),
    ir.Mul: _as("Mul"),
    ir.Flatten: _flatten,
}
