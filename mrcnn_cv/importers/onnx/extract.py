"""Take the part of an ONNX graph that a net needs out of it, as a NetGraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import NetGraph
from mrcnn_cv.graph.passes import standard_passes
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.model import OnnxGraph
from mrcnn_cv.importers.onnx.ops import INSIDE, is_inside, is_layer, sources
from mrcnn_cv.importers.onnx.translation import GraphTranslation, Map

__all__ = ["Map", "Output", "beginnings", "extract_net"]


class Output(NamedTuple):
    """A tensor that a net puts out; `channels`: which of them, in which order (None: all as they are)."""

    tensor: str
    channels: Sequence[int] | None = None


def beginnings(graph: OnnxGraph, values: OnnxConstantFolder, tensors: Sequence[str]) -> list[str]:
    """The tensors that the layers before `tensors` begin at; constants are none."""
    queue = [graph.skip_identity(tensor) for tensor in tensors]
    seen, found = set(queue), []
    for tensor in queue:
        node = graph.producer(tensor)
        if node is None or not is_layer(graph, values, node):
            found.append(tensor)
            continue
        for source in sources(graph, values, node):
            if source not in seen:
                seen.add(source)
                queue.append(source)
    return found


def extract_net(
    graph: OnnxGraph,
    values: OnnxConstantFolder,
    starts: dict[str, Map],
    outputs: Sequence[Output],
    traced: bool = True,
) -> NetGraph:
    """The net from `starts` (tensor → the net's input) to `outputs`; its weights are views of the graph's constants.

    traced: sizes of maps in the graph are those of the image with which it was traced, and mean nothing; False: they
    are meant. Raises ModelFileError where something on the way is no layer, or is out of bounds.
    """
    translation = GraphTranslation(graph, values, starts, traced)
    for output in outputs:
        _order(translation, output)
    for output in outputs:
        _translate_all_before(translation, graph.skip_identity(output.tensor))
    made = [translation.maps[graph.skip_identity(output.tensor)] for output in outputs]
    if any(result.turned for result in made):
        raise ModelFileError("puts out a map whose axes are turned")
    return standard_passes(translation.net.finish([result.name for result in made]))


def _order(translation: GraphTranslation, output: Output) -> None:
    """Pass the wanted channels of an output up to the layer with weights that makes them."""
    tensor = translation.graph.skip_identity(output.tensor)
    while output.channels is not None:
        translation.orders[tensor] = output.channels
        node = translation.graph.producer(tensor)
        if node is None or node.op in ("Conv", "Gemm", "MatMul", "ConvTranspose"):
            return
        found = (
            sources(translation.graph, translation.values, node)
            if is_layer(translation.graph, translation.values, node)
            else []
        )
        if len(found) != 1 or node.op in ("Flatten", "Reshape"):
            raise ModelFileError(f"has a node '{node.name}' ({node.op}) where a layer makes its predictions")
        tensor = found[0]


def _translate_all_before(translation: GraphTranslation, tensor: str) -> None:
    stack = [tensor]
    while stack:
        name = stack[-1]
        if name in translation.maps:
            stack.pop()
            continue
        node = translation.graph.producer(name)
        if node is None or not is_inside(translation, node):
            raise ModelFileError(
                f"has a node '{name}' ({'an input' if node is None else node.op}) inside of its nets, which is not"
                " a layer of a Faster or Mask R-CNN that mrcnn-cv knows"
            )
        missing = [
            source for source in sources(translation.graph, translation.values, node) if source not in translation.maps
        ]
        if missing:
            stack.extend(missing)
            continue
        translation.maps[name] = INSIDE[node.op](translation, node)
