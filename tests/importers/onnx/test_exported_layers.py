"""NetGraph → ONNX → NetGraph: every layer comes back as what it was, with its numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.export.onnx import OPSET, to_onnx
from mrcnn_cv.graph.export.onnx_layers import RESIZE_BY_AXES
from mrcnn_cv.graph.passes import standard_passes
from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.importers.onnx.constant_folding import OnnxConstantFolder
from mrcnn_cv.importers.onnx.extract import Map, Output, extract_net
from mrcnn_cv.importers.onnx.model import OnnxGraph, read_onnx
from tests.graph import reference
from tests.graph.nets import HEAD, Case, Weights, cases, one

CASES = [
    *cases(),
    one("avg_pool_same_in_a_head", ir.AvgPool2d("pool", ("image",), (3, 3), (2, 2), "same"), shapes=HEAD),
    one("pad_in_a_head", ir.Pad("pad", ("image",), (1, 0, 2, 3)), ir.Flatten("rows", ("pad",)), shapes=HEAD),
    one("upsample_in_a_head", ir.Upsample("up", ("image",), (3, 2)), ir.Flatten("rows", ("up",)), shapes=HEAD),
]


def read(graph: OnnxGraph) -> ir.NetGraph:
    """The net of a graph that our exporter wrote."""
    channels, *sides = graph.inputs["image"][1:]
    size = None
    if channels is not None and None not in sides:
        size = (channels, *(int(side or 0) for side in sides or (1, 1)))
    start = Map("image", size if size is None else (size[0], size[1], size[2]), flat=not sides)
    outputs = [Output(name) for name in graph.outputs]
    return extract_net(graph, OnnxConstantFolder(graph), {"image": start}, outputs, traced=False)


def round_trip(net: ir.NetGraph, folder: Path, shape: tuple[int | None, ...] | None, opset: int = OPSET) -> ir.NetGraph:
    path = folder / "net.onnx"
    path.write_bytes(to_onnx(net, None if shape is None else {"image": shape}, opset))
    return read(read_onnx(path))


def expect_equal(case: Case, found: ir.NetGraph) -> None:
    kinds = [sorted(layer.op for layer in standard_passes(net)) for net in (case.net, found)]
    assert kinds[0] == kinds[1]
    for inputs in case.inputs():
        for again, first in zip(reference.run(found, inputs), reference.run(case.net, inputs), strict=True):
            np.testing.assert_allclose(again, first, atol=2e-6, rtol=1e-5)


def test_every_layer_is_among_the_cases() -> None:
    assert {type(layer) for case in CASES for layer in case.net} == set(ir.LAYERS)


@pytest.mark.parametrize("opset", [OPSET, RESIZE_BY_AXES])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_written_is_read_back(case: Case, opset: int, tmp_path: Path) -> None:
    expect_equal(case, round_trip(case.net, tmp_path, None, opset))


@pytest.mark.parametrize("case", [case for case in CASES if len(set(case.shapes)) == 1], ids=str)
def test_so_it_is_where_sizes_are_known(case: Case, tmp_path: Path) -> None:
    expect_equal(case, round_trip(case.net, tmp_path, (None, *case.shapes[0])))


def _resize(attribute: str, value: bytes) -> pb.ModelProto:
    case = one("resize", ir.Resize("resize", ("image",), (5, 5), "bilinear", "half_pixel"))
    model = pb.ModelProto.FromString(to_onnx(case.net))
    (node,) = (node for node in model.graph.node if node.op_type == "Resize")
    found = next((each for each in node.attribute if each.name == attribute), None) or node.attribute.add()
    found.name, found.s, found.type = attribute, value, pb.AttributeProto.STRING
    return model


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("mode", b"cubic"),
        ("coordinate_transformation_mode", b"tf_crop_and_resize"),
        ("keep_aspect_ratio_policy", b"not_larger"),
    ],
)
def test_other_resizing_is_refused(attribute: str, value: bytes) -> None:
    with pytest.raises(ModelFileError, match="resizes a map in a way that is not supported"):
        read(OnnxGraph(_resize(attribute, value)))


def test_turned_maps_go_into_rows_only() -> None:
    """A map of (N, H, W, C) that something else takes would be computed with as one of (N, C, H, W)."""
    weights = Weights(5)
    layers = (ir.Flatten("rows", ("image",), True), ir.Linear("end", ("rows",), weights.of(3, 6 * 49)))
    model = pb.ModelProto.FromString(to_onnx(one("turned", *layers).net))
    turned = next(node for node in model.graph.node if node.op_type == "Transpose")
    model.graph.node.add(op_type="Relu", name="relu", input=turned.output, output=["relu"])
    model.graph.output[0].name = "relu"
    with pytest.raises(ModelFileError, match="'relu' \\(Relu\\) that takes a map whose axes are turned"):
        read(OnnxGraph(model))
    model.graph.output[0].name = turned.output[0]
    with pytest.raises(ModelFileError, match="puts out a map whose axes are turned"):
        read(OnnxGraph(model))
