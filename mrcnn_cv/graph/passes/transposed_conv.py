"""A mask head that ends in a transposed convolution, without it: OpenCV 5.0 takes ten times as long for one as 4.14.

Patches that lie side by side are as many convolutions of 1 x 1 as a patch has samples. What follows, an activation and
a layer that looks at one place only, can be applied to each by itself; to lay the samples side by side is left to the
caller, who then has to do it for one class only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.graph.builder import Writer
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.graphdef import tensor_value
from mrcnn_cv.model.definition import StageGraph

Weights = NDArray[np.float32]


class _End(NamedTuple):
    """source → transposed convolution → activation → predictor, with the names of all their nodes."""

    source: str
    patches: Weights
    patch_biases: Weights
    activation: str
    weights: Weights
    biases: Weights
    names: frozenset[str]


def without_transposed(stage: StageGraph) -> tuple[StageGraph, int]:
    """(a stage with the same samples, how many of them it puts out for one cell, on each side).

    Its one output then is (N, side * side * C, h, w) for (N, C, side * h, side * w), by row and column of a sample in
    its cell. The stage itself and 1 where it does not end that way.
    """
    message = pb.GraphDef()
    message.ParseFromString(stage.graph_def)
    end = _find(message, stage.outputs[0])
    if end is None or end.patches.shape[0] != end.patches.shape[1]:
        return stage, 1
    writer = Writer([node for node in message.node if node.name not in end.names])
    predictor = pb.NodeDef(op="Conv2D")
    predictor.attr["strides"].list.i.extend([1, 1, 1, 1])
    predictor.attr["padding"].s = b"VALID"
    outputs = []
    side = end.patches.shape[0]
    for row, column in np.ndindex(side, side):
        place = f"{row}_{column}"
        predictor.name = f"patch_{place}"
        patch = np.ascontiguousarray(end.patches[row, column].T[np.newaxis, np.newaxis])
        samples = writer.weighted(predictor, end.source, patch, end.patch_biases, 1)
        samples = writer.activation(pb.NodeDef(name=f"activation_{place}", op=end.activation), samples)
        predictor.name = f"mask_{place}"
        outputs.append(writer.weighted(predictor, samples, end.weights, end.biases, 1))
    masks = writer.concat("masks", outputs)
    return StageGraph(writer.serialize(), stage.inputs, (masks,)), side


def _find(message: pb.GraphDef, output: str) -> _End | None:
    nodes = {node.name: node for node in message.node}
    uses = [name for node in message.node for name in node.input]
    predictor, biases, names = _layer(nodes, output)
    if predictor.op != "Conv2D" or set(predictor.attr["strides"].list.i) != {1}:
        return None
    weights = _value(nodes, predictor.input[1])
    activation = nodes[predictor.input[0]]
    if weights.shape[:2] != (1, 1) or activation.op not in ("Relu", "Relu6"):
        return None
    transposed, patch_biases, more = _layer(nodes, activation.input[0])
    if transposed.op != "Conv2DBackpropInput":
        return None
    names |= more | {activation.name}
    if any(uses.count(name) > 1 for name in names):
        return None
    patches = _value(nodes, transposed.input[1])
    return _End(
        source=transposed.input[2],
        patches=patches,
        patch_biases=np.zeros(patches.shape[2], np.float32) if patch_biases is None else patch_biases,
        activation=activation.op,
        weights=weights,
        biases=np.zeros(weights.shape[3], np.float32) if biases is None else biases,
        names=frozenset(names),
    )


def _layer(nodes: dict[str, pb.NodeDef], name: str) -> tuple[pb.NodeDef, Weights | None, set[str]]:
    """(layer with weights, its biases, names of its nodes) behind a result, which may be that of its bias."""
    node, biases, names = nodes[name], None, set()
    if node.op == "BiasAdd":
        biases, names = _value(nodes, node.input[1]), {node.name, node.input[1]}
        node = nodes[node.input[0]]
    return node, biases, names | {node.name, *(name for name in node.input if nodes[name].op == "Const")}


def _value(nodes: dict[str, pb.NodeDef], name: str) -> Weights:
    return tensor_value(nodes[name]).astype(np.float32)
