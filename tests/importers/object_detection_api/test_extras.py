"""What a graph computes besides its detections is left alone: masks in the image, features, boxes in pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.object_detection_api.family import read_model
from mrcnn_cv.importers.object_detection_api.pipeline_config import PipelineConfig
from mrcnn_cv.importers.tensorflow.graphdef import Graph
from tests.conftest import DATA, load_golden
from tests.importers.graphs import Builder, by_name, read
from tests.support.parity import check_parity

NMS = "NonMaxSuppressionV5"


def with_pasted_masks(message: pb.GraphDef) -> None:
    """As `reframe_box_masks_to_image_masks` puts each mask into the image: by a crop of the mask itself."""
    builder = Builder(message)
    for name, value in (("axis", 3), ("first", 0), ("size", [240, 160])):
        builder.const(f"pasted/{name}", value, "int32")
    builder.const("pasted/half", 0.5)
    boxes = builder.node("pasted/boxes", "Squeeze", ["detection_boxes"])
    masks = builder.node("pasted/masks", "Squeeze", ["detection_masks"])
    stacked = builder.node("pasted/stacked", "ExpandDims", [masks, "pasted/axis"])
    inverse = builder.node("pasted/inverse", "Reciprocal", [boxes])
    each = builder.node("pasted/each", "Range", ["pasted/first", "num_detections", "pasted/first"])
    image = builder.node("pasted/CropAndResize", "CropAndResize", [stacked, inverse, each, "pasted/size"])
    builder.node("detection_masks_in_the_image", "Greater", [image, "pasted/half"])


def with_global_boxes(message: pb.GraphDef) -> None:
    """Detections in pixels of the image."""
    builder = Builder(message)
    shape = builder.node("global/shape", "Shape", ["image_tensor"])
    size = builder.node("global/size", "Cast", [shape], DstT=1)
    builder.node("detection_boxes_global", "Mul", ["detection_boxes", size])


def with_another_suppression(message: pb.GraphDef) -> None:
    """What was found is thinned out once more, over all classes."""
    builder = Builder(message)
    builder.const("again/count", 5, "int32")
    builder.const("again/overlap", 0.2)
    boxes = builder.node("again/boxes", "Squeeze", ["detection_boxes"])
    scores = builder.node("again/scores", "Squeeze", ["detection_scores"])
    kept = builder.node("again/kept", "NonMaxSuppressionV3", [boxes, scores, "again/count", "again/overlap"])
    builder.node("detection_boxes_again", "GatherV2", [boxes, kept])


def with_all_of_it(message: pb.GraphDef) -> None:
    for edit in (with_pasted_masks, with_global_boxes, with_another_suppression):
        edit(message)


@pytest.mark.parametrize(
    "edit",
    [with_pasted_masks, with_global_boxes, with_another_suppression, with_all_of_it],
    ids=lambda edit: edit.__name__,
)
def test_extras_change_nothing(tiny_graph: Path, tmp_path: Path, edit: Callable[[pb.GraphDef], None]) -> None:
    message = read(tiny_graph)
    edit(message)
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    golden = load_golden(DATA, "tiny_mask_rcnn/coffee")
    model = MaskRCNN.load(path, backend="cpu")
    check_parity(model.predict(golden.image, score_threshold=None), golden, model.definition)


def test_crops_for_features_are_no_mask_branch(graphs: Path) -> None:
    """The API's output_final_box_features crops the detections once more; parity is held in tests/parity."""
    message = read(graphs / "tiny_box_features" / "frozen_inference_graph.pb")
    assert sum(node.op == "CropAndResize" for node in message.node) == 2
    assert "detection_features" in by_name(message)
    spec = read_model(Graph(message.node), PipelineConfig())
    assert (spec.architecture, spec.mask) == ("Faster R-CNN", None)


def test_two_mask_branches_are_refused(tiny_graph: Path) -> None:
    message = read(tiny_graph)
    nodes = by_name(message)
    second = next(
        node for node in message.node if node.op == "CropAndResize" and node.name.startswith("CropAndResize_1")
    )
    copy = message.node.add()
    copy.CopyFrom(nodes[second.name])
    copy.name = "third"
    Builder(message).node("masks", "Sigmoid", ["third"])
    with pytest.raises(ModelFileError, match="3 places"):
        read_model(Graph(message.node), PipelineConfig())
