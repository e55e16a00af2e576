"""Write the heads of a matterport graph anew as the plain layers that they are.

Keras' TimeDistributed wraps each layer of a head in reshapes from (1, N, ...) to (N, ...) and back, which move nothing.
The box head's convolutions look at one place only: as matrix products they are as exact and 30 times faster.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.constant_folding import Array, NotConstant
from mrcnn_cv.importers.matterport.structure import FREEZE, LOOPS, MatterportStructure, PyramidRoiAlign, is_layer
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.extract import ADD
from mrcnn_cv.importers.tensorflow.graphdef import Graph, node_name


def plain_heads(graph: Graph, structure: MatterportStructure, class_count: int, crop_size: tuple[int, int]) -> Graph:
    """The graph with plain heads: all names stay.

    The box head takes crops as rows of numbers. Its box encodings and the mask logits lose the background's share.
    """
    nodes = dict(graph.nodes)
    rewriter = _Rewriter(graph, nodes)
    for end in (structure.box_encodings, structure.class_logits):
        rewriter.straighten(structure.box, end)
        rewriter.as_matrices(structure.box, end, crop_size)
    rewriter.keep(structure.box_encodings, np.arange(4, 4 * (class_count + 1)))
    if structure.mask is not None and structure.mask_logits is not None:
        rewriter.straighten(structure.mask, structure.mask_logits)
        rewriter.keep(structure.mask_logits, np.arange(1, class_count + 1))
    return graph.with_nodes(nodes.values())


class _Rewriter:
    """Puts other nodes in the place of those of a graph."""

    def __init__(self, graph: Graph, nodes: dict[str, pb.NodeDef]) -> None:
        self._graph = graph
        self._nodes = nodes
        self._values = TensorFlowConstantFolder(graph)

    def _between(self, crops: PyramidRoiAlign, end: pb.NodeDef) -> list[pb.NodeDef]:
        """The nodes of a head, from its first layer to `end`, without what computes weights."""
        after = self._graph.downstream(crops.first_layer)
        before = self._graph.upstream([end.name], lambda node: node is crops.first_layer)
        return [node for name, node in before.items() if name in after]

    def straighten(self, crops: PyramidRoiAlign, end: pb.NodeDef) -> None:
        """Let go of the reshapes that only move the axis of the regions, or axes of length 1."""
        flat = end.op == "MatMul"
        for node in self._between(crops, end):
            if node.op in LOOPS:
                raise ModelFileError(
                    f"computes its heads in a loop over the regions, at the node '{node.name}' ({node.op}), which is"
                    f" not supported: {FREEZE}"
                )
            if node.op == "Reshape":
                rank = self._rank(node)
                if rank not in ((2, 3, 4, 5) if flat else (4, 5)):
                    raise ModelFileError(f"has a head with the node '{node.name}' (Reshape), which is not supported")
            elif node.op != "Squeeze" or not flat:
                continue
            self._nodes[node.name] = pb.NodeDef(name=node.name, op="Identity", input=[self._graph.inputs(node)[0]])

    def _rank(self, node: pb.NodeDef) -> int:
        shape = self._graph.node(self._graph.inputs(node)[1])
        if shape.op == "Pack":
            return len(self._graph.inputs(shape))
        return int(self._constant(node, 1).size)

    def as_matrices(self, crops: PyramidRoiAlign, end: pb.NodeDef, crop_size: tuple[int, int]) -> None:
        """Make a matrix product of every convolution of a head that sees its whole map at once."""
        for node in self._between(crops, end):
            if node.op != "Conv2D":
                if is_layer(node) and node.op != "MatMul":
                    raise ModelFileError(
                        f"has a box head with the node '{node.name}' ({node.op}), which is not supported"
                    )
                continue
            weights = self._constant(node, 1)
            extent = crop_size if node is crops.first_layer else (1, 1)
            if weights.shape[:2] != extent or weights.ndim != 4 or node.attr["padding"].s != b"VALID":
                raise ModelFileError(
                    f"has a box head whose convolution '{node.name}' does not look at the whole crop at once, which is"
                    " not supported"
                )
            source = self._graph.inputs(node)[0]
            matrix = self._add(node.name, weights.reshape(-1, weights.shape[3]))
            self._nodes[node.name] = pb.NodeDef(name=node.name, op="MatMul", input=[source, matrix])

    def keep(self, layer: pb.NodeDef, channels: NDArray[np.intp]) -> None:
        """Leave a layer only some of its output channels, with their biases."""
        weights = self._constant(layer, 1)
        if layer.op == "MatMul" and layer.attr["transpose_b"].b:
            weights = weights.T
        if layer.op not in ("MatMul", "Conv2D") or weights.shape[-1] != channels[-1] + 1:
            raise ModelFileError(f"predicts {weights.shape[-1]} numbers at '{layer.name}', not {channels[-1] + 1}")
        kept = pb.NodeDef()
        kept.CopyFrom(layer)
        kept.input[:] = [self._graph.inputs(layer)[0], self._add(layer.name, weights[..., channels])]
        kept.attr["transpose_b"].b = False
        self._nodes[layer.name] = kept
        for node in self._graph.consumers(layer.name):
            if node.op in ADD:
                self._keep_biases(node, layer, channels)

    def _keep_biases(self, node: pb.NodeDef, layer: pb.NodeDef, channels: NDArray[np.intp]) -> None:
        index = 1 if node_name(self._graph.inputs(node)[0]) == layer.name else 0
        biases = self._constant(node, index).ravel()
        if biases.size != channels[-1] + 1:
            raise ModelFileError(f"adds {biases.size} biases to {channels[-1] + 1} numbers at '{node.name}'")
        kept = pb.NodeDef(name=node.name, op="BiasAdd", input=[layer.name, self._add(node.name, biases[channels])])
        self._nodes[node.name] = kept

    def _constant(self, node: pb.NodeDef, index: int) -> Array:
        try:
            return self._values.value(self._graph.inputs(node)[index])
        except NotConstant as error:
            raise ModelFileError(f"the node '{node.name}' ({node.op}) needs a constant, but {error}") from error

    def _add(self, name: str, value: Array) -> str:
        """A new constant that belongs to a node."""
        name = f"{name}/kept"
        while name in self._nodes:
            name += "_"
        node = pb.NodeDef(name=name, op="Const")
        tensor = node.attr["value"].tensor
        tensor.dtype = pb.DT_FLOAT
        for side in value.shape:
            tensor.tensor_shape.dim.add(size=side)
        tensor.tensor_content = np.ascontiguousarray(value, dtype="<f4").tobytes()
        self._nodes[name] = node
        return name
