"""Take apart the layers that tools for faster inference have joined, so that readers see the ops they know.

`optimize_for_inference` joins a resize with the convolution after it, Grappler's remapper a layer with its bias, batch
norm and activation, its arithmetic optimizer a row of sums. Each part gets the op, inputs and attributes that it had
before; the last one keeps the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mrcnn_cv.graph.protos import graph_pb2 as pb

_LAYERS = {
    "_FusedConv2D": "Conv2D",
    "_FusedMatMul": "MatMul",
    "_FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
}
_ACTIVATIONS = ("Relu", "Relu6")


def unfused(nodes: Iterable[pb.NodeDef]) -> Iterator[pb.NodeDef]:
    """The nodes with joined ones taken apart; what cannot be stays as it is, for the reader to refuse."""
    for node in nodes:
        parts = _UNFUSE[node.op](node) if node.op in _UNFUSE else None
        yield from [node] if parts is None else parts


def _tensors(node: pb.NodeDef) -> tuple[list[str], list[str]]:
    """(tensors that a node computes with, its control inputs)."""
    controls = [tensor for tensor in node.input if tensor.startswith("^")]
    return [tensor for tensor in node.input if not tensor.startswith("^")], controls


def _copy(node: pb.NodeDef, name: str, op: str, inputs: list[str], attributes: Iterable[str] = ()) -> pb.NodeDef:
    added = pb.NodeDef(name=name, op=op, input=inputs)
    for attribute in attributes:
        if attribute in node.attr:
            added.attr[attribute].CopyFrom(node.attr[attribute])
    return added


def _resize_and_convolution(node: pb.NodeDef) -> list[pb.NodeDef] | None:
    """FusedResizeAndPadConv2D(image, size, paddings, weights); it resizes as ResizeBilinear does."""
    tensors, controls = _tensors(node)
    if len(tensors) != 4:
        return None
    image, size, paddings, weights = tensors
    resized, padded = f"{node.name}/resized", f"{node.name}/padded"
    resize = _copy(node, resized, "ResizeBilinear", [image, size, *controls])
    resize.attr["align_corners"].b = node.attr["resize_align_corners"].b
    # Paddings that are all zero, as of a resize alone, are those of any mode.
    pad = _copy(node, padded, "MirrorPad", [resized, paddings], ("mode",))
    return [resize, pad, _copy(node, node.name, "Conv2D", [padded, weights], ("strides", "padding", "T"))]


def _layer(node: pb.NodeDef) -> list[pb.NodeDef] | None:
    """A layer of the remapper: what follows it stands in `fused_ops`, its operands behind the layer's own two."""
    tensors, controls = _tensors(node)
    follow = [op.decode("ascii", "replace") for op in node.attr["fused_ops"].list.s]
    if len(tensors) < 2 or not follow:
        return None
    kept = ("strides", "padding", "dilations", "data_format", "explicit_paddings", "transpose_a", "transpose_b", "T")
    names = [f"{node.name}/part_{index}" for index in range(len(follow))] + [node.name]
    parts = [_copy(node, names[0], _LAYERS[node.op], [*tensors[:2], *controls], kept)]
    operands = tensors[2:]
    for op, source, name in zip(follow, names, names[1:], strict=False):
        count = {"BiasAdd": 1, "Add": 1, "FusedBatchNorm": 4}.get(op, 0)
        if (count == 0 and op not in _ACTIVATIONS) or len(operands) < count:
            return None
        parts.append(_copy(node, name, op, [source, *operands[:count]]))
        if op == "FusedBatchNorm":
            parts[-1].attr["epsilon"].f = node.attr["epsilon"].f
            parts[-1].attr["is_training"].b = False
        operands = operands[count:]
    return None if operands else parts


def _batch_norm(node: pb.NodeDef) -> list[pb.NodeDef] | None:
    """_FusedBatchNormEx(x, gamma, beta, mean, variance, what is added): a batch norm, a sum, an activation."""
    tensors, controls = _tensors(node)
    activation, sums = node.attr["activation_mode"].s.decode("ascii", "replace"), node.attr["num_side_inputs"].i
    if len(tensors) != 5 + sums or sums not in (0, 1) or activation not in ("Identity", *_ACTIVATIONS):
        return None
    steps: list[tuple[str, list[str]]] = [("FusedBatchNormV3", tensors[1:5])]
    steps += [("Add", tensors[5:])] if sums else []
    steps += [(activation, [])] if activation in _ACTIVATIONS else []
    parts: list[pb.NodeDef] = []
    source = tensors[0]
    for index, (op, operands) in enumerate(steps):
        name = node.name if index == len(steps) - 1 else f"{node.name}/part_{index}"
        parts.append(_copy(node, name, op, [source, *operands], ("epsilon", "is_training", "data_format")))
        source = name
    parts[0].input.extend(controls)
    return parts


def _sum(node: pb.NodeDef) -> list[pb.NodeDef] | None:
    """AddN(x, y, ...): a chain of sums."""
    tensors, controls = _tensors(node)
    if len(tensors) < 2:
        return None
    parts: list[pb.NodeDef] = []
    for index, tensor in enumerate(tensors[1:]):
        name = node.name if index == len(tensors) - 2 else f"{node.name}/part_{index}"
        parts.append(_copy(node, name, "AddV2", [parts[-1].name if parts else tensors[0], tensor], ("T",)))
    parts[0].input.extend(controls)
    return parts


_UNFUSE: dict[str, Callable[[pb.NodeDef], list[pb.NodeDef] | None]] = {
    "FusedResizeAndPadConv2D": _resize_and_convolution,
    "_FusedBatchNormEx": _batch_norm,
    "AddN": _sum,
    **dict.fromkeys(_LAYERS, _layer),
}
