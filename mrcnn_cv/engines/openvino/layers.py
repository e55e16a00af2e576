"""A NetGraph as a model of OpenVINO, layer by layer; and the one place that imports OpenVINO.

The package tells a statistics server of every import, without asking, by means of another package, openvino_telemetry;
where that cannot be imported it does without. See docs/security.md. Its converter of models, which we never use, takes
longer to import than all the rest: others find it as before, when they ask for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from mrcnn_cv.graph import ir

_TELEMETRY, _CONVERTER = "openvino_telemetry", "openvino.tools.ovc"

_is_first = "openvino" not in sys.modules
_ours = [name for name in (_TELEMETRY, *([_CONVERTER] if _is_first else [])) if name not in sys.modules]
sys.modules.update(dict.fromkeys(_ours))  # type: ignore[arg-type]
try:
    import openvino as ov
    from openvino import opset13 as ops
finally:
    for _name in _ours:
        with suppress(KeyError):
            del sys.modules[_name]

__all__ = ["ops", "ov", "translate"]

MAP_AXES = (2, 3)
CHANNELS_LAST = (0, 2, 3, 1)

Kind = TypeVar("Kind", bound=ir.Layer)
Sources = Sequence[Any]


def _converter(name: str) -> Any:
    """What `openvino` would have had from its converter."""
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute '{name}'")
    from openvino.tools.ovc import convert_model

    return convert_model


if _CONVERTER in _ours and not hasattr(ov, "convert_model"):
    ov.__getattr__ = _converter


def translate(net: ir.NetGraph, shapes: Mapping[str, Sequence[int]]) -> ov.Model:
    """The model of a net; shapes: of its inputs, -1 for sides that may change from run to run."""
    parameters = [ops.parameter(ov.PartialShape(list(shapes[name])), np.float32, name=name) for name in net.inputs]
    outputs = {name: parameter.output(0) for name, parameter in zip(net.inputs, parameters, strict=True)}
    for layer in net:
        outputs[layer.name] = _LAYERS[type(layer)](layer, [outputs[name] for name in layer.inputs])
    return ov.Model([ops.result(outputs[name]) for name in net.outputs], parameters, "net")


def _constant(value: Any, data_type: type[Any] = np.float32) -> Any:
    """A constant that shares the memory of an array, or of a copy where it is not ours to share."""
    array = np.require(value, data_type, ["C", "W"])
    return ops.constant(array, shared_memory=True)


def _per_channel(value: ir.Array, source: Any) -> Any:
    rank = int(source.get_partial_shape().rank.get_length())
    return _constant(value.reshape(1, -1, *[1] * (rank - 2)))


def _biased(result: Any, bias: ir.Float | None) -> Any:
    output = result.output(0)
    return output if bias is None else ops.add(output, _per_channel(bias, output)).output(0)


def _window(layer: ir.Conv2d | ir.MaxPool2d | ir.AvgPool2d) -> dict[str, Any]:
    """Strides and paddings under the names of OpenVINO."""
    top, left, bottom, right = ir.NO_PADDING if layer.padding == "same" else layer.padding
    return {
        "strides": list(layer.stride),
        "pads_begin": [top, left],
        "pads_end": [bottom, right],
        "auto_pad": "same_upper" if layer.padding == "same" else "explicit",
    }


def _convolution(layer: ir.Conv2d, sources: Sources) -> Any:
    window = {**_window(layer), "dilations": list(layer.dilation)}
    weight = layer.folded()
    if layer.groups == 1:
        return _biased(ops.convolution(sources[0], _constant(weight), **window), layer.bias)
    weight = weight.reshape(layer.groups, -1, *weight.shape[1:])
    return _biased(ops.group_convolution(sources[0], _constant(weight), **window), layer.bias)


def _transposed(layer: ir.ConvTranspose2d, sources: Sources) -> Any:
    result = ops.convolution_backprop_data(sources[0], _constant(layer.folded()), list(layer.kernel))
    return _biased(result, layer.bias)


def _linear(layer: ir.Linear, sources: Sources) -> Any:
    return _biased(ops.matmul(sources[0], _constant(layer.folded()), False, True), layer.bias)


def _affine(layer: ir.Affine, sources: Sources) -> Any:
    scaled = ops.multiply(sources[0], _per_channel(layer.scale, sources[0]))
    return ops.add(scaled, _per_channel(layer.shift, sources[0])).output(0)


def _max_pool(layer: ir.MaxPool2d, sources: Sources) -> Any:
    return ops.max_pool(sources[0], dilations=[1, 1], kernel_shape=list(layer.kernel), **_window(layer)).output(0)


def _average_pool(layer: ir.AvgPool2d, sources: Sources) -> Any:
    return ops.avg_pool(sources[0], kernel_shape=list(layer.kernel), exclude_pad=True, **_window(layer)).output(0)


def _mean(layer: ir.GlobalAvgPool, sources: Sources) -> Any:
    return ops.reduce_mean(sources[0], _constant(MAP_AXES, np.int64), True).output(0)


def _pad(layer: ir.Pad, sources: Sources) -> Any:
    top, left, bottom, right = layer.padding
    begin, end = (_constant([0, 0, *sides], np.int64) for sides in ((top, left), (bottom, right)))
    return ops.pad(sources[0], begin, end, "constant", _constant(0.0)).output(0)


def _flatten(layer: ir.Flatten, sources: Sources) -> Any:
    source = sources[0]
    if layer.channels_last:
        source = ops.transpose(source, _constant(CHANNELS_LAST, np.int64))
    return ops.reshape(source, _constant([0, -1], np.int64), True).output(0)


def _upsample(layer: ir.Upsample, sources: Sources) -> Any:
    return ops.interpolate(
        sources[0],
        _constant(layer.factors),
        mode="nearest",
        shape_calculation_mode="scales",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
        axes=_constant(MAP_AXES, np.int64),
    ).output(0)


def _resize(layer: ir.Resize, sources: Sources) -> Any:
    return ops.interpolate(
        sources[0],
        _constant(layer.size, np.int64),
        mode="linear_onnx" if layer.mode == "bilinear" else "nearest",
        shape_calculation_mode="sizes",
        coordinate_transformation_mode=layer.coordinates,
        nearest_mode="floor" if layer.coordinates == "asymmetric" else "round_prefer_ceil",
        axes=_constant(MAP_AXES, np.int64),
    ).output(0)


def _hard_sigmoid(layer: ir.HardSigmoid, sources: Sources) -> Any:
    alpha, beta = (_constant(value).output(0) for value in (layer.alpha, layer.beta))
    return ops.hard_sigmoid(sources[0], alpha, beta).output(0)


def _plain(make: Callable[..., Any]) -> Callable[[ir.Layer, Sources], Any]:
    return lambda layer, sources: make(*sources).output(0)


_LAYERS: dict[type[ir.Layer], Callable[[Any, Sources], Any]] = {
    ir.Conv2d: _convolution,
    ir.ConvTranspose2d: _transposed,
    ir.Linear: _linear,
    ir.Affine: _affine,
    ir.MaxPool2d: _max_pool,
    ir.AvgPool2d: _average_pool,
    ir.GlobalAvgPool: _mean,
    ir.Pad: _pad,
    ir.Upsample: _upsample,
    ir.Resize: _resize,
    ir.Concat: lambda layer, sources: ops.concat(list(sources), 1).output(0),
    ir.Add: _plain(ops.add),
    ir.Mul: _plain(ops.multiply),
    ir.Relu: _plain(ops.relu),
    ir.Relu6: _plain(lambda source: ops.clamp(source, 0.0, 6.0)),
    ir.Sigmoid: _plain(ops.sigmoid),
    ir.HardSigmoid: _hard_sigmoid,
    ir.HardSwish: _plain(ops.hswish),
    ir.Flatten: _flatten,
}
