"""Every op of ONNX that can be a layer of a net, and the layer that it becomes.

Each op is one entry of `LAYERS`; an op that is none is where a net begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.model import Node, OnnxGraph
from mrcnn_cv.importers.onnx.ops_as_written import resize_as_written, turned
from mrcnn_cv.importers.onnx.ops_windowed import (
    affine,
    batch_norm,
    convolution,
    fully_connected,
    mean,
    pair,
    pool,
    transposed_convolution,
)
from mrcnn_cv.importers.onnx.translation import GraphTranslation, Map

COMBINING = frozenset({"Add", "Sub", "Mul", "Div"})


def is_layer(graph: OnnxGraph, values: OnnxConstantFolder, node: Node) -> bool:
    """Whether a node can be part of a net."""
    if node.op == "Concat":
        return node.whole("axis", 0) in (1, -3)
    if node.op == "Pad":
        amounts = values.find(graph.input(node, 1)) if len(node.inputs) > 1 else np.array(node.wholes("pads"))
        return amounts is not None and amounts.size == 8
    return node.op in LAYERS


def is_inside(translation: GraphTranslation, node: Node) -> bool:
    """Whether a node between a net's beginning and its end can be translated."""
    if node.op == "Transpose":
        return not translation.traced
    return is_layer(translation.graph, translation.values, node)


def sources(graph: OnnxGraph, values: OnnxConstantFolder, node: Node) -> list[str]:
    """The maps that a layer takes."""
    inputs = [graph.skip_identity(name) for name in node.inputs if name]
    if node.op in COMBINING or node.op == "Concat":
        return [name for name in inputs if values.find(name) is None]
    return inputs[:1]


def _combine(translation: GraphTranslation, node: Node) -> Map:
    """A sum or product of two maps, or of a map and a constant per channel."""
    known = [translation.values.find(translation.graph.input(node, index)) for index in (0, 1)]
    if known[0] is None and known[1] is None:
        return _join(translation, node)
    index = 0 if known[0] is None else 1
    source, value = translation.map(node, index), known[1 - index]
    assert value is not None
    # Channels are the first of three axes, or the last of a row.
    axis = -1 if source.flat else -3
    if value.size > 1 and (value.ndim < -axis or value.shape[axis] != value.size):
        raise ModelFileError(f"has a node '{node.name}' ({node.op}) that differs by position, not only by channel")
    if index == 1 and node.op in ("Sub", "Div"):
        raise ModelFileError(f"has a node '{node.name}' ({node.op}) with its constant first, which is not supported")
    vector = translation.by_channel(node, value).astype(np.float64)
    if node.op in ("Mul", "Div"):
        with np.errstate(divide="ignore"):
            return affine(translation, node, source, 1 / vector if node.op == "Div" else vector, np.zeros(1))
    return affine(translation, node, source, np.ones(1), -vector if node.op == "Sub" else vector)


def _join(translation: GraphTranslation, node: Node) -> Map:
    first, second = translation.map(node, 0), translation.map(node, 1)
    if node.op not in ("Add", "Mul"):
        raise ModelFileError(
            f"has a node '{node.name}' ({node.op}) that combines two feature maps, which is not supported"
        )
    if node.op == "Mul":
        gates = [index for index in (0, 1) if _gates(translation, node, index)]
        if gates:
            # x * hard_sigmoid(x), as exporters before opset 14 write it.
            source = translation.map(node, 1 - gates[0])
            return translation.add(ir.HardSwish, node, [source])
        larger = min(first, second, key=lambda each: each.shrunk)
        if first.size and second.size:
            larger = max(first, second, key=lambda each: prod(each.size or ()))
        return replace(larger, name=translation.add(ir.Mul, node, [first, second]).name)
    if translation.traced and first.shrunk != second.shrunk:
        raise ModelFileError(
            f"has a node '{node.name}' that adds maps with {first.shrunk[0]} and {second.shrunk[0]} pixels per cell:"
            " its pyramid does not double from level to level, which is not supported"
        )
    return translation.add(ir.Add, node, [first, second])


def _gates(translation: GraphTranslation, node: Node, index: int) -> bool:
    """Whether an input is the hard sigmoid (with torch's slope) of the other one."""
    gate = translation.graph.producer(node.inputs[index])
    return (
        gate is not None
        and gate.op == "HardSigmoid"
        and abs(gate.real("alpha", 0.2) - 1 / 6) < 1e-6
        and gate.real("beta", 0.5) == 0.5
        and translation.graph.input(gate, 0) == translation.graph.input(node, 1 - index)
    )


_ACTIVATIONS: dict[str, type[ir.Layer]] = {"Relu": ir.Relu, "Sigmoid": ir.Sigmoid, "HardSwish": ir.HardSwish}


def _activation(translation: GraphTranslation, node: Node) -> Map:
    source = translation.map(node)
    if node.op == "HardSigmoid":
        slope = {"alpha": node.real("alpha", 0.2), "beta": node.real("beta", 0.5)}
        return translation.add(ir.HardSigmoid, node, [source], **slope)
    return translation.add(_ACTIVATIONS[node.op], node, [source])


def _clip(translation: GraphTranslation, node: Node) -> Map:
    least, most = translation.number(node, 1, "min"), translation.number(node, 2, "max")
    if (least, most) != (0, 6):
        raise ModelFileError(f"has a node '{node.name}' that clips to {least} and {most}, where a net clips to 0 and 6")
    return translation.add(ir.Relu6, node, [translation.map(node)])


def _resize(translation: GraphTranslation, node: Node) -> Map:
    """A map whose pixels are repeated, as often as the map needs to which it is added."""
    if not translation.traced:
        return resize_as_written(translation, node)
    source = translation.map(node)
    mode, rule = node.text("mode", "nearest"), node.text("coordinate_transformation_mode", "half_pixel")
    nearest = node.text("nearest_mode", "round_prefer_floor")
    if mode != "nearest" or (rule, nearest) not in _REPEATING or source.size is not None:
        raise ModelFileError(f"has a node '{node.name}' that resizes a map in a way that is not supported")
    wanted = _shrunk_beside(translation, node) or (source.shrunk[0] / 2, source.shrunk[1] / 2)
    factors = [old / new for old, new in zip(source.shrunk, wanted, strict=True)]
    if any(factor.denominator != 1 or not 1 <= factor <= 64 for factor in factors):
        raise ModelFileError(
            f"has a node '{node.name}' that resizes a map by {factors[0]} and {factors[1]}, which is not supported"
        )
    if factors == [1, 1]:
        return source
    return translation.add(ir.Upsample, node, [source], factors=(int(factors[0]), int(factors[1])))


_REPEATING = {
    ("asymmetric", "floor"),
    *(
        (rule, how)
        for rule in ("half_pixel", "pytorch_half_pixel")
        for how in ("round_prefer_floor", "round_prefer_ceil")
    ),
}
"""Rules that repeat every pixel when a map becomes a whole number of times as large."""


def _shrunk_beside(translation: GraphTranslation, node: Node) -> tuple[Fraction, Fraction] | None:
    """Pixels of the net's input per cell of the map to which a node's result is added; None if it is to none."""
    graph, values = translation.graph, translation.values
    sums = [consumer for consumer in graph.consumers(node.outputs[0]) if consumer.op == "Add"]
    others = [graph.skip_identity(name) for consumer in sums for name in consumer.inputs]
    tensor = next((name for name in others if name != node.outputs[0]), "")
    rows, columns = Fraction(1), Fraction(1)
    while tensor not in translation.maps:
        graph.budget.step(8)
        layer = graph.producer(tensor)
        if layer is None or not is_layer(graph, values, layer) or layer.op in ("Resize", "Upsample"):
            return None
        if layer.op in ("Conv", "MaxPool", "AveragePool"):
            strides = pair(layer, "strides", 1)
            rows, columns = rows * strides[0], columns * strides[1]
        tensor = next(iter(sources(graph, values, layer)), "")
    known = translation.maps[tensor].shrunk
    return known[0] * rows, known[1] * columns


def _concat(translation: GraphTranslation, node: Node) -> Map:
    return translation.add(ir.Concat, node, [translation.map(node, index) for index in range(len(node.inputs))])


def _pad(translation: GraphTranslation, node: Node) -> Map:
    source = translation.map(node)
    amounts = node.wholes("pads") or translation.constant(node, 1, "pads").astype(int).tolist()
    fill = translation.number(node, 2, "value") if len(node.inputs) > 2 or node.has("value") else 0
    plain = node.text("mode", "constant") == "constant" and fill in (None, 0) and len(amounts) == 8
    if not plain or any(amounts[:2] + amounts[4:6]) or source.flat:
        raise ModelFileError(f"has a node '{node.name}' that pads a map in a way that is not supported")
    top, left, bottom, right = (int(amounts[index]) for index in (2, 3, 6, 7))
    return translation.add(ir.Pad, node, [source], padding=(top, left, bottom, right))


def _flatten(translation: GraphTranslation, node: Node) -> Map:
    """One row of numbers per crop."""
    source = translation.map(node)
    if source.flat:
        return source
    if not _is_flattening(translation, node):
        raise ModelFileError(
            f"has a node '{node.name}' ({node.op}) that is not a flattening, which is not supported here"
        )
    return replace(translation.add(ir.Flatten, node, [source], channels_last=source.turned), flat=True, turned=False)


def _is_flattening(translation: GraphTranslation, node: Node) -> bool:
    if node.op == "Flatten":
        return node.whole("axis", 1) == 1
    sides = translation.values.find(translation.graph.input(node, 1))
    if sides is not None:
        return bool(sides.size == 2 and (sides[0] == -1 or sides[1] == -1))
    shape = translation.graph.producer(translation.graph.input(node, 1))
    return shape is not None and shape.op == "Concat" and len(shape.inputs) == 2


def _same(translation: GraphTranslation, node: Node) -> Map:
    return translation.map(node)


LAYERS: dict[str, Callable[[GraphTranslation, Node], Map]] = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "Gemm": fully_connected,
    "MatMul": fully_connected,
    "BatchNormalization": batch_norm,
    **dict.fromkeys(COMBINING, _combine),
    **dict.fromkeys(("Relu", "Sigmoid", "HardSigmoid", "HardSwish"), _activation),
    "Clip": _clip,
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": mean,
    "ReduceMean": mean,
    "Resize": _resize,
    "Upsample": _resize,
    "Concat": _concat,
    "Pad": _pad,
    "Flatten": _flatten,
    "Reshape": _flatten,
    "Cast": _same,
    "Identity": _same,
    "Dropout": _same,
}
"""Every layer of a net, by ONNX's name of it."""

INSIDE = {**LAYERS, "Transpose": turned}
"""The same, and what is only part of a layer: where a net ends, it is none."""
