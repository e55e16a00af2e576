"""ONNX's layers with weights or a window, as TensorFlow's.

ONNX counts (N, C, H, W), TensorFlow (N, H, W, C): kernels are turned, and so are the rows of a matrix that takes a
flattened map.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.onnx.model import Node
from mrcnn_cv.importers.onnx.translation import Map, Translation
from mrcnn_cv.importers.tensorflow.extract import ROWS_AS_PIXELS


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


def padding(around: list[int]) -> dict[str, Any]:
    top, left, bottom, right = around
    if not any(around):
        return {"padding": b"VALID"}
    return {"padding": b"EXPLICIT", "explicit_paddings": [0, 0, top, bottom, left, right, 0, 0]}


def windowed(node: Node, source: Map, kernel: tuple[int, int], strides: tuple[int, int], channels: int | None) -> Map:
    """What a window that moves over a map makes of it; its name is still to be given."""
    around = pads(node)
    shrunk = (source.shrunk[0] * strides[0], source.shrunk[1] * strides[1])
    if source.size is None:
        return replace(source, shrunk=shrunk)
    height, width = (
        (side + before + after - length) // stride + 1
        for side, before, after, length, stride in zip(
            source.size[1:], around[:2], around[2:], kernel, strides, strict=True
        )
    )
    if min(height, width) < 1:
        raise ModelFileError(f"has a node '{node.name}' ({node.op}) that leaves nothing of its input")
    return replace(source, size=(source.size[0] if channels is None else channels, height, width), shrunk=shrunk)


def convolution(translation: Translation, node: Node) -> Map:
    source = translation.map(node)
    weights = translation.constant(node, 1, "weights")
    if weights.ndim != 4 or 0 in weights.shape or source.flat:
        raise ModelFileError(f"has a convolution '{node.name}' with weights of the shape {list(weights.shape)}")
    groups, strides, dilations = node.whole("group", 1), pair(node, "strides", 1), pair(node, "dilations", 1)
    outputs, inputs, height, width = weights.shape
    if not 1 <= groups <= outputs or outputs % groups:
        raise ModelFileError(f"has a convolution '{node.name}' with {groups} groups for {outputs} channels")
    attributes: dict[str, Any] = {"strides": [1, *strides, 1], **padding(pads(node))}
    if strides == dilations == (1, 1) and pads(node) == [height // 2, width // 2] * 2 and height % 2 and width % 2:
        # Pads that are given make a layer of their own.
        attributes = {"strides": [1, 1, 1, 1], "padding": b"SAME"}
    kernel = (height + (height - 1) * (dilations[0] - 1), width + (width - 1) * (dilations[1] - 1))
    if dilations != (1, 1):
        if pads(node) != [kernel[0] // 2, kernel[1] // 2] * 2 or strides != (1, 1):
            raise ModelFileError(f"has a dilated convolution '{node.name}' that changes the size of its input")
        attributes |= {"padding": b"SAME", "dilations": [1, *dilations, 1]}
        attributes.pop("explicit_paddings", None)
    if source.size is not None and source.size[0] != inputs * groups:
        raise ModelFileError(
            f"has a convolution '{node.name}' that takes {inputs * groups} channels but is given {source.size[0]}"
        )
    if groups > 1 and inputs == 1:
        if translation.channels(node) is not None:
            raise ModelFileError(f"has a convolution '{node.name}' by channel where a layer makes its predictions")
        op, kernels = "DepthwiseConv2dNative", weights.reshape(groups, -1, height, width).transpose(2, 3, 0, 1)
    else:
        # Fewer channels in the weights than in the map make as many groups, in TensorFlow and in cv2.dnn.
        op, kernels = "Conv2D", translation.order(node, weights, 0).transpose(2, 3, 1, 0)
    layer = translation.add(node, op, [source.name, translation.const("weights", kernels)], **attributes)
    name = translation.biased(node, layer, translation.optional(node, 2, "biases"))
    return replace(windowed(node, source, kernel, strides, outputs), name=name)


def transposed_convolution(translation: Translation, node: Node) -> Map:
    """A transposed convolution whose patches lie side by side."""
    source, weights = translation.map(node), translation.constant(node, 1, "weights")
    strides = pair(node, "strides", 1)
    plain = node.whole("group", 1) == 1 and pair(node, "dilations", 1) == (1, 1) and not any(pads(node))
    if weights.ndim != 4 or 0 in weights.shape or source.flat or not plain or any(node.wholes("output_padding")):
        raise ModelFileError(f"has a transposed convolution '{node.name}' of a kind that is not supported")
    if weights.shape[2:] != strides:
        raise ModelFileError(
            f"has a transposed convolution '{node.name}' whose patches overlap, which is not supported"
        )
    kernels = translation.order(node, weights, 1).transpose(2, 3, 1, 0)
    shape = translation.const("shape", np.array([1, *strides, kernels.shape[2]], np.int32))
    constants = [shape, translation.const("weights", kernels)]
    layer = translation.add(
        node, "Conv2DBackpropInput", [*constants, source.name], strides=[1, *strides, 1], padding=b"VALID"
    )
    name = translation.biased(node, layer, translation.optional(node, 2, "biases"))
    size = source.size and (weights.shape[1], source.size[1] * strides[0], source.size[2] * strides[1])
    return Map(name, size, (source.shrunk[0] / strides[0], source.shrunk[1] / strides[1]))


def fully_connected(translation: Translation, node: Node) -> Map:
    """A fully connected layer: Gemm, or MatMul with weights on its right."""
    source, weights = translation.map(node), translation.constant(node, 1, "weights")
    if weights.ndim != 2 or 0 in weights.shape or node.whole("transA", 0) or not source.flat:
        raise ModelFileError(f"has a fully connected layer '{node.name}' of a kind that is not supported")
    weights = weights.T if node.whole("transB", 0) else weights
    if source.size is not None:
        channels, height, width = source.size
        if len(weights) != channels * height * width:
            raise ModelFileError(
                f"has a fully connected layer '{node.name}' that takes {len(weights)} numbers, but is given"
                f" {channels}x{height}x{width}"
            )
        # TensorFlow flattens with the channels last.
        weights = weights.reshape(channels, height * width, -1).swapaxes(0, 1).reshape(len(weights), -1)
    outputs = weights.shape[1]
    bias = translation.optional(node, 2, "biases") if node.op == "Gemm" else None
    if bias is not None:
        if bias.size not in (1, outputs):
            raise ModelFileError(f"has a fully connected layer '{node.name}' with {bias.size} biases for {outputs}")
        bias = np.broadcast_to(bias.ravel(), outputs) * np.float32(node.real("beta", 1))
    pixels = source.name
    if not source.pixels:
        pixels = translation.append(f"{pixels}/pixels", ROWS_AS_PIXELS, [source.name], length=len(weights))
    elif source.pixels != len(weights):
        raise ModelFileError(
            f"has a fully connected layer '{node.name}' that takes {len(weights)} numbers, but is given {source.pixels}"
        )
    weights = translation.order(node, weights, 1) * np.float32(node.real("alpha", 1))
    kernels = translation.const("weights", weights[np.newaxis, np.newaxis])
    layer = translation.add(node, "Conv2D", [pixels, kernels], strides=[1, 1, 1, 1], padding=b"VALID")
    return replace(source, name=translation.biased(node, layer, bias), size=None, pixels=weights.shape[1])


def batch_norm(translation: Translation, node: Node) -> Map:
    if node.whole("training_mode", 0):
        raise ModelFileError(f"has a batch norm '{node.name}' in training mode: export the model in eval mode")
    names = []
    for index, what in enumerate(("scale", "bias", "mean", "variance"), start=1):
        vector = translation.order(node, translation.constant(node, index, what).ravel(), 0)
        names.append(translation.const(what, vector))
    source = translation.map(node)
    attributes = {"epsilon": node.real("epsilon", 1e-5), "is_training": False}
    return replace(source, name=translation.add(node, "FusedBatchNorm", [source.name, *names], **attributes))


def pool(translation: Translation, node: Node) -> Map:
    source, kernel, strides = translation.map(node), pair(node, "kernel_shape", 1), pair(node, "strides", 1)
    around = pads(node)
    if node.whole("ceil_mode", 0) or pair(node, "dilations", 1) != (1, 1) or (node.op == "AveragePool" and any(around)):
        raise ModelFileError(f"has a node '{node.name}' ({node.op}) of a kind that is not supported")
    name = translation.add(
        node,
        "MaxPool" if node.op == "MaxPool" else "AvgPool",
        [source.name],
        ksize=[1, *kernel, 1],
        strides=[1, *strides, 1],
        **padding(around),
    )
    return replace(windowed(node, source, kernel, strides, None), name=name)


def mean(translation: Translation, node: Node) -> Map:
    source = translation.map(node)
    keeps = True
    if node.op == "ReduceMean":
        axes = node.wholes("axes") or translation.constant(node, 1, "axes").astype(int).tolist()
        keeps = bool(node.whole("keepdims", 1))
        if sorted(int(axis) % 4 for axis in axes) != [2, 3]:
            raise ModelFileError(f"has a node '{node.name}' that averages over axes {axes}, not over height and width")
    axes_name = translation.const("axes", np.array([1, 2], np.int32))
    name = translation.add(node, "Mean", [source.name, axes_name], keep_dims=keeps)
    size = source.size and (source.size[0], 1, 1)
    return Map(name, size if keeps else None, (Fraction(1 << 30), Fraction(1 << 30)), flat=not keeps)
