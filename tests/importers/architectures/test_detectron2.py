"""Detectron2's weights: the model that they make is the one that was exported to ONNX (see tests/parity)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.jobs import ModelOptions
from tests.conftest import DATA
from tests.support.checkpoints import write_numpy_pickle, write_torch_zip
from tests.support.definitions import assert_same_answers, assert_same_numbers
from tests.support.engine import ENGINE
from tests.support.parity import Image
from tests.support.state_dicts import Array, detectron2_weights, read_packed

Change = Callable[[dict[str, Array]], dict[str, Array]]
FOLDER = DATA / "detectron2"
STRIDE_IN_1X1 = {"r50": True, "x101": False, "faster_rgb": True}


def config(name: str, **changed: Any) -> str:
    """That of the exported model, and what its graph tells."""
    values: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}-coffee.yaml").read_text("utf-8"))
    values["MODEL"]["RESNETS"] = {"STRIDE_IN_1X1": STRIDE_IN_1X1[name], "NORM": "FrozenBN"}
    for key, value in changed.items():
        section, _, setting = key.partition("__")
        values["MODEL"].setdefault(section, {})[setting] = value
    return str(yaml.safe_dump(values))


@pytest.mark.parametrize(
    ("name", "write", "suffix"),
    [
        ("r50", write_torch_zip, ".pth"),
        ("faster_rgb", write_numpy_pickle, ".pkl"),
        pytest.param("x101", write_torch_zip, ".pth", marks=pytest.mark.long),
    ],
)
def test_every_number_and_every_layer(
    tmp_path: Path, photo: Image, name: str, write: Callable[[Path, dict[str, Array]], Path], suffix: str
) -> None:
    exported = tmp_path / "exported.onnx"
    exported.write_bytes(read_packed(FOLDER / f"{name}.onnx.xz").SerializeToString())
    path = write(tmp_path / f"model_final{suffix}", detectron2_weights(name))
    reference = open_model(exported, FOLDER / f"{name}-coffee.yaml").definition
    told: dict[str, Any] = {"ROI_BOX_HEAD__POOLER_RESOLUTION": reference.crop.size[0]}
    told["ROI_BOX_HEAD__POOLER_SAMPLING_RATIO"] = reference.crop.sampling_ratio
    told["ROI_BOX_HEAD__USE_SIGMOID_CE"] = reference.score_activation == "sigmoid"
    if reference.mask is not None:
        told["ROI_MASK_HEAD__POOLER_RESOLUTION"] = reference.mask.crop.size[0]
        told["ROI_MASK_HEAD__POOLER_SAMPLING_RATIO"] = reference.mask.crop.sampling_ratio
    (tmp_path / "config.yaml").write_text(config(name, **told), "utf-8")
    assert_same_numbers(open_model(path).definition, reference)
    # With another size than its graph was traced for, which the config says.
    ours = MaskRCNN.load(path, backend=ENGINE)
    theirs = MaskRCNN.load(exported, backend=ENGINE, pipeline_config=FOLDER / f"{name}-coffee.yaml")
    assert_same_answers(ours, theirs, photo, least=3)


def test_without_a_config_one_warning_lists_what_is_assumed(tmp_path: Path) -> None:
    path = write_torch_zip(tmp_path / "model_final.pth", detectron2_weights("r50"))
    found = open_model(path).definition
    (warning,) = found.warnings
    assert "the model alone does not say 27 values" in warning
    assert "MODEL.RESNETS.STRIDE_IN_1X1 = True" in warning
    assert "as model_final.yaml" in warning
    assert (found.resize.min_dimension, found.detection_nms.max_total, found.class_count) == (800, 100, 4)


def test_a_config_that_disagrees_about_the_classes(tmp_path: Path) -> None:
    path = write_torch_zip(tmp_path / "model_final.pth", detectron2_weights("r50"))
    (tmp_path / "config.yaml").write_text(config("r50", ROI_HEADS__NUM_CLASSES=80), "utf-8")
    found = open_model(path).definition
    assert found.class_count == 4
    assert "NUM_CLASSES = 80, the weights have 4 classes: the weights' number is used" in found.warnings[-1]


def renamed(pattern: str, name: str) -> Change:
    return lambda arrays: {re.sub(pattern, name, each): array for each, array in arrays.items()}


def added(**more: Array) -> Change:
    return lambda arrays: {**arrays, **{name.replace("__", "."): array for name, array in more.items()}}


def without(pattern: str) -> Change:
    return lambda arrays: {name: array for name, array in arrays.items() if not re.search(pattern, name)}


NOT_BUILT = "which is not built from weights yet: export it to ONNX"


@pytest.mark.parametrize(
    ("change", "changed", "says"),
    [
        (renamed(r"box_predictor\.", "box_predictor.0."), {}, f"with a cascade of box heads, {NOT_BUILT}"),
        (added(roi_heads__res5__0__conv1__weight=np.ones((1, 1, 1, 1))), {}, "one layer under two names"),
        (added(), {"FPN__NORM": "GN"}, f"with group norm (MODEL.FPN.NORM), {NOT_BUILT}"),
        (
            added(roi_heads__mask_head__mask_fcn1__norm__weight=np.ones(4, np.float32)),
            {},
            f"with group norm, {NOT_BUILT}",
        ),
        (added(roi_heads__keypoint_head__conv_fcn1__weight=np.ones((1, 1, 3, 3))), {}, f"for key points, {NOT_BUILT}"),
        (without(r"res4\.0\.conv1\.weight"), {}, "has no 'res4.0.conv1.weight'"),
        (
            added(another__weight=np.ones(3)),
            {},
            "belong to no layer of Detectron2's Faster or Mask R-CNN, 'another.weight'",
        ),
        (added(), {"ANCHOR_GENERATOR__SIZES": [[32, 64]]}, "put the config that it was trained with beside it"),
    ],
)
def test_what_is_not_built(tmp_path: Path, change: Change, changed: dict[str, Any], says: str) -> None:
    path = write_torch_zip(tmp_path / "model_final.pth", change(detectron2_weights("r50")))
    (tmp_path / "config.yaml").write_text(config("r50", **changed), "utf-8")
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    assert str(caught.value).startswith(f"{path} ")
    assert says in str(caught.value)


def test_what_old_files_hold_beside_their_weights_is_passed_over(tmp_path: Path) -> None:
    more = {
        "pixel_mean": np.ones((3, 1, 1), np.float32),
        "pixel_std": np.ones((3, 1, 1), np.float32),
        "proposal_generator.anchor_generator.cell_anchors.0": np.ones((3, 4), np.float32),
    }
    path = write_torch_zip(tmp_path / "model_final.pth", {**detectron2_weights("r50"), **more})
    assert open_model(path).definition.architecture == "Mask R-CNN"


def one_map(kind: str) -> dict[str, Array]:
    """The small model without its pyramid: heads on the stage 4, or on a dilated stage 5."""
    numbers = np.random.default_rng(0)
    last = "roi_heads.res5" if kind == "C4" else "backbone.res5"
    moved = {
        name.replace("backbone.bottom_up.res5.", f"{last}.").replace("backbone.bottom_up.", "backbone."): array
        for name, array in detectron2_weights("r50").items()
        if "bottom_up" in name
    }
    stages = {stage: moved[f"{name}.0.conv3.weight"].shape[0] for stage, name in ((4, "backbone.res4"), (5, last))}
    channels = stages[4 if kind == "C4" else 5]

    def layer(name: str, *shape: int) -> None:
        moved[f"{name}.weight"] = (numbers.normal(size=shape) / np.prod(shape[1:]) ** 0.5).astype(np.float32)
        moved[f"{name}.bias"] = numbers.normal(size=shape[1 if name.endswith("deconv") else 0]).astype(np.float32)

    layer("proposal_generator.rpn_head.conv", channels, channels, 3, 3)
    layer("proposal_generator.rpn_head.objectness_logits", 15, channels, 1, 1)
    layer("proposal_generator.rpn_head.anchor_deltas", 60, channels, 1, 1)
    if kind == "DC5":
        layer("roi_heads.box_head.fc1", 32, channels * 49)
    layer("roi_heads.box_predictor.cls_score", 4, stages[5] if kind == "C4" else 32)
    layer("roi_heads.box_predictor.bbox_pred", 12, stages[5] if kind == "C4" else 32)
    layer("roi_heads.mask_head.deconv", stages[5], 8, 2, 2)
    layer("roi_heads.mask_head.predictor", 3, 8, 1, 1)
    return moved


@pytest.mark.parametrize(("kind", "side", "dilation"), [("C4", 14, 1), ("DC5", 7, 2)])
def test_models_without_a_pyramid(tmp_path: Path, photo: Image, kind: str, side: int, dilation: int) -> None:
    """The numbers of Base-RCNN-C4.yaml and Base-RCNN-DilatedC5.yaml; nothing is padded."""
    path = write_torch_zip(tmp_path / "model_final.pth", one_map(kind))
    found = open_model(path).definition
    assert found.backbone.endswith(f" {kind}")
    assert (found.crop.size, found.crop.pyramid, found.crop.scales) == ((side, side), None, (1 / 16,))
    assert (found.proposal_nms.pre_nms_top_n, found.proposal_nms.max_total) == (6000, 1000)
    assert [len(level.sizes) for level in found.anchors] == [15]
    assert (found.anchors[0].stride, found.resize.pad_multiple) == ((16.0, 16.0), None)
    assert found.mask is not None
    assert found.mask.size == ((14, 14) if kind == "C4" else (28, 28))
    dilated = [layer for layer in found.trunk if isinstance(layer, ir.Conv2d) and layer.dilation == (2, 2)]
    assert bool(dilated) == (dilation == 2)
    assert "MODEL.FPN" not in found.warnings[0]
    answer = MaskRCNN.load(path, backend=ENGINE).predict(photo, score_threshold=None)
    assert len(answer) > 0


def convolved(maps: Array, arrays: dict[str, Array], name: str, stride: int, relu: bool = True) -> Array:
    """A convolution and its norm, written out: the slow reference."""
    weight = arrays[f"{name}.weight"].astype(np.float64)
    border = weight.shape[2] // 2
    padded = np.pad(maps, ((0, 0), (0, 0), (border, border), (border, border)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    result = np.einsum("nchwij,kcij->nkhw", windows, weight, optimize=True)
    gain, shift, mean, variance = (
        arrays[f"{name}.norm.{part}"].astype(np.float64).reshape(1, -1, 1, 1)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    result = (result - mean) / np.sqrt(variance + 1e-5) * gain + shift
    bent: Array = np.maximum(result, 0) if relu else result
    return bent


def test_heads_that_share_a_stage_against_a_slow_reference(tmp_path: Path) -> None:
    """Res5ROIHeads: the stage, then the mean for boxes, and a transposed convolution for masks."""
    arrays = one_map("C4")
    model = MaskRCNN.load(write_torch_zip(tmp_path / "model_final.pth", arrays), backend="cpu")
    channels = arrays["roi_heads.res5.0.conv1.weight"].shape[1]
    crops = np.random.default_rng(1).normal(size=(2, channels, 14, 14)).astype(np.float32)
    at: Array = crops.astype(np.float64)
    for block in sorted({name.split(".")[2] for name in arrays if name.startswith("roi_heads.res5.")}):
        name, stride = f"roi_heads.res5.{block}", 2 if block == "0" else 1
        has_shortcut = f"{name}.shortcut.weight" in arrays
        shortcut = convolved(at, arrays, f"{name}.shortcut", stride, relu=False) if has_shortcut else at
        inside = convolved(convolved(at, arrays, f"{name}.conv1", stride), arrays, f"{name}.conv2", 1)
        at = np.maximum(convolved(inside, arrays, f"{name}.conv3", 1, relu=False) + shortcut, 0)
    logits, deltas = (
        at.mean(axis=(2, 3)) @ arrays[f"roi_heads.box_predictor.{each}.weight"].T
        + arrays[f"roi_heads.box_predictor.{each}.bias"]
        for each in ("cls_score", "bbox_pred")
    )
    found_deltas, found_logits = model._nets.box_head.run({"crops": crops})
    np.testing.assert_allclose(found_logits, logits[:, [3, 0, 1, 2]], atol=1e-3)
    np.testing.assert_allclose(found_deltas.reshape(2, -1, 4), deltas.reshape(2, -1, 4)[..., [1, 0, 3, 2]], atol=1e-3)
    patches = np.einsum("nchw,ckij->nkhiwj", at, arrays["roi_heads.mask_head.deconv.weight"])
    enlarged = patches.reshape(2, 8, 14, 14) + arrays["roi_heads.mask_head.deconv.bias"].reshape(1, -1, 1, 1)
    predictor = arrays["roi_heads.mask_head.predictor.weight"][..., 0, 0]
    masks = np.einsum("nchw,kc->nkhw", np.maximum(enlarged, 0), predictor)
    masks = masks + arrays["roi_heads.mask_head.predictor.bias"].reshape(1, -1, 1, 1)
    assert model._nets.mask_head is not None
    (found,) = model._nets.mask_head.run({"crops": crops})
    assert model.definition.mask is not None
    side = model.definition.mask.mask_block_size
    own = found.reshape(2, side, side, 3, *found.shape[2:]).transpose(0, 3, 4, 1, 5, 2)
    np.testing.assert_allclose(own.reshape(masks.shape), masks, atol=2e-3)


def test_a_folder_with_weights_and_their_config(tmp_path: Path) -> None:
    write_torch_zip(tmp_path / "model_final.pth", detectron2_weights("r50"))
    (tmp_path / "config.yaml").write_text(config("r50"), "utf-8")
    found = open_model(tmp_path)
    assert found.path == tmp_path / "model_final.pth"
    assert found.definition.resize.min_dimension == 128
    assert ModelOptions(tmp_path).files == [tmp_path / "model_final.pth"]
    (tmp_path / "model_0001.pth").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"holds several models \(model_0001.pth, model_final.pth\): name one"):
        open_model(tmp_path)
