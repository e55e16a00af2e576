"""Translate the part of an ONNX graph that a net needs into TensorFlow's layers, which `stagegraph` cuts and writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.onnx.constant_folding import OnnxEvaluator
from mrcnn_cv.importers.onnx.model import OnnxGraph
from mrcnn_cv.importers.onnx.ops import LAYERS, is_layer, sources
from mrcnn_cv.importers.onnx.translation import Map, Translation
from mrcnn_cv.importers.tensorflow.extract import PIXELS_AS_ROWS, cut_stage
from mrcnn_cv.importers.tensorflow.graphdef import Graph
from mrcnn_cv.model.definition import StageGraph

__all__ = ["Map", "Output", "beginnings", "cut_onnx_stage"]


class Output(NamedTuple):
    """A tensor that a net puts out; `channels`: which of them, in which order (None: all as they are)."""

    tensor: str
    channels: Sequence[int] | None = None


def beginnings(graph: OnnxGraph, values: OnnxEvaluator, tensors: Sequence[str]) -> list[str]:
    """The tensors that the layers before `tensors` begin at; constants are none."""
    queue = [graph.behind(tensor) for tensor in tensors]
    seen, found = set(queue), []
    for tensor in queue:
        node = graph.maker(tensor)
        if node is None or not is_layer(graph, values, node):
            found.append(tensor)
            continue
        for source in sources(graph, values, node):
            if source not in seen:
                seen.add(source)
                queue.append(source)
    return found


def cut_onnx_stage(
    graph: OnnxGraph, values: OnnxEvaluator, starts: dict[str, Map], outputs: Sequence[Output]
) -> StageGraph:
    """The net from `starts` (tensor → the net's input) to `outputs`."""
    translation = Translation(graph, values, starts)
    names = _translate(translation, outputs)
    inputs = {start.name: start.name for start in starts.values()}
    return cut_stage(Graph(translation.nodes), inputs, names)


def _translate(translation: Translation, outputs: Sequence[Output]) -> list[str]:
    """Translate everything that `outputs` need; returns the names of their nodes."""
    for output in outputs:
        _order(translation, output)
    for output in outputs:
        _translate_all_before(translation, translation.graph.behind(output.tensor))
    found = [translation.maps[translation.graph.behind(output.tensor)] for output in outputs]
    return [_as_rows(translation, each) if each.pixels else each.name for each in found]


def _as_rows(translation: Translation, found: Map) -> str:
    return translation.append(f"{found.name}/rows", PIXELS_AS_ROWS, [found.name], length=found.pixels)


def _order(translation: Translation, output: Output) -> None:
    """Pass the wanted channels of an output up to the layer with weights that makes them."""
    tensor = translation.graph.behind(output.tensor)
    while output.channels is not None:
        translation.orders[tensor] = output.channels
        node = translation.graph.maker(tensor)
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


def _translate_all_before(translation: Translation, tensor: str) -> None:
    stack = [tensor]
    while stack:
        name = stack[-1]
        if name in translation.maps:
            stack.pop()
            continue
        node = translation.graph.maker(name)
        if node is None or not is_layer(translation.graph, translation.values, node):
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
        translation.maps[name] = LAYERS[node.op](translation, node)
