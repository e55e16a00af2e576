"""Read what an Object Detection API graph does to resized pixels before its trunk takes them."""

from __future__ import annotations

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.graphdef import Graph
from mrcnn_cv.model.definition import NormalizationStep

_PIXEL_OPS = {"Mul": "mul", "Add": "add", "AddV2": "add", "Sub": "sub", "RealDiv": "div"}
_MOVED = {
    **dict.fromkeys(("Exit", "Switch", "NextIteration", "TensorListStack"), slice(0, 1)),
    **dict.fromkeys(("Reshape", "Squeeze", "ExpandDims", "StridedSlice"), slice(0, 1)),
    **dict.fromkeys(("TensorArrayGatherV3", "TensorArrayWriteV3", "TensorListSetItem"), slice(2, 3)),
    **dict.fromkeys(("Merge", "Pack"), slice(None)),
}
"""Ops that only move images about, in and out of a loop over the batch, and their inputs that are images."""


def read_pixel_steps(graph: Graph, batch: str) -> tuple[tuple[NormalizationStep, ...], str]:
    """(steps, what the trunk takes), given the batch of resized images.

    TensorFlow 1's exporter prepares the whole batch, TensorFlow 2's each image, in the loop that also resizes it.
    """
    values = TensorFlowConstantFolder(graph)
    steps = _steps_before(graph, values, batch)
    node = graph.node(batch)
    seen: set[str] = set()
    while True:
        if node.name in seen:
            raise ModelFileError(f"the node '{node.name}' depends on itself")
        seen.add(node.name)
        following = graph.consumers(node.name)
        step = _pixel_step(graph, following[0], values) if len(following) == 1 else None
        if step is None:
            return tuple(steps), node.name
        steps.append(step[0])
        node = following[0]


def _steps_before(graph: Graph, values: TensorFlowConstantFolder, batch: str) -> list[NormalizationStep]:
    """Steps between the resizer and the batch."""
    found: list[tuple[pb.NodeDef, NormalizationStep]] = []
    queue, seen = [batch], {batch}
    for tensor in queue:
        node = graph.node(tensor)
        sources = graph.inputs(node)[_MOVED[node.op]] if node.op in _MOVED else []
        step = _pixel_step(graph, node, values)
        if step is not None:
            if found and node.name not in graph.upstream([found[-1][0].name]):
                raise ModelFileError(f"prepares pixels in branches, at the node '{node.name}', which is not supported")
            found.append((node, step[0]))
            sources = [step[1]]
        queue += [source for source in dict.fromkeys(sources) if source not in seen]
        seen.update(sources)
    return [step for _, step in reversed(found)]


def _pixel_step(
    graph: Graph, node: pb.NodeDef, values: TensorFlowConstantFolder
) -> tuple[NormalizationStep, str] | None:
    """(step, image) of a node that combines an image with constants per channel."""
    if node.op not in _PIXEL_OPS:
        return None
    inputs = graph.inputs(node)
    for index in (1, 0):
        operand = values.find(inputs[index])
        if operand is None:
            continue
        commutes = node.op not in ("Sub", "RealDiv")
        if operand.size not in (1, 3) or not (index == 1 or commutes):
            raise ModelFileError(
                f"prepares pixels in a way that is not supported, at the node '{node.name}' ({node.op})"
            )
        numbers = tuple(float(value) for value in operand.ravel())
        return NormalizationStep(_PIXEL_OPS[node.op], numbers), inputs[1 - index]  # type: ignore[arg-type]
    return None
