"""Every number of a graph of the Object Detection API, read from the graph alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.object_detection_api.family import is_region_cnn, read_model
from mrcnn_cv.importers.object_detection_api.pipeline_config import PipelineConfig, read_pipeline_config
from mrcnn_cv.importers.tensorflow.graphdef import Graph, tensor_value
from mrcnn_cv.model.definition import BoxCoder, ModelDefinition, NmsSpec, NormalizationStep, ResizeSpec, anchor_sizes
from tests.importers.graphs import Builder, by_name, read, set_value
from tests.support.rows import sampled

MODELS = (
    "tiny_mask_rcnn",
    "tiny_mask_rcnn_agnostic",
    "tiny_faster_rcnn",
    "tiny_one_class",
    "tiny_large_crops",
    "tiny_agnostic_sigmoid",
    "tiny_many_classes",
    "tiny_raw_scores",
    "tiny_box_features",
)


def f32(value: float) -> float:
    """The number that a float32 constant holds."""
    return float(np.float32(value))


def spec_of(message: pb.GraphDef) -> ModelDefinition:
    return read_model(Graph(message.node), PipelineConfig())


@pytest.fixture(scope="module")
def specs(graphs: Path) -> dict[str, ModelDefinition]:
    """The tiny models, read without their configs."""
    return {name: spec_of(read(graphs / name / "frozen_inference_graph.pb")) for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_says_what_its_config_says(graphs: Path, specs: dict[str, ModelDefinition], name: str) -> None:
    config = read_pipeline_config(graphs / name / "pipeline.config")
    spec = specs[name]
    assert config.resize is not None
    assert (spec.class_count, spec.crop.size) == (config.class_count, config.crop_size)
    assert spec.resize == config.resize
    assert spec.score_activation == config.score_activation
    assert (spec.mask.size if spec.mask else None) == config.mask_size
    assert spec.anchors[0].stride == config.anchors.stride  # type: ignore[union-attr]
    assert spec.anchors[0].offset == config.anchors.offset  # type: ignore[union-attr]
    np.testing.assert_allclose(spec.anchors[0].sizes, config.anchors.sizes, rtol=1e-5)  # type: ignore[union-attr]
    for ours, theirs in ((spec.proposal_nms, config.proposal_nms), (spec.detection_nms, config.detection_nms)):
        assert theirs is not None
        np.testing.assert_allclose(
            (ours.score_threshold, ours.iou_threshold), (theirs.score_threshold, theirs.iou_threshold), atol=1e-6
        )
        assert (ours.max_per_class, ours.max_total) == (theirs.max_per_class, theirs.max_total)


def test_the_tiny_mask_rcnn_number_by_number(specs: dict[str, ModelDefinition]) -> None:
    """The same by hand, from the text of the config and the API's defaults."""
    spec = specs["tiny_mask_rcnn"]
    assert (spec.family, spec.architecture, spec.class_count) == ("Object Detection API", "Mask R-CNN", 3)
    assert spec.resize == ResizeSpec("keep_aspect", 96, 160)
    assert spec.pixels == (NormalizationStep("mul", (f32(2 / 255),)), NormalizationStep("sub", (1.0,)))
    expected = anchor_sizes((0.25, 0.5, 1.0, 2.0), (0.5, 1.0, 2.0), (256.0, 256.0))
    np.testing.assert_allclose(spec.anchors[0].sizes, expected, rtol=1e-5)
    assert (spec.anchors[0].stride, spec.anchors[0].offset) == ((16, 16), (0, 0))
    assert spec.anchors[0].clip_to_image
    assert spec.proposal_coder == spec.box_coder == BoxCoder((10.0, 10.0, 5.0, 5.0))
    assert spec.proposal_nms == NmsSpec(0.0, f32(0.7), 20, 20, clip_first=False)
    assert spec.detection_nms == NmsSpec(f32(0.3), f32(0.6), 10, 20, clip_first=False)
    assert spec.crop.size == (14, 14)
    assert (spec.score_activation, spec.logit_factor, spec.class_agnostic_boxes) == ("softmax", 1.0, False)
    assert spec.mask is not None
    assert (spec.mask.size, spec.mask.crop.size, spec.mask.class_agnostic) == ((15, 15), (14, 14), False)
    assert spec.warnings == ()


def test_masks_and_boxes_without_class(specs: dict[str, ModelDefinition]) -> None:
    spec = specs["tiny_mask_rcnn_agnostic"]
    assert spec.class_agnostic_boxes
    assert spec.mask is not None
    assert spec.mask.class_agnostic
    assert spec.resize == ResizeSpec("keep_aspect", 96, 160, pad_to_max=True)


def test_a_faster_rcnn_has_no_masks(specs: dict[str, ModelDefinition]) -> None:
    spec = specs["tiny_faster_rcnn"]
    assert (spec.architecture, spec.mask, spec.mask_head) == ("Faster R-CNN", None, None)
    assert spec.resize == ResizeSpec("fixed", height=96, width=128)
    assert spec.score_activation == "sigmoid"
    np.testing.assert_allclose(spec.anchors[0].sizes[0], (64, 64), rtol=1e-6)


@pytest.fixture
def message(tiny_graph: Path) -> pb.GraphDef:
    """The tiny Mask R-CNN, to be edited."""
    return read(tiny_graph)


Change = Callable[[dict[str, pb.NodeDef]], None]


def _set(name: str, value: object, dtype: str = "float32") -> Change:
    return lambda nodes: set_value(nodes[name], np.array(value, dtype=dtype))


def _change_limits(nodes: dict[str, pb.NodeDef]) -> None:
    for name, value in (("stack", [600, 1024]), ("stack_1", [1024, 600])):
        _set(f"Preprocessor/map/while/ResizeToRange/cond/{name}", value, "int32")(nodes)


NMS = "BatchMultiClassNonMaxSuppression_1/map/while/MultiClassNonMaxSuppression/"


@pytest.mark.parametrize(
    ("change", "read_number", "expected"),
    sampled(
        [
            (_set("GridAnchorGenerator/Const_1", [8, 4], "int32"), lambda spec: spec.anchors[0].stride, (8, 4)),
            (_set("GridAnchorGenerator/Const_2", [5, -3], "int32"), lambda spec: spec.anchors[0].offset, (5, -3)),
            (
                _set("GridAnchorGenerator/Const", [128, 64], "int32"),
                lambda spec: spec.anchors[0].sizes[4],
                (32.0, 16.0),
            ),
            (_set("Preprocessor/sub/y", [3.0, 2.0, 1.0]), lambda spec: spec.pixels[1].operand, (3.0, 2.0, 1.0)),
            (_set("Decode/truediv/y", 7.0), lambda spec: spec.proposal_coder.scales, (7.0, 10.0, 5.0, 5.0)),
            (_set("Decode/truediv_2/y", 3.0), lambda spec: spec.proposal_coder.scales, (10.0, 10.0, 3.0, 5.0)),
            (
                _set("CropAndResize/CropAndResize/crop_size", [7, 9], "int32"),
                lambda spec: (spec.crop.size, spec.mask.crop.size),
                ((7, 9), (14, 14)),
            ),
            (
                _set("SecondStageBoxPredictor_1/ResizeBilinear/size", [28, 20], "int32"),
                lambda spec: spec.mask.size,
                (28, 20),
            ),
            (
                _change_limits,
                lambda spec: (spec.resize.min_dimension, spec.resize.max_dimension),
                (600, 1024),
            ),
        ],
        3,
    ),
    ids=["stride", "offset", "base size", "mean", "scale y", "scale h", "crop", "mask", "resizer"],
)
def test_a_number_that_changes_in_the_graph_changes_in_the_spec(
    message: pb.GraphDef, change: Change, read_number: Callable[[ModelDefinition], object], expected: object
) -> None:
    before = read_number(spec_of(message))
    change(by_name(message))
    after = read_number(spec_of(message))
    assert after == expected
    assert after != before


def test_other_thresholds_for_other_classes_are_refused(message: pb.GraphDef) -> None:
    nodes = by_name(message)
    second = nodes[f"{NMS}non_max_suppression_with_scores_1/NonMaxSuppressionV5"]
    nodes_added = message.node.add(name="other", op="Const")
    set_value(nodes_added, np.array(0.9, np.float32))
    second.input[3] = "other"
    with pytest.raises(ModelFileError, match="other thresholds for other classes"):
        spec_of(message)


def test_a_graph_without_its_second_suppression(message: pb.GraphDef) -> None:
    for node in message.node:
        if node.op == "NonMaxSuppressionV5" and "Suppression_1" in node.name:
            node.op = "Mystery"
    with pytest.raises(ModelFileError, match=r"0 after it.*export it again without use_static_shapes"):
        spec_of(message)


def test_a_trunk_that_slices_its_feature_maps_is_refused(message: pb.GraphDef) -> None:
    """NASNet and PNASNet."""
    pool = next(node for node in message.node if node.op == "AvgPool" and "FirstStage" in node.name)
    builder = Builder(message)
    bounds = [builder.const(f"slice/{index}", [value] * 4, "int32") for index, value in enumerate((0, 1000, 1))]
    pool.input[0] = builder.node("slice", "StridedSlice", [pool.input[0], *bounds])
    with pytest.raises(ModelFileError, match=r"StridedSlice.*NASNet.*take another feature extractor"):
        spec_of(message)


def test_three_crops_are_another_kind_of_model(message: pb.GraphDef) -> None:
    crop = by_name(message)["CropAndResize/CropAndResize"]
    message.node.add().CopyFrom(crop)
    message.node[-1].name = "third"
    with pytest.raises(ModelFileError, match="3 places"):
        spec_of(message)


def resizers(message: pb.GraphDef) -> list[pb.NodeDef]:
    """One for upright images, one for the others."""
    return [node for node in message.node if node.op == "ResizeBilinear" and node.name.startswith("Preprocessor")]


@pytest.mark.parametrize(
    ("op", "method"), [("ResizeNearestNeighbor", "nearest"), ("ResizeBicubic", "bicubic"), ("ResizeArea", "area")]
)
def test_the_method_of_a_resizer(message: pb.GraphDef, op: str, method: str) -> None:
    for node in resizers(message):
        node.op = op
    assert spec_of(message).resize == ResizeSpec("keep_aspect", 96, 160, method=method)  # type: ignore[arg-type]


def test_the_method_counts_where_the_config_has_the_limits(message: pb.GraphDef, tiny_graph: Path) -> None:
    for node in resizers(message):
        node.op = "ResizeArea"
    for name in ("stack", "stack_1"):
        by_name(message)[f"Preprocessor/map/while/ResizeToRange/cond/{name}"].op = "Mystery"
    config = read_pipeline_config(tiny_graph.parent / "pipeline.config")
    assert read_model(Graph(message.node), config).resize == ResizeSpec("keep_aspect", 96, 160, method="area")


def _another_method(node: pb.NodeDef) -> None:
    node.op = "ResizeBicubic"


def _another_centre(node: pb.NodeDef) -> None:
    node.op = "ResizeArea"
    node.attr["half_pixel_centers"].b = True


@pytest.mark.parametrize("change", [_another_method, _another_centre])
def test_resizers_of_other_rules_are_refused(message: pb.GraphDef, change: Callable[[pb.NodeDef], None]) -> None:
    change(resizers(message)[0])
    with pytest.raises(ModelFileError, match=r"by a rule that is not supported.*export it again"):
        spec_of(message)


def test_aligned_corners_are_the_conditional_resizers(message: pb.GraphDef) -> None:
    for node in resizers(message):
        node.attr["align_corners"].b = True
    with pytest.raises(ModelFileError, match="aligned corners"):
        spec_of(message)


def test_options_that_hardly_anybody_sets(graphs: Path) -> None:
    spec = spec_of(read(graphs / "tiny_options" / "frozen_inference_graph.pb"))
    assert spec.resize == ResizeSpec(
        "at_least",
        180,
        align_corners=True,
        method="bicubic",
        gray_weights=(f32(0.2989), f32(0.587), f32(0.114)),
    )
    assert spec.mask is not None
    assert spec.mask.size == (32, 16)


def test_images_that_are_only_ever_reduced(graphs: Path) -> None:
    message = read(graphs / "tiny_options" / "frozen_inference_graph.pb")
    for node in message.node:
        if "ResizeGivenMinDimension/M" in node.name and node.op in ("Minimum", "Maximum"):
            node.op = "Maximum" if node.op == "Minimum" else "Minimum"
    resize = spec_of(message).resize
    assert (resize.kind, resize.min_dimension, resize.max_dimension) == ("at_most", None, 180)


def test_a_keras_model_of_tensorflow_2(graphs: Path) -> None:
    """Its pixels are prepared image by image, in the loop that resizes them."""
    spec = spec_of(read(graphs / "tiny_keras" / "frozen_inference_graph.pb"))
    assert (spec.backbone, spec.resize) == ("ResNet-50", ResizeSpec("keep_aspect", 96, 160))
    assert spec.pixels == (NormalizationStep("sub", (f32(123.68), f32(116.779), f32(103.939))),)


def test_steps_before_and_in_the_loop_stay_in_order(graphs: Path) -> None:
    message = read(graphs / "tiny_keras" / "frozen_inference_graph.pb")
    builder = Builder(message)
    nodes = by_name(message)
    inner = next(name for name in nodes if name.endswith("Preprocessor/sub"))
    batch = next(name for name in nodes if name.endswith("map/TensorArrayV2Stack/TensorListStack"))
    for name, source in (("half", inner), ("third", batch)):
        consumers = [node for node in message.node if source in node.input]
        builder.const(f"{name}/factor", 1 / 2 if name == "half" else 1 / 3)
        builder.node(name, "Mul", [source, f"{name}/factor"])
        for node in consumers:
            node.input[:] = [name if tensor == source else tensor for tensor in node.input]
    assert [step.op for step in spec_of(message).pixels] == ["sub", "mul", "mul"]
    assert [step.operand for step in spec_of(message).pixels[1:]] == [(0.5,), (f32(1 / 3),)]


def test_pixels_that_are_prepared_in_one_branch_only_are_refused(graphs: Path) -> None:
    message = read(graphs / "tiny_keras" / "frozen_inference_graph.pb")
    builder = Builder(message)
    branches = [node for node in message.node if node.op == "Squeeze" and "ResizeToRange/cond" in node.name]
    for node in branches:
        builder.const(f"{node.name}/factor", 0.5)
        node.input[0] = builder.node(f"{node.name}/half", "Mul", [node.input[0], f"{node.name}/factor"])
    with pytest.raises(ModelFileError, match="in branches"):
        spec_of(message)


def test_nearest_crops_are_refused(message: pb.GraphDef) -> None:
    by_name(message)["CropAndResize/CropAndResize"].attr["method"].s = b"nearest"
    with pytest.raises(ModelFileError, match="nearest"):
        spec_of(message)


def test_a_missing_number_is_named_unless_the_config_has_it(message: pb.GraphDef, tiny_graph: Path) -> None:
    """The limits of the resizer come out of a sum that this graph does not hold."""
    for name in ("stack", "stack_1"):
        by_name(message)[f"Preprocessor/map/while/ResizeToRange/cond/{name}"].op = "Mystery"
    with pytest.raises(ModelFileError, match=r"image resizer.*pipeline\.config"):
        spec_of(message)
    config = read_pipeline_config(tiny_graph.parent / "pipeline.config")
    assert read_model(Graph(message.node), config).resize == ResizeSpec("keep_aspect", 96, 160)


def test_soft_suppression_is_refused(message: pb.GraphDef) -> None:
    sigma = by_name(message)[f"{NMS}non_max_suppression_with_scores/NonMaxSuppressionV5"].input[5]
    set_value(by_name(message)[sigma], np.array(0.5, np.float32))
    with pytest.raises(ModelFileError, match="soft_nms_sigma"):
        spec_of(message)


def test_scores_that_are_calibrated_are_refused(message: pb.GraphDef) -> None:
    """A calibration_config changes the scores after the softmax."""
    by_name(message)["convert_scores"].name = "plain_scores"
    Builder(message).node("convert_scores", "Pow", ["plain_scores", "scale_logits/y"])
    with pytest.raises(ModelFileError, match="calibration_config"):
        spec_of(message)


def test_a_suppression_for_some_classes_only_is_refused(message: pb.GraphDef) -> None:
    by_name(message)[f"{NMS}non_max_suppression_with_scores_1/NonMaxSuppressionV5"].op = "Mystery"
    with pytest.raises(ModelFileError, match="2 places for 3 classes"):
        spec_of(message)


def test_padding_has_the_colour_that_the_graph_says(graphs: Path) -> None:
    message = read(graphs / "tiny_mask_rcnn_agnostic" / "frozen_inference_graph.pb")
    nodes, builder = by_name(message), Builder(message)
    for name, value in (("Pad", 123.5), ("Pad_1", 116.75), ("Pad_2", 104.0)):
        pad = nodes[f"Preprocessor/map/while/ResizeToRange/{name}"]
        pad.op = "PadV2"
        pad.input.append(builder.const(f"{pad.name}/constant_values", value))
    assert spec_of(message).resize == ResizeSpec(
        "keep_aspect", 96, 160, pad_to_max=True, pad_value=(123.5, 116.75, 104.0)
    )


@pytest.mark.parametrize("op", ["Pad", "ConcatV2"])
def test_padding_alone_is_refused(message: pb.GraphDef, op: str) -> None:
    """pad_to_multiple_resizer: an identity, but for what it appends."""
    for node in message.node:
        if node.op == "ResizeBilinear" and node.name.startswith("Preprocessor"):
            node.op = op
    with pytest.raises(ModelFileError, match="multiple"):
        spec_of(message)


def test_loops_in_functions_are_refused_with_a_remedy(message: pb.GraphDef) -> None:
    """TensorFlow 2's control flow: what a loop does stands in a function, beside the nodes."""
    array = next(node for node in message.node if node.op == "TensorArrayGatherV3" and "Preprocessor" in node.name)
    array.op = "StatelessWhile"
    with pytest.raises(ModelFileError, match=r"StatelessWhile.*disable_control_flow_v2"):
        spec_of(message)


def test_a_trunk_that_looks_at_grey_images_is_refused(message: pb.GraphDef) -> None:
    first = next(node for node in message.node if node.op == "DepthwiseConv2dNative")
    weights = by_name(message)[f"{first.input[1].removesuffix('/read')}"]
    set_value(weights, tensor_value(weights)[:, :, :1])
    with pytest.raises(ModelFileError, match="1 channels"):
        spec_of(message)


def test_what_kind_of_graph_it_is(message: pb.GraphDef) -> None:
    assert is_region_cnn(Graph(message.node))
    builder = Builder()
    builder.node("x", "Placeholder")
    builder.node("relu", "Relu", ["x"])
    assert not is_region_cnn(builder.graph())
