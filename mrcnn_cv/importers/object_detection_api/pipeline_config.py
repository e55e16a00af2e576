"""Read an Object Detection API pipeline.config: it fills in what a graph lacks, and cross-checks what it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from google.protobuf import text_format

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import pipeline_pb2 as pb
from mrcnn_cv.importers.config_schema import read_text
from mrcnn_cv.model.definition import AnchorSpec, ModelDefinition, NmsSpec, ResizeSpec, anchor_sizes

MAX_ANCHORS = 1 << 10
"""Of a cell: scales times aspect ratios."""


@dataclass(frozen=True)
class PipelineConfig:
    """What a config says, in the terms of ModelDefinition; None where it says nothing."""

    path: Path | None = None
    class_count: int | None = None
    resize: ResizeSpec | None = None
    anchors: AnchorSpec | None = None
    proposal_nms: NmsSpec | None = None
    crop_size: tuple[int, int] | None = None
    detection_nms: NmsSpec | None = None
    score_activation: str | None = None
    mask_size: tuple[int, int] | None = None


def read_pipeline_config(path: Path) -> PipelineConfig:
    """Read a config; raises ModelFileError (one sentence with the path) for one of another kind of model."""
    text = read_text(path, "a pipeline.config")
    message = pb.Pipeline()
    try:
        text_format.Parse(text, message, allow_unknown_field=True)
    except (text_format.ParseError, RecursionError) as error:
        raise ModelFileError(f"{path} is not a valid pipeline.config ({error}): correct it, or move it away") from error
    if not message.model.HasField("faster_rcnn"):
        raise ModelFileError(f"{path} does not describe a Faster or Mask R-CNN (it has no model.faster_rcnn)")
    try:
        return _from_message(path, message.model.faster_rcnn)
    except ValueError as error:
        raise ModelFileError(f"{path} gives {error}: correct it, or move it away") from error


def _from_message(path: Path, model: pb.FasterRcnn) -> PipelineConfig:
    predictor = model.second_stage_box_predictor.mask_rcnn_box_predictor
    crop = model.initial_crop_size
    return PipelineConfig(
        path=path,
        class_count=model.num_classes or None,
        resize=_resize(model.image_resizer),
        anchors=_anchors(model.first_stage_anchor_generator),
        proposal_nms=NmsSpec(
            score_threshold=model.first_stage_nms_score_threshold,
            iou_threshold=model.first_stage_nms_iou_threshold,
            max_per_class=model.first_stage_max_proposals,  # objectness is one class
            max_total=model.first_stage_max_proposals,
            clip_first=False,
        ),
        crop_size=(crop, crop) if crop else None,
        detection_nms=_detection_nms(model.second_stage_post_processing),
        score_activation=_score_conversion(model.second_stage_post_processing),
        mask_size=(predictor.mask_height, predictor.mask_width) if predictor.predict_instance_masks else None,
    )


def _resize(resizer: pb.ImageResizer) -> ResizeSpec | None:
    if resizer.HasField("keep_aspect_ratio_resizer"):
        keep = resizer.keep_aspect_ratio_resizer
        return ResizeSpec("keep_aspect", keep.min_dimension, keep.max_dimension, pad_to_max=keep.pad_to_max_dimension)
    if resizer.HasField("fixed_shape_resizer"):
        fixed = resizer.fixed_shape_resizer
        return ResizeSpec("fixed", height=fixed.height, width=fixed.width)
    return None


def _anchors(generator: pb.AnchorGenerator) -> AnchorSpec | None:
    if not generator.HasField("grid_anchor_generator"):
        return None
    grid = generator.grid_anchor_generator
    # The defaults of the API's grid_anchor_generator.proto.
    scales = tuple(grid.scales) or (0.25, 0.5, 1.0, 2.0)
    ratios = tuple(grid.aspect_ratios) or (0.5, 1.0, 2.0)
    if len(scales) * len(ratios) > MAX_ANCHORS:
        raise ValueError(f"more than {MAX_ANCHORS} sizes of anchors")
    with np.errstate(all="ignore"):
        sizes = anchor_sizes(scales, ratios, (grid.height, grid.width))
    if not np.isfinite(sizes).all():
        raise ValueError("anchors a size that is no number")
    return AnchorSpec(
        sizes=sizes,
        stride=(grid.height_stride, grid.width_stride),
        offset=(grid.height_offset, grid.width_offset),
        clip_to_image=True,
    )


def _detection_nms(post_processing: pb.PostProcessing) -> NmsSpec | None:
    if not post_processing.HasField("batch_non_max_suppression"):
        return None
    nms = post_processing.batch_non_max_suppression
    return NmsSpec(
        nms.score_threshold, nms.iou_threshold, nms.max_detections_per_class, nms.max_total_detections, False
    )


def _score_conversion(post_processing: pb.PostProcessing) -> str | None:
    if not post_processing.HasField("score_converter"):
        return None
    return pb.PostProcessing.ScoreConverter.Name(post_processing.score_converter).lower()


def disagreements(spec: ModelDefinition, config: PipelineConfig) -> ModelDefinition:
    """`spec` with one warning for every number on which the config and the graph disagree (the graph wins)."""
    theirs = {
        "number of classes": config.class_count,
        **_resize_numbers(config.resize),
        **_anchor_numbers(config.anchors),
        **_nms_numbers("proposals", config.proposal_nms),
        **_nms_numbers("detections", config.detection_nms),
        "score converter": config.score_activation,
        "crop size": config.crop_size,
        "mask size": config.mask_size,
    }
    ours: dict[str, object] = {
        "number of classes": spec.class_count,
        **_resize_numbers(spec.resize),
        **_anchor_numbers(spec.anchors[0]),
        **_nms_numbers("proposals", spec.proposal_nms),
        **_nms_numbers("detections", spec.detection_nms),
        "score converter": spec.score_activation,
        "crop size": spec.crop.size,
        "mask size": spec.mask.size if spec.mask else None,
    }
    warnings = [
        f"{config.path} disagrees with the graph about the {what}:"
        f" the graph's {_text(ours[what])} is used, not the config's {_text(value)}"
        for what, value in theirs.items()
        if value is not None and what in ours and value != ours[what]
    ]
    return replace(spec, warnings=(*spec.warnings, *warnings))


def _resize_numbers(resize: ResizeSpec | None) -> dict[str, object]:
    if resize is None:
        return {}
    numbers: dict[str, object] = {"kind of image resizer": resize.kind}
    if resize.kind == "keep_aspect":
        numbers["padding of images"] = resize.pad_to_max
        numbers["shorter side of images"] = resize.min_dimension
        numbers["longer side of images"] = resize.max_dimension
    elif resize.kind == "fixed":
        numbers["size of images"] = (resize.height, resize.width)
    return numbers


def _anchor_numbers(anchors: AnchorSpec | None) -> dict[str, object]:
    if anchors is None:
        return {}
    # To whole pixels: the graph computes them in float32, in an order of its own.
    return {
        "sizes of anchors (height, width)": [(round(height), round(width)) for height, width in anchors.sizes],
        "stride of anchors": tuple(map(float, anchors.stride or ())),
        "offset of anchors": tuple(map(float, anchors.offset)),
    }


def _nms_numbers(what: str, nms: NmsSpec | None) -> dict[str, object]:
    if nms is None:
        return {}
    numbers: dict[str, object] = {
        f"score threshold of {what}": round(nms.score_threshold, 5),
        f"IoU threshold of {what}": round(nms.iou_threshold, 5),
        f"most {what} in all": nms.max_total,
    }
    # A suppression of all classes together has no limit per class; the config's is not used then.
    return numbers if nms.class_agnostic else numbers | {f"most {what} of a class": nms.max_per_class}


def _text(value: object) -> str:
    """A value as part of a sentence; of many sizes the first few."""
    if isinstance(value, list) and len(value) > 3:
        return f"{', '.join(map(str, value[:3]))}, ... ({len(value)} of them)"
    return "none" if value is None else str(value)
