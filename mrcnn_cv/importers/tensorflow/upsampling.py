"""Repeated pixels in the Object Detection API's spellings, all as "a nearest-neighbour resize to that size".

The API (utils/ops.py, nearest_neighbor_upsampling) repeats without a resize, which not every accelerator has.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.graphdef import Graph


class Upsampled(NamedTuple):
    """`source` is the tensor whose pixels are repeated until there are `size` (height, width) of them."""

    source: str
    size: tuple[int, int]


def read_upsampled(graph: Graph, values: TensorFlowConstantFolder, node: pb.NodeDef) -> Upsampled | None:
    """The upsampling that ends in a Reshape; None for any other node.

    A map (N, H, W, C) gets axes for the repetitions behind W, H or both, which the Reshape then joins with these.
    """
    if node.op != "Reshape":
        return None
    size = _map_size(graph, values, graph.inputs(node)[1])
    found = _stacked(graph, graph.inputs(node)[0]) or _multiplied(graph, values, graph.inputs(node)[0])
    if size is None or found is None:
        return None
    source, factors = found
    fits = all(side > 0 and side % factor == 0 for side, factor in zip(size, factors, strict=True))
    return Upsampled(source, size) if fits else None


def _stacked(graph: Graph, tensor: str) -> tuple[str, tuple[int, int]] | None:
    """(source, repetitions of rows and columns) of a map stacked with itself, along axis 3, 2, or 3 and then 2."""
    factors = {3: 1, 2: 1}
    axes: list[int] = []
    while (pack := graph.node(tensor)).op == "Pack" and len(axes) < 2:
        inputs = graph.inputs(pack)
        axes.append(pack.attr["axis"].i)
        if len(set(inputs)) != 1:
            return None
        factors[axes[-1]] = len(inputs)
        tensor = inputs[0]
    return (tensor, (factors[2], factors[3])) if axes in ([2], [3], [2, 3]) else None


def _multiplied(graph: Graph, values: TensorFlowConstantFolder, tensor: str) -> tuple[str, tuple[int, int]] | None:
    """The same, of a map (N, H, 1, W, 1, C) multiplied with ones (1, 1, rows, 1, columns, 1), as until 2018."""
    product = graph.node(tensor)
    if product.op != "Mul":
        return None
    spread, ones = graph.node(graph.inputs(product)[0]), values.find(graph.inputs(product)[1])
    if spread.op != "Reshape" or ones is None or ones.ndim != 6 or (ones != 1).any():
        return None
    return graph.inputs(spread)[0], (ones.shape[2], ones.shape[4])


def _map_size(graph: Graph, values: TensorFlowConstantFolder, shape: str) -> tuple[int, int] | None:
    """(height, width) in the shape (N, height, width, C) of a Reshape, whose N may be known to TensorFlow only."""
    node = graph.node(shape)
    if node.op == "Pack" and len(graph.inputs(node)) == 4:
        sides = [values.find(tensor) for tensor in graph.inputs(node)[1:3]]
    else:
        whole = values.find(shape)
        sides = [whole[1], whole[2]] if whole is not None and whole.shape == (4,) else [None]
    known = [int(side.item()) for side in sides if side is not None and side.size == 1]
    return (known[0], known[1]) if len(known) == 2 else None


PROBES = ((24, 40), (56, 32))
"""(height, width) of maps for which a size is computed, to see how it follows from theirs."""


def read_factors(graph: Graph, node: pb.NodeDef) -> tuple[int, int] | None:
    """How often (rows, columns) a nearest-neighbour resize repeats the pixels of a map of any size; None: to one size.

    Keras (backend/tensorflow_backend.py, resize_images) multiplies the shape of the map with the factors.
    """
    if node.op != "ResizeNearestNeighbor" or TensorFlowConstantFolder(graph).find(graph.inputs(node)[1]) is not None:
        return None
    source, size = graph.inputs(node)
    shapes = [other for other in graph.upstream([size]).values() if other.op == "Shape"]
    sizes = [TensorFlowConstantFolder(graph, (1, *probe, 1)).find(size) for probe in PROBES]
    ours = all(graph.inputs(shape)[0] == source for shape in shapes)
    if not ours or node.attr["align_corners"].b or any(found is None or found.size != 2 for found in sizes):
        raise ModelFileError(f"the node '{node.name}' resizes a map in a way that is not supported")
    factors = {
        tuple(int(side) // known for side, known in zip(found.ravel(), probe, strict=True))
        for found, probe in zip(sizes, PROBES, strict=True)
        if found is not None and not (found.ravel() % np.array(probe)).any()
    }
    if len(factors) != 1:
        raise ModelFileError(f"the node '{node.name}' does not repeat the pixels of a map a whole number of times")
    rows, columns = factors.pop()
    return rows, columns
