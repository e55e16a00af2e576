"""Dilated convolutions in TensorFlow's two spellings, both as "a convolution of SAME size with that dilation"."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.constant_folding import Array
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.graphdef import Graph


class Dilated(NamedTuple):
    """`convolution` holds the weights, `source` is the tensor that it looks at."""

    convolution: pb.NodeDef
    source: str
    dilation: int


def read_dilated(graph: Graph, values: TensorFlowConstantFolder, node: pb.NodeDef) -> Dilated | None:
    """What `node` convolves with a dilation; None for any other layer.

    node: a Conv2D with the attribute, or the BatchToSpaceND at the end of BatchToSpaceND(Conv2D(SpaceToBatchND(x))),
    as TensorFlow 1 spells it. Raises ModelFileError for a dilation that is not square, or does not keep the size.
    """
    if node.op == "BatchToSpaceND":
        return _read_blocks(graph, values, node)
    factors = list(node.attr["dilations"].list.i) if "dilations" in node.attr else []
    if node.op not in ("Conv2D", "DepthwiseConv2dNative") or set(factors) <= {1}:
        return None
    if node.op != "Conv2D" or len(factors) != 4 or factors[0] != 1 or factors[3] != 1 or factors[1] != factors[2]:
        raise ModelFileError(f"the convolution '{node.name}' has the dilations {factors}, which are not supported")
    _check_kernel(graph, values, node, b"SAME", factors[1])
    return Dilated(node, graph.inputs(node)[0], factors[1])


def _read_blocks(graph: Graph, values: TensorFlowConstantFolder, node: pb.NodeDef) -> Dilated:
    convolution = graph.node(graph.inputs(node)[0])
    space = graph.node(graph.inputs(convolution)[0]) if convolution.op == "Conv2D" else convolution
    if space.op != "SpaceToBatchND":
        raise ModelFileError(f"the node '{node.name}' (BatchToSpaceND) is not part of a dilated convolution")
    block, other = (values.find(graph.inputs(one)[1]) for one in (node, space))
    if block is None or other is None or block.shape != (2,) or len({*block.tolist(), *other.ravel().tolist()}) != 1:
        raise ModelFileError(f"the dilated convolution '{convolution.name}' is not square, which is not supported")
    dilation = int(block[0])
    reach = _check_kernel(graph, values, convolution, b"VALID", dilation)
    if not _keeps_size(graph, values, graph.inputs(space)[2], graph.inputs(node)[2], reach):
        raise ModelFileError(f"the dilated convolution '{convolution.name}' does not pad to the SAME size")
    return Dilated(convolution, graph.inputs(space)[0], dilation)


def _check_kernel(
    graph: Graph, values: TensorFlowConstantFolder, node: pb.NodeDef, padding: bytes, dilation: int
) -> Array:
    """How far a dilated kernel reaches: (top, bottom) and (left, right)."""
    weights = values.find(graph.inputs(node)[1])
    if weights is None or weights.ndim != 4:
        raise ModelFileError(f"the dilated convolution '{node.name}' needs constant weights")
    if any(side % 2 == 0 for side in weights.shape[:2]) or not 1 <= dilation <= 64:
        raise ModelFileError(f"the dilated convolution '{node.name}' has no middle, which is not supported")
    if set(node.attr["strides"].list.i) != {1} or node.attr["padding"].s != padding:
        raise ModelFileError(f"the dilated convolution '{node.name}' does not pad to the SAME size")
    return np.array([[dilation * (side // 2)] * 2 for side in weights.shape[:2]])


def _keeps_size(graph: Graph, values: TensorFlowConstantFolder, paddings: str, crops: str, reach: Array) -> bool:
    """Whether the paddings are those of SAME size, but for what fills up to whole blocks and is cropped again.

    For an image of any size they are sums, and the constant part of these tells: the paddings of the kernel alone, or,
    where a constant folder went over the graph, those at the top and the left, to which nothing is added.
    """
    fixed, cropped = values.find(paddings), values.find(crops)
    if fixed is not None and cropped is not None:
        return fixed.shape == cropped.shape == (2, 2) and bool(
            (fixed - cropped == reach).all() and (cropped >= 0).all()
        )
    bases = [
        value
        for node in graph.upstream([paddings]).values()
        if node.op == "Const" and (value := values.find(node.name)) is not None and value.shape == (2, 2)
    ]
    if any(bool((value == reach).all()) for value in bases):
        return True
    starts = [_start(graph, values, side) for side in _packed(graph, paddings)]
    return bool(starts == reach[:, 0].tolist())


def _packed(graph: Graph, tensor: str) -> list[str]:
    """What a Pack node joins; nothing for any other."""
    node = graph.node(tensor)
    return list(graph.inputs(node)) if node.op == "Pack" else []


def _start(graph: Graph, values: TensorFlowConstantFolder, side: str) -> int | None:
    """The first of a pair (before, after) of paddings, if it is constant."""
    pair = _packed(graph, side)
    value = values.find(pair[0]) if len(pair) == 2 else None
    return int(value.item()) if value is not None and value.size == 1 else None
