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
from mrcnn_cv.importers.load import open_model
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
    assert "the model alone does not say 26 values" in warning
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
        (added(roi_heads__res5__0__conv1__weight=np.ones((1, 1, 1, 1))), {}, f"(C4), {NOT_BUILT}"),
        (without("fpn_"), {}, f"(DC5), {NOT_BUILT}"),
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
