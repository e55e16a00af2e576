"""Graphs behind tools for faster inference give the same answers: TensorFlow's optimize_for_inference, and Grappler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from mrcnn_cv.importers.tensorflow.fused_ops import unfused
from mrcnn_cv.importers.tensorflow.graphdef import Graph, node_name, tensor_value
from tests.conftest import DATA, load_golden
from tests.importers.graphs import Builder, by_name, read, set_value
from tests.importers.object_detection_api.test_variants import check, predict, with_unfused_batch_norm
from tests.support.parity import Image, check_parity
from tests.support.rows import sampled


def remove(message: pb.GraphDef, names: set[str]) -> None:
    kept = [pb.NodeDef.FromString(node.SerializeToString()) for node in message.node if node.name not in names]
    del message.node[:]
    message.node.extend(kept)


def with_reciprocals(message: pb.GraphDef) -> None:
    """Constant folding multiplies with 1 / x instead of dividing by x, and lists no values for zeros."""
    nodes, found = by_name(message), 0
    for node in message.node:
        if node.op == "RealDiv" and node.name.startswith("Decode") and nodes[node.input[1]].op == "Const":
            divisor = nodes[node.input[1]]
            node.op = "Mul"
            node.input[:] = [node.input[1], node.input[0]] if found % 2 else node.input[:]
            set_value(divisor, np.float32(1) / tensor_value(divisor).astype(np.float32))
            found += 1
        elif node.op == "Const" and node.attr["value"].tensor.dtype == pb.DT_INT32 and not tensor_value(node).any():
            node.attr["value"].tensor.ClearField("int_val")
            node.attr["value"].tensor.ClearField("tensor_content")
    assert found >= 8


def with_joined_resize(message: pb.GraphDef) -> None:
    """optimize_for_inference joins a resize with the convolution after it."""
    nodes, builder = by_name(message), Builder(message)
    for node in list(message.node):
        source = nodes.get(node_name(node.input[0])) if node.op == "Conv2D" else None
        if source is not None and source.op == "ResizeBilinear":
            builder.const(f"{node.name}/paddings", np.zeros((4, 2)), "int32")
            node.op = "FusedResizeAndPadConv2D"
            node.input[:] = [*source.input, f"{node.name}/paddings", node.input[1]]
            node.attr["resize_align_corners"].b = source.attr["align_corners"].b
            node.attr["mode"].s = b"REFLECT"
            remove(message, {source.name})
            return
    raise AssertionError("no convolution behind a resize")


def with_joined_layers(message: pb.GraphDef) -> None:
    """Grappler's remapper joins layers with their biases, and batch norms with their activations."""
    nodes, gone = by_name(message), set()
    joined = {"Conv2D": "_FusedConv2D", "MatMul": "_FusedMatMul"}
    for node in message.node:
        source = nodes.get(node_name(node.input[0])) if node.op in ("BiasAdd", "Relu") else None
        if source is None:
            continue
        if node.op == "BiasAdd" and source.op in joined:
            node.op = joined[source.op]
            node.input[:] = [*source.input, node.input[1]]
            node.attr["fused_ops"].list.s.append(b"BiasAdd")
            node.attr["num_args"].i = 1
        elif node.op == "Relu" and source.op == "FusedBatchNormV3":
            node.op = "_FusedBatchNormEx"
            node.input[:] = source.input
            node.attr["activation_mode"].s = b"Relu"
        else:
            continue
        for key in ("strides", "padding", "transpose_a", "transpose_b", "epsilon", "is_training", "data_format"):
            if key in source.attr:
                node.attr[key].CopyFrom(source.attr[key])
        gone.add(source.name)
    assert len(gone) > 20
    remove(message, gone)


def with_sums_in_a_row(message: pb.GraphDef) -> None:
    """Grappler's arithmetic optimizer adds a batch norm's shift last, and a residual unit to its shortcut by AddN."""
    with_unfused_batch_norm(message)
    nodes, builder, gone = by_name(message), Builder(message), set()
    for node in list(message.node):
        norm = nodes.get(node_name(node.input[1])) if node.op == "AddV2" else None
        if norm is not None and norm.name.endswith("FusedBatchNormV3"):
            scaled, shift = norm.input
            node.input[:] = [shift, builder.node(f"{node.name}/leaf", "AddN", [node.input[0], scaled])]
            gone.add(norm.name)
    assert len(gone) >= 12
    remove(message, gone)


def with_folded_paddings(message: pb.GraphDef) -> None:
    """Constant folding leaves only numbers of the paddings that a dilated convolution reads from a constant table."""
    values, nodes = TensorFlowConstantFolder(Graph(message.node)), by_name(message)
    slices = {name for name, node in nodes.items() if node.op == "StridedSlice" and "space_to_batch" in name}
    folded = {name: values.value(name) for name in slices if nodes[nodes[name].input[0]].op == "Const"}
    assert len(folded) > 10
    for name, node in nodes.items():
        if name in folded:
            node.Clear()
            node.name, node.op = name, "Const"
            set_value(node, folded[name])
        elif node.op == "SpaceToBatchND":
            # The slice that takes all of them goes, too.
            node.input[2] = f"{name.rpartition('/')[0]}/required_space_to_batch_paddings/paddings"


@pytest.mark.parametrize("edit", [with_sums_in_a_row, with_folded_paddings], ids=lambda edit: edit.__name__)
def test_an_optimised_resnet_gives_tensorflows_answers(
    graphs: Path, tmp_path: Path, edit: Callable[[pb.GraphDef], None]
) -> None:
    message = read(graphs / "tiny_resnet50_atrous" / "frozen_inference_graph.pb")
    edit(message)
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    golden = load_golden(DATA, "tiny_resnet50_atrous/coffee")
    model = MaskRCNN.load(path, backend="cpu")
    check_parity(model.predict(golden.image, score_threshold=None), golden, model.definition)


@pytest.mark.parametrize(
    "edits",
    sampled(
        [[with_reciprocals], [with_joined_resize], [with_joined_layers], [with_joined_layers, with_reciprocals]], 4
    ),
    ids=["folded", "resize joined", "layers joined", "all"],
)
def test_an_optimised_graph_gives_the_same_answers(
    tiny_graph: Path, tmp_path: Path, photo: Image, edits: list[Callable[[pb.GraphDef], None]]
) -> None:
    message = read(tiny_graph)
    for edit in edits:
        edit(message)
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    check(predict(path, photo), predict(tiny_graph, photo), 1e-4)


def test_a_mirrored_border_is_refused(tiny_graph: Path, tmp_path: Path) -> None:
    message = read(tiny_graph)
    with_joined_resize(message)
    paddings = next(node for node in message.node if node.name.endswith("/paddings") and node.op == "Const")
    assert by_name(message)[paddings.name.removesuffix("/paddings")].op == "FusedResizeAndPadConv2D"
    set_value(paddings, np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    with pytest.raises(ModelFileError, match="mirrored border"):
        MaskRCNN.load(path, backend="cpu")


def fused(op: str, inputs: list[str], follow: list[bytes]) -> pb.NodeDef:
    node = pb.NodeDef(name="layer", op=op, input=inputs)
    node.attr["fused_ops"].list.s.extend(follow)
    return node


def test_a_layer_with_all_that_follows() -> None:
    node = fused("_FusedConv2D", ["x", "w", "g", "b", "m", "v", "^first"], [b"FusedBatchNorm", b"Relu6"])
    node.attr["epsilon"].f = 0.5
    parts = list(unfused([node]))
    assert [part.op for part in parts] == ["Conv2D", "FusedBatchNorm", "Relu6"]
    assert [list(part.input) for part in parts] == [
        ["x", "w", "^first"],
        ["layer/part_0", "g", "b", "m", "v"],
        ["layer/part_1"],
    ]
    assert parts[-1].name == "layer"
    assert parts[1].attr["epsilon"].f == 0.5


def test_a_batch_norm_with_a_sum() -> None:
    node = pb.NodeDef(name="norm", op="_FusedBatchNormEx", input=["x", "g", "b", "m", "v", "other"])
    node.attr["num_side_inputs"].i = 1
    node.attr["activation_mode"].s = b"Relu"
    assert [part.op for part in unfused([node])] == ["FusedBatchNormV3", "Add", "Relu"]


def test_a_row_of_sums() -> None:
    parts = list(unfused([pb.NodeDef(name="sum", op="AddN", input=["x", "y", "z", "^first"])]))
    assert [(part.name, part.op, list(part.input)) for part in parts] == [
        ("sum/part_0", "AddV2", ["x", "y", "^first"]),
        ("sum", "AddV2", ["sum/part_0", "z"]),
    ]


@pytest.mark.parametrize(
    "node",
    [
        pb.NodeDef(name="sum", op="AddN", input=["x", "^first"]),
        fused("_FusedConv2D", ["x", "w"], []),
        fused("_FusedConv2D", ["x", "w"], [b"BiasAdd"]),
        fused("_FusedConv2D", ["x", "w", "b", "more"], [b"BiasAdd"]),
        fused("_FusedMatMul", ["x", "w", "b"], [b"BiasAdd", b"LeakyRelu"]),
        pb.NodeDef(name="norm", op="_FusedBatchNormEx", input=["x", "g"]),
        pb.NodeDef(name="resize", op="FusedResizeAndPadConv2D", input=["x"]),
    ],
)
def test_what_cannot_be_taken_apart_stays(node: pb.NodeDef) -> None:
    assert list(unfused([node])) == [node]
