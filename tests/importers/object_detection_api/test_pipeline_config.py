"""pipeline.config: what it says, and what is said where it disagrees with the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.importers.object_detection_api.pipeline_config import read_pipeline_config
from mrcnn_cv.model.definition import ModelDefinition, NmsSpec, ResizeSpec
from tests.support.rows import sampled


def write(folder: Path, text: str) -> Path:
    path = folder / "pipeline.config"
    path.write_text(text)
    return path


@pytest.fixture
def text(tiny_graph: Path) -> str:
    """The config of the tiny Mask R-CNN."""
    return (tiny_graph.parent / "pipeline.config").read_text()


def test_what_a_config_says(tmp_path: Path, text: str) -> None:
    found = read_pipeline_config(write(tmp_path, text))
    assert found.class_count == 3
    assert found.resize == ResizeSpec("keep_aspect", 96, 160)
    assert found.proposal_nms == NmsSpec(0.0, float(np.float32(0.7)), 20, 20, clip_first=False)
    assert found.detection_nms == NmsSpec(float(np.float32(0.3)), float(np.float32(0.6)), 10, 20, clip_first=False)
    assert (found.crop_size, found.mask_size, found.score_activation) == ((14, 14), (15, 15), "softmax")
    assert found.anchors is not None
    assert len(found.anchors.sizes) == 12


def test_what_a_config_leaves_out_has_the_apis_defaults(tmp_path: Path) -> None:
    found = read_pipeline_config(
        write(
            tmp_path,
            "model { faster_rcnn { image_resizer { keep_aspect_ratio_resizer {} }"
            " first_stage_anchor_generator { grid_anchor_generator {} }"
            " second_stage_post_processing { batch_non_max_suppression {} } } }",
        )
    )
    assert found.resize == ResizeSpec("keep_aspect", 600, 1024)
    assert found.detection_nms == NmsSpec(0.0, float(np.float32(0.6)), 100, 100, clip_first=False)
    assert found.anchors is not None
    assert (found.anchors.stride, found.anchors.offset, len(found.anchors.sizes)) == ((16, 16), (0, 0), 12)
    assert (found.class_count, found.mask_size, found.score_activation, found.crop_size) == (None,) * 4


def test_unknown_fields_are_skipped(tmp_path: Path) -> None:
    found = read_pipeline_config(
        write(tmp_path, 'model { faster_rcnn { num_classes: 7 brand_new { a: [1, 2] b: "x" } } } train_config { x: 1 }')
    )
    assert found.class_count == 7


@pytest.fixture(scope="module")
def own(tiny_graph: Path) -> ModelDefinition:
    """What the graph says itself."""
    return open_model(tiny_graph).definition


@pytest.mark.parametrize(
    ("before", "after", "what"),
    sampled(
        [
            ("num_classes: 3", "num_classes: 90", "number of classes: the graph's 3 is used, not the config's 90"),
            ("min_dimension: 96", "min_dimension: 100", "shorter side of images: the graph's 96 is"),
            ("max_dimension: 160", "max_dimension: 200", "longer side of images"),
            ("max_dimension: 160", "max_dimension: 160 pad_to_max_dimension: true", "padding of images"),
            ("height_stride: 16", "height_stride: 8", "stride of anchors"),
            ("width_stride: 16", "width_stride: 16 height_offset: 3", "offset of anchors"),
            ("scales: 0.25", "scales: 0.3", "sizes of anchors"),
            (
                "first_stage_nms_score_threshold: 0.0",
                "first_stage_nms_score_threshold: 0.1",
                "score threshold of proposals",
            ),
            ("first_stage_nms_iou_threshold: 0.7", "first_stage_nms_iou_threshold: 0.6", "IoU threshold of proposals"),
            (
                "      score_threshold: 0.3",
                "score_threshold: 0.25",
                "score threshold of detections: the graph's 0.3 is",
            ),
            ("iou_threshold: 0.6", "iou_threshold: 0.5", "IoU threshold of detections"),
            ("max_detections_per_class: 10", "max_detections_per_class: 11", "most detections of a class"),
            ("max_total_detections: 20", "max_total_detections: 30", "most detections in all"),
            ("score_converter: SOFTMAX", "score_converter: SIGMOID", "score converter"),
            ("initial_crop_size: 14", "initial_crop_size: 17", "crop size"),
            ("mask_height: 15", "mask_height: 33", "mask size"),
        ],
        4,
    ),
)
def test_one_warning_for_each_number_and_the_graph_wins(
    tiny_graph: Path, own: ModelDefinition, tmp_path: Path, text: str, before: str, after: str, what: str
) -> None:
    assert text.count(before) == 1
    config = write(tmp_path, text.replace(before, after))
    found = open_model(tiny_graph, config).definition
    (warning,) = found.warnings
    assert what in warning
    assert str(config) in warning
    assert own.warnings == ()
    assert (found.resize, found.anchors, found.detection_nms) == (own.resize, own.anchors, own.detection_nms)


def test_two_wrong_numbers_are_two_warnings(tiny_graph: Path, tmp_path: Path, text: str) -> None:
    config = write(tmp_path, text.replace("num_classes: 3", "num_classes: 4").replace("min_dimension: 96", ""))
    assert len(open_model(tiny_graph, config).definition.warnings) == 2


def test_another_kind_of_resizer_is_one_warning_of_its_own(tiny_graph: Path, graphs: Path) -> None:
    warnings = open_model(tiny_graph, graphs / "tiny_faster_rcnn" / "pipeline.config").definition.warnings
    assert any("kind of image resizer: the graph's keep_aspect" in warning for warning in warnings)


BROKEN = {
    "other kind": ("model { ssd { num_classes: 3 } }", "does not describe a Faster or Mask R-CNN"),
    "empty": ("", "does not describe a Faster or Mask R-CNN"),
    "cut short": ("model { faster_rcnn {", "not a valid pipeline.config"),
    "wrong type": ('model { faster_rcnn { num_classes: "three" } }', "not a valid pipeline.config"),
    "no text": ("\x00\x01\x02", "not a valid pipeline.config"),
    "nested without end": ("model { faster_rcnn { new " + "{ a " * 100_000, "not a valid pipeline.config"),
    "huge": ("#" * (5 << 20), "too large"),
}


@pytest.mark.parametrize("name", sampled(BROKEN, 4))
def test_a_broken_config_is_an_error_when_given_and_a_warning_beside_the_model(
    tiny_graph: Path, tmp_path: Path, name: str
) -> None:
    content, match = BROKEN[name]
    config = write(tmp_path, content)
    with pytest.raises(ModelFileError, match=match) as error:
        open_model(tiny_graph, config)
    assert str(config) in str(error.value)
    assert "\n" not in str(error.value)
    beside = tmp_path / tiny_graph.name
    beside.write_bytes(tiny_graph.read_bytes())
    found = open_model(beside)
    (warning,) = found.definition.warnings
    assert str(config) in warning
    assert "it is not used" in warning


def test_a_config_that_is_missing_or_not_utf8_is_an_error(tiny_graph: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        open_model(tiny_graph, tmp_path / "missing.config")
    path = tmp_path / "latin.config"
    path.write_bytes(b"# caf\xe9")
    with pytest.raises(ModelFileError, match="cannot be read"):
        open_model(tiny_graph, path)
