"""Other spellings of the same graph, as other exporters and tools write it, give the same answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv import Instances, MaskRCNN
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.object_detection_api.family import read_model
from mrcnn_cv.importers.object_detection_api.pipeline_config import PipelineConfig
from mrcnn_cv.importers.tensorflow.graphdef import Graph, node_name, tensor_value
from tests.importers.graphs import Builder, by_name, read, rename, set_value
from tests.support.parity import Image
from tests.support.rows import sampled

Edit = Callable[[pb.GraphDef], None]
NMS = "NonMaxSuppressionV5"
FOLDED = frozenset({"Conv2D", "DepthwiseConv2dNative", "FusedBatchNormV3", "Relu", "BiasAdd", "MatMul", "Mul", "Sub"})


def predict(path: Path, photo: Image) -> Instances:
    model = MaskRCNN.load(path, backend="cpu")
    return model.predict(photo, score_threshold=0.1, max_instances=50)


@pytest.fixture(scope="module")
def expected(graphs: Path, photo: Image) -> dict[str, Instances]:
    """What the graphs as they are find."""
    names = ("tiny_mask_rcnn", "tiny_mask_rcnn_agnostic", "tiny_faster_rcnn")
    return {name: predict(graphs / name / "frozen_inference_graph.pb", photo) for name in names}


def check(found: Instances, expected: Instances, tolerance: float) -> None:
    assert len(found) == len(expected) > 3
    assert found.class_ids.tolist() == expected.class_ids.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=tolerance)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=tolerance * 100)
    assert (found.mask_probabilities is None) == (expected.mask_probabilities is None)
    if found.mask_probabilities is not None and expected.mask_probabilities is not None:
        np.testing.assert_allclose(found.mask_probabilities, expected.mask_probabilities, atol=tolerance * 10)


def reverse(message: pb.GraphDef) -> None:
    nodes = [pb.NodeDef.FromString(node.SerializeToString()) for node in message.node]
    del message.node[:]
    message.node.extend(reversed(nodes))


def under_import(message: pb.GraphDef) -> None:
    """As tf.import_graph_def names everything."""
    rename(message, lambda name: f"import/{name}")


def old_op_names(message: pb.GraphDef) -> None:
    old = {"FusedBatchNormV3": "FusedBatchNorm", "AddV2": "Add"}
    for node in message.node:
        node.op = old.get(node.op, node.op)


def without_raw_outputs(message: pb.GraphDef) -> None:
    kept = [
        pb.NodeDef.FromString(n.SerializeToString()) for n in message.node if not n.name.startswith("raw_detection")
    ]
    del message.node[:]
    message.node.extend(kept)


def with_control_dependencies(message: pb.GraphDef) -> None:
    first = message.node[0].name
    message.node.add(name="init", op="NoOp", input=[f"^{first}"])
    for node in message.node:
        if node.op in FOLDED | {"Const", "Identity", "CropAndResize", NMS}:
            node.input.append("^init")


def with_explicit_ports(message: pb.GraphDef) -> None:
    """`node:0` says the same as `node`."""
    for node in message.node:
        for index, tensor in enumerate(node.input):
            if ":" not in tensor and not tensor.startswith("^"):
                node.input[index] = f"{tensor}:0"


def with_identities(message: pb.GraphDef) -> None:
    """As transform tools and dropout leave them: one on every way into a layer."""
    builder = Builder(message)
    for node in list(message.node):
        if node.op in FOLDED | {"ConcatV2", "MaxPool", "AvgPool", "CropAndResize", "Mean", "ResizeBilinear", NMS}:
            for index, tensor in enumerate(tensor for tensor in node.input if not tensor.startswith("^")):
                node.input[index] = builder.node(f"{node.name}/through_{index}", "Identity", [tensor])


def with_leftovers(message: pb.GraphDef) -> None:
    """What training leaves: summaries of layers, losses on weights, sizes that are read."""
    builder = Builder(message)
    for node in list(message.node):
        if node.op == "Conv2D":
            builder.node(f"{node.name}/summary", "HistogramSummary", [node.name])
            builder.node(f"{node.name}/loss", "L2Loss", [node.input[1]])
            builder.node(f"{node.name}/size", "Shape", [node.name])


def with_unfused_batch_norm(message: pb.GraphDef) -> None:
    """x * factor + shift with constants, as Graph Transform's fold_old_batch_norms and others leave it."""
    nodes, builder = by_name(message), Builder(message)

    def value(tensor: str) -> np.ndarray:
        node = nodes[node_name(tensor)]
        return tensor_value(nodes[node_name(node.input[0])] if node.op == "Identity" else node)

    for node in list(message.node):
        if node.op == "FusedBatchNormV3":
            gamma, beta, mean, variance = (value(tensor).astype(np.float64) for tensor in node.input[1:5])
            factor = gamma / np.sqrt(variance + node.attr["epsilon"].f)
            builder.const(f"{node.name}/factor", factor)
            builder.const(f"{node.name}/shift", beta - mean * factor)
            builder.node(f"{node.name}/scaled", "Mul", [node.input[0], f"{node.name}/factor"])
            node.op = "Add"
            node.input[:] = [f"{node.name}/scaled", f"{node.name}/shift"]


def with_half_weights(message: pb.GraphDef) -> None:
    """Weights kept as float16, with a Cast on the way (a quantize_weights transform)."""
    builder = Builder(message)
    for node in list(message.node):
        if node.op == "Const" and node.name.endswith("/weights"):
            value = tensor_value(node)
            node.name = f"{node.name}_half"
            set_value(node, value.astype(np.float16))
            builder.node(node.name.removesuffix("_half"), "Cast", [node.name], DstT=1)


def with_dynamic_flatten(message: pb.GraphDef) -> None:
    """slim.flatten before 2018 read the number of regions off its input."""
    builder, found = Builder(message), 0
    for name, value in (("f0", [0]), ("f1", [1])):
        builder.const(name, value, "int32")
    builder.const("rest", -1, "int32")
    for node in list(message.node):
        if node.op == "Reshape" and "/flatten/" in node.name:
            builder.node(f"{node.name}/all", "Shape", [node.input[0]])
            builder.node(
                f"{node.name}/batch", "StridedSlice", [f"{node.name}/all", "f0", "f1", "f1"], shrink_axis_mask=1
            )
            node.input[1] = builder.node(f"{node.name}/packed", "Pack", [f"{node.name}/batch", "rest"])
            found += 1
    assert found == 2


def with_resizer_of_2018(message: pb.GraphDef) -> None:
    """The limits are divided by the sides of the image, instead of being cut from pairs."""
    builder, nodes = Builder(message), by_name(message)
    scope = "Preprocessor/map/while/ResizeToRange/cond/"
    if f"{scope}stack" not in nodes:
        return
    for name, value in (("low", 96.0), ("high", 160.0)):
        builder.const(f"{scope}{name}", value)
    for name, limit in (("", "low"), ("_1", "high")):
        nodes[f"{scope}resize/truediv{name}"].input[0] = f"{scope}{limit}"
        nodes[f"{scope}resize_1/truediv{name}"].input[0] = f"{scope}{'high' if limit == 'low' else 'low'}"


def with_nms_v3(message: pb.GraphDef) -> None:
    for node in message.node:
        if node.op == NMS:
            node.op = "NonMaxSuppressionV3"
            del node.input[5:]


def with_nms_v4(message: pb.GraphDef) -> None:
    for node in message.node:
        if node.op == NMS:
            node.op = "NonMaxSuppressionV4"
            del node.input[5:]


def filter_before(message: pb.GraphDef, node: pb.NodeDef) -> None:
    """The score filter of exporters before 2019: Greater, Where, Gather in front of a suppression without threshold."""
    builder = Builder(message)
    scope = node.name.rpartition("/")[0].rpartition("/")[0] + f"/FilterGreaterThan_{node.name.split('/')[-2]}"
    boxes, scores, threshold = node.input[0], node.input[1], node.input[4]
    builder.node(f"{scope}/Greater", "Greater", [scores, threshold])
    builder.node(f"{scope}/Where", "Where", [f"{scope}/Greater"])
    builder.const(f"{scope}/shape", [-1], "int32")
    builder.node(f"{scope}/Reshape", "Reshape", [f"{scope}/Where", f"{scope}/shape"])
    builder.node(f"{scope}/Cast", "Cast", [f"{scope}/Reshape"], DstT=3)
    for index, source in enumerate((boxes, scores)):
        node.input[index] = builder.node(f"{scope}/Gather{index}", "Gather", [source, f"{scope}/Cast"])


def with_filter_and_nms_v3(message: pb.GraphDef) -> None:
    """NonMaxSuppressionV3 of TensorFlow 1.9 to 1.12: its own threshold is minus infinity."""
    builder = Builder(message)
    builder.const("minus_infinity", -np.inf)
    for node in list(message.node):
        if node.op == NMS:
            filter_before(message, node)
            node.op = "NonMaxSuppressionV3"
            node.input[4] = "minus_infinity"
            del node.input[5:]


def with_filter_and_nms_v2(message: pb.GraphDef) -> None:
    for node in list(message.node):
        if node.op == NMS:
            filter_before(message, node)
            node.op = "NonMaxSuppressionV2"
            del node.input[4:]


def with_filter_and_nms_v1(message: pb.GraphDef) -> None:
    """The first NonMaxSuppression has its IoU threshold as an attribute."""
    nodes = by_name(message)
    for node in list(message.node):
        if node.op == NMS:
            filter_before(message, node)
            node.op = "NonMaxSuppression"
            node.attr["iou_threshold"].f = float(tensor_value(nodes[node_name(node.input[3])]))
            del node.input[3:]


def the_whole_of_2018(message: pb.GraphDef) -> None:
    for edit in (
        without_raw_outputs,
        old_op_names,
        with_filter_and_nms_v2,
        with_dynamic_flatten,
        with_resizer_of_2018,
        with_identities,
        under_import,
        reverse,
    ):
        edit(message)


EXACT: list[Edit] = [
    reverse,
    under_import,
    old_op_names,
    without_raw_outputs,
    with_control_dependencies,
    with_explicit_ports,
    with_identities,
    with_dynamic_flatten,
    with_resizer_of_2018,
    with_nms_v3,
    with_nms_v4,
    with_filter_and_nms_v3,
    with_filter_and_nms_v2,
    with_filter_and_nms_v1,
    the_whole_of_2018,
]


@pytest.mark.parametrize("edit", sampled(EXACT, 4), ids=lambda edit: edit.__name__)
def test_another_spelling_changes_nothing(
    tiny_graph: Path, tmp_path: Path, photo: Image, expected: dict[str, Instances], edit: Edit
) -> None:
    message = read(tiny_graph)
    before = message.SerializeToString(deterministic=True)
    edit(message)
    assert message.SerializeToString(deterministic=True) != before
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    check(predict(path, photo), expected["tiny_mask_rcnn"], 0)


@pytest.mark.parametrize("name", ["tiny_mask_rcnn_agnostic", "tiny_faster_rcnn"])
def test_nor_in_the_other_architectures(
    graphs: Path, tmp_path: Path, photo: Image, expected: dict[str, Instances], name: str
) -> None:
    message = read(graphs / name / "frozen_inference_graph.pb")
    the_whole_of_2018(message)
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    check(predict(path, photo), expected[name], 0)


@pytest.mark.parametrize(
    ("edit", "tolerance"),
    [(with_leftovers, 1e-4), (with_unfused_batch_norm, 1e-4)],
    ids=["leftovers", "unfused batch norm"],
)
def test_another_arithmetic_changes_next_to_nothing(
    tiny_graph: Path, tmp_path: Path, photo: Image, expected: dict[str, Instances], edit: Edit, tolerance: float
) -> None:
    message = read(tiny_graph)
    edit(message)
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    check(predict(path, photo), expected["tiny_mask_rcnn"], tolerance)


def test_weights_of_half_precision_count_as_they_are(tiny_graph: Path, tmp_path: Path, photo: Image) -> None:
    """The answer is that of the same graph with weights rounded to half precision beforehand."""
    rounded, halves = read(tiny_graph), read(tiny_graph)
    for node in rounded.node:
        if node.op == "Const" and node.name.endswith("/weights"):
            set_value(node, tensor_value(node).astype(np.float16).astype(np.float32))
    with_half_weights(halves)
    answers = []
    for name, message in (("rounded.pb", rounded), ("halves.pb", halves)):
        (tmp_path / name).write_bytes(message.SerializeToString())
        answers.append(predict(tmp_path / name, photo))
    check(answers[1], answers[0], 0)


def clip_before(message: pb.GraphDef, node: pb.NodeDef) -> None:
    """ClipToWindow of exporters until 2018: boxes are cut to the window, those without area go with their scores."""
    builder = Builder(message)
    scope = node.name.rpartition("/")[0].rpartition("/")[0] + f"/ClipToWindow_{node.name.split('/')[-2]}"
    builder.const(f"{scope}/split/split_dim", 1, "int32")
    split = builder.node(f"{scope}/split", "Split", [f"{scope}/split/split_dim", node.input[0]], num_split=4)
    builder.const(f"{scope}/zero", 0.0)
    builder.const(f"{scope}/one", 1.0)
    sides = []
    for index in range(4):
        low = builder.node(f"{scope}/Minimum_{index}", "Minimum", [f"{split}:{index}", f"{scope}/one"])
        sides.append(builder.node(f"{scope}/Maximum_{index}", "Maximum", [low, f"{scope}/zero"]))
    builder.const(f"{scope}/axis", 1, "int32")
    clipped = builder.node(f"{scope}/concat", "ConcatV2", [*sides, f"{scope}/axis"])
    height = builder.node(f"{scope}/Area/sub", "Sub", [sides[2], sides[0]])
    width = builder.node(f"{scope}/Area/sub_1", "Sub", [sides[3], sides[1]])
    area = builder.node(f"{scope}/Area/mul", "Mul", [height, width])
    solid = builder.node(f"{scope}/Greater", "Greater", [area, f"{scope}/zero"])
    where = builder.node(f"{scope}/Where", "Where", [solid])
    for index, source in enumerate((clipped, node.input[1])):
        node.input[index] = builder.node(f"{scope}/Gather{index}", "Gather", [source, where])


def test_exporters_that_clip_first_are_recognised(tiny_graph: Path) -> None:
    """Until 2018 each class filtered its boxes by score, then clipped them, then suppressed."""
    message = read(tiny_graph)
    for node in list(message.node):
        if node.op == NMS:
            filter_before(message, node)
            clip_before(message, node)
            node.op = "NonMaxSuppressionV2"
            del node.input[4:]
    older, newer = (read_model(Graph(one.node), PipelineConfig()) for one in (message, read(tiny_graph)))
    assert older.proposal_nms == replace(newer.proposal_nms, clip_first=True)
    assert older.detection_nms == replace(newer.detection_nms, clip_first=True)
    assert not newer.proposal_nms.clip_first
    assert not newer.detection_nms.clip_first
    assert (older.box_coder, older.score_activation, older.logit_factor) == (newer.box_coder, "softmax", 1.0)


def test_anchors_elsewhere_give_boxes_elsewhere(tiny_graph: Path, tmp_path: Path, photo: Image) -> None:
    """The offset of the anchors is read from the graph, and it matters."""
    message = read(tiny_graph)
    set_value(by_name(message)["GridAnchorGenerator/Const_2"], np.array([8, 8], np.int32))
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    moved = MaskRCNN.load(path, backend="cpu")
    assert moved.definition.anchors[0].offset == (8, 8)
    plain = MaskRCNN.load(tiny_graph, backend="cpu")
    a, b = (m.predict(photo, score_threshold=0.05).boxes for m in (plain, moved))
    # The best of each.
    assert np.abs(a[0] - b[0]).max() > 1
