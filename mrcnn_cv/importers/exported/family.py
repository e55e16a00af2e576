"""The family of our own exports: numbers from model.json, nets from the ONNX files beside it.

They come from strangers as any model does. The files have fixed names, and are those that model.json was written with.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from math import prod
from pathlib import Path

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import CROPS, IMAGE, NetGraph
from mrcnn_cv.importers.base import named
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.extract import Map, Output, extract_net
from mrcnn_cv.importers.onnx.model import OnnxGraph, read_onnx
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.definition_json import NET_FILES, NetFile, read_document

MAX_SIDE = 1 << 16
"""Of what a net says that it takes."""

_PIECE = 1 << 24


def read_model(path: Path) -> ModelDefinition:
    """The ModelDefinition of a model.json; its nets are views of the files beside it.

    Raises ModelFileError, one sentence with the path of the file that is wrong.
    """
    document = read_document(path)
    definition = document.definition
    levels = len(definition.anchors)
    counts = {"trunk": range(2 * levels + 1, 64 + 2 * levels), "box_head": range(2, 3), "mask_head": range(1, 2)}
    nets = {
        field: _net(path.with_name(NET_FILES[field]), file, IMAGE if field == "trunk" else CROPS, counts[field])
        for field, file in document.files.items()
    }
    return replace(definition, trunk=nets["trunk"], box_head=nets["box_head"], mask_head=nets.get("mask_head"))


def size_of_nets(path: Path) -> int:
    """Bytes of the files that belong to a model.json."""
    return sum(file.bytes for file in read_document(path).files.values())


def _net(path: Path, file: NetFile, taken: str, outputs: range) -> NetGraph:
    if not os.path.isfile(path):
        raise ModelFileError(
            f"there is no {path}, which belongs to the model: copy the whole folder, or export it again"
        )
    graph = read_onnx(path)
    with named(path):
        _check_content(graph, file)
        if list(graph.inputs) != [taken]:
            raise ModelFileError(f"does not take one input '{taken}', so it is not a net of an exported model")
        if len(graph.outputs) not in outputs or len(set(graph.outputs)) != len(graph.outputs):
            raise ModelFileError(f"has {len(graph.outputs)} outputs, which do not belong to the model")
        start = _start(graph, taken)
        net = extract_net(
            graph, OnnxConstantFolder(graph), {taken: start}, [Output(name) for name in graph.outputs], False
        )
    return replace(net, source=graph.file)


def _check_content(graph: OnnxGraph, file: NetFile) -> None:
    assert graph.file is not None
    data = graph.file.data
    digest = hashlib.sha256()
    if len(data) == file.bytes:
        for start in range(0, len(data), _PIECE):
            digest.update(data[start : start + _PIECE])
    if len(data) != file.bytes or digest.hexdigest() != file.sha256:
        raise ModelFileError(
            "is not the file that model.json was written with: copy the whole folder again, or export the model again"
        )


def _start(graph: OnnxGraph, taken: str) -> Map:
    """What a net takes, as it says itself; whether that is what it gets is checked with the shapes of all layers."""
    _, *sides = graph.inputs[taken] or (None,)
    known = [side for side in sides if side is not None]
    if len(sides) not in (1, 3) or not all(1 <= side <= MAX_SIDE for side in known) or prod(known) > 1 << 32:
        raise ModelFileError(f"takes an input '{taken}' of a shape that cannot be")
    if len(known) < len(sides):
        return Map(taken, flat=len(sides) == 1)
    if len(sides) == 1:
        return Map(taken, (known[0], 1, 1), flat=True)
    channels, height, width = known
    return Map(taken, (channels, height, width))
