"""ONNX's layers with weights or a window.

ONNX counts (N, C, H, W) as a NetGraph does, so that weights stay where they lie in the file.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.partial_shapes import same_padding
from mrcnn_cv.importers.onnx.model import Node
from mrcnn_cv.importers.onnx.translation import GraphTranslation, Map


def pair(node: Node, name: str, default: int) -> tuple[int, int]:
    values = node.wholes(name) or [default, default]
    if len(values) != 2 or not all(1 <= value <= 64 for value in values):
        raise ModelFileError(
            f"has a node '{node.name}' ({node.op}) with the {name} {values[:8]}, which are out of range"
        )
    return values[0], values[1]


def pads(node: Node) -> list[int]:
    """Cells added at the top, left, bottom and right."""
    amounts = node.wholes("pads") or [0, 0, 0, 0]
    in_range = len(amounts) == 4 and all(0 <= amount <= 64 for amount in amounts)
    if not in_range or node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise ModelFileError(
            f"has a node '{node.name}' ({node.op}) with the pads {amounts[:8]}, which are not supported"
        )
    return amounts


def padding(translation: GraphTranslation, node: Node) -> ir.Padding:
    """The same, or that it depends on the map, where the graph says what is meant."""
    if not translation.traced and node.text("auto_pad", "NOTSET") == "SAME_UPPER" and not node.wholes("pads"):
        return "same"
    top, left, bottom, right = pads(node)
    return top, left, bottom, right


def convolution(translation: GraphTranslation, node: Node) -> Map:
    source = translation.map(node)
    weights = translation.weights(node, 1, "weights")
    if weights.ndim != 4 or 0 in weights.shape or source.flat:
        raise ModelFileError(f"has a convolution '{node.name}' with weights of the shape {list(weights.shape)}")
    groups, strides, dilations = node.whole("group", 1), pair(node, "strides", 1), pair(node, "dilations", 1)
    outputs, inputs, height, width = weights.shape
    if not 1 <= groups <= outputs or outputs % groups:
        raise ModelFileError(f"has a convolution '{node.name}' with {groups} groups for {outputs} channels")
    kernel = (height + (height - 1) * (dilations[0] - 1), width + (width - 1) * (dilations[1] - 1))
    around = padding(translation, node)
    keeps_size = around == (kernel[0] // 2, kernel[1] // 2) * 2 and strides == (1, 1)
    if translation.traced and dilations != (1, 1) and not keeps_size:
        raise ModelFileError(f"has a dilated convolution '{node.name}' that changes the size of its input")
    if source.size is not None and source.size[0] != inputs * groups:
        raise ModelFileError(
            f"has a convolution '{node.name}' that takes {inputs * groups} channels but is given {source.size[0]}"
        )
    if groups > 1 and translation.channels(node) is not None:
        raise ModelFileError(f"has a convolution '{node.name}' in groups where a layer makes its predictions")
    weights = translation.order(node, weights, 0)
    window = {"stride": strides, "padding": around, "dilation": dilations, "groups": groups}
    return translation.add(ir.Conv2d, node, [source], weight=weights, bias=translation.biases(node), **window)


def transposed_convolution(translation: GraphTranslation, node: Node) -> Map:
    """A transposed convolution whose patches lie side by side."""
    source, weights = translation.map(node), translation.weights(node, 1, "weights")
    strides = pair(node, "strides", 1)
    plain = node.whole("group", 1) == 1 and pair(node, "dilations", 1) == (1, 1) and not any(pads(node))
    if weights.ndim != 4 or 0 in weights.shape or source.flat or not plain or any(node.wholes("output_padding")):
        raise ModelFileError(f"has a transposed convolution '{node.name}' of a kind that is not supported")
    if weights.shape[2:] != strides:
        raise ModelFileError(
            f"has a transposed convolution '{node.name}' whose patches overlap, which is not supported"
        )
    weights = translation.order(node, weights, 1)
    return translation.add(ir.ConvTranspose2d, node, [source], weight=weights, bias=translation.biases(node))


def fully_connected(translation: GraphTranslation, node: Node) -> Map:
    """A fully connected layer: Gemm, or MatMul with weights on its right."""
    source, weights = translation.map(node), translation.weights(node, 1, "weights")
    if weights.ndim != 2 or 0 in weights.shape or node.whole("transA", 0) or not source.flat:
        raise ModelFileError(f"has a fully connected layer '{node.name}' of a kind that is not supported")
    # (out, in), whichever way it lies in the file.
    weights = weights if node.whole("transB", 0) else weights.T
    outputs, taken = weights.shape
    if source.size is not None and taken != prod(source.size):
        channels, height, width = source.size
        given = channels if height == width == 1 else f"{channels}x{height}x{width}"
        raise ModelFileError(
            f"has a fully connected layer '{node.name}' that takes {taken} numbers, but is given {given}"
        )
    bias = translation.biases(node) if node.op == "Gemm" else None
    if bias is not None:
        if bias.size not in (1, len(translation.channels(node) or range(outputs))):
            raise ModelFileError(f"has a fully connected layer '{node.name}' with {bias.size} biases for {outputs}")
        bias = bias * np.float32(node.real("beta", 1))
    weights = translation.order(node, weights, 0)
    outputs = len(weights)
    if source.channels_last and source.size is not None:
        # A view whose rows go through the places of the map, and at each through its channels.
        weights = weights.reshape(outputs, source.size[0], -1).transpose(0, 2, 1)
    alpha = node.real("alpha", 1)
    scale = None if alpha == 1 else np.full(outputs, alpha, np.float64)
    made = translation.add(ir.Linear, node, [source], weight=weights, bias=bias, scale=scale)
    return replace(made, size=(outputs, 1, 1), channels_last=False)


def batch_norm(translation: GraphTranslation, node: Node) -> Map:
    if node.whole("training_mode", 0):
        raise ModelFileError(f"has a batch norm '{node.name}' in training mode: export the model in eval mode")
    gamma, beta, mean, variance = (
        translation.by_channel(node, translation.constant(node, index, what)).astype(np.float64)
        for index, what in enumerate(("scale", "bias", "mean", "variance"), start=1)
    )
    if len({part.size for part in (gamma, beta, mean, variance)}) != 1:
        raise ModelFileError(f"has a batch norm '{node.name}' with statistics of different lengths")
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + node.real("epsilon", 1e-5))
        return affine(translation, node, translation.map(node), scale, beta - mean * scale)


def affine(
    translation: GraphTranslation, node: Node, source: Map, scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> Map:
    """scale * input + shift, (C,) or (1,) each."""
    if source.channels_last and (scale.size > 1 or shift.size > 1):
        raise ModelFileError(f"has a node '{node.name}' ({node.op}) that differs by position, not only by channel")
    return translation.add(ir.Affine, node, [source], scale=scale, shift=shift)


def pool(translation: GraphTranslation, node: Node) -> Map:
    source, kernel, strides = translation.map(node), pair(node, "kernel_shape", 1), pair(node, "strides", 1)
    around = padding(translation, node)
    if not translation.traced and node.op == "AveragePool" and _is_same(node, source, kernel, strides, around):
        around = "same"
    own = node.op == "AveragePool" and (around not in ("same", ir.NO_PADDING))
    counts_pads = around != ir.NO_PADDING and node.whole("count_include_pad", 0)
    if node.whole("ceil_mode", 0) or pair(node, "dilations", 1) != (1, 1) or own or counts_pads or source.flat:
        raise ModelFileError(f"has a node '{node.name}' ({node.op}) of a kind that is not supported")
    layer = ir.MaxPool2d if node.op == "MaxPool" else ir.AvgPool2d
    return translation.add(layer, node, [source], kernel=kernel, stride=strides, padding=around)


def _is_same(node: Node, source: Map, kernel: tuple[int, int], strides: tuple[int, int], around: ir.Padding) -> bool:
    """Whether paddings are those that TensorFlow's SAME adds to this map."""
    layer = ir.AvgPool2d(node.name, (), kernel, strides, "same")
    return around != ir.NO_PADDING and around == same_padding(layer, source.size[1:] if source.size else (None, None))


def mean(translation: GraphTranslation, node: Node) -> Map:
    source = translation.map(node)
    keeps = True
    if node.op == "ReduceMean":
        axes = node.wholes("axes") or translation.constant(node, 1, "axes").astype(int).tolist()
        keeps = bool(node.whole("keepdims", 1))
        if sorted(int(axis) % 4 for axis in axes) != [2, 3]:
            raise ModelFileError(f"has a node '{node.name}' that averages over axes {axes}, not over height and width")
    made = translation.add(ir.GlobalAvgPool, node, [source])
    # What follows a mean without the two axes takes rows.
    return made if keeps else replace(translation.add(ir.Flatten, node, [made]), flat=True)
