"""torchvision's weights: the model that they make is the one that torchvision has exported to ONNX.

That those agree with torchvision itself is for tests/parity.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.architectures.torchvision import renamed
from mrcnn_cv.importers.load import open_model
from tests.conftest import DATA
from tests.support.checkpoints import write_npz, write_safetensors, write_torch_stream, write_torch_zip
from tests.support.definitions import assert_same_answers, assert_same_numbers
from tests.support.engine import ENGINE
from tests.support.parity import Image
from tests.support.state_dicts import Array, read_packed, state_dict

EPSILON = 1e-5
CLASSES = 6
RATIOS = [0.5, 1.0, 2.0]

ARGUMENTS: dict[str, dict[str, Any]] = {
    "mask_rcnn": {
        "min_size": 128,
        "max_size": 192,
        "rpn_anchor_generator": {"sizes": [[16], [32], [64], [128], [256]], "aspect_ratios": [RATIOS] * 5},
        "rpn_pre_nms_top_n_test": 150,
        "rpn_post_nms_top_n_test": 80,
        "box_detections_per_img": 30,
        "norm_eps": EPSILON,
    },
    "mask_rcnn_v2": {
        "min_size": [96, 112],
        "max_size": 208,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.25, 0.3],
        "anchor_sizes": [[10], [20], [40], [80], [160]],
        "aspect_ratios": [[0.4, 1.0, 2.2]],
        "rpn_pre_nms_top_n_test": 90,
        "rpn_post_nms_top_n_test": 40,
        "rpn_nms_thresh": 0.6,
        "rpn_score_thresh": 0.1,
        "box_score_thresh": 0.1,
        "box_nms_thresh": 0.4,
        "box_detections_per_img": 12,
        "bbox_reg_weights": [8.0, 9.0, 4.0, 3.0],
        "mask_roi_pool": {"output_size": 12, "sampling_ratio": 3},
        "norm_eps": EPSILON,
    },
}
"""What scripts/torchvision_models/narrow.py makes them with."""


Write = Callable[[Path, dict[str, Array]], Path]
Change = Callable[[dict[str, Array]], dict[str, Array]]


@cache
def weights(name: str) -> dict[str, Array]:
    return state_dict(read_packed(DATA / "torchvision" / f"{name}.onnx.xz"), EPSILON)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX files."""
    folder = tmp_path_factory.mktemp("exported")
    for name in ARGUMENTS:
        (folder / f"{name}.onnx").write_bytes(read_packed(DATA / "torchvision" / f"{name}.onnx.xz").SerializeToString())
    return folder


@pytest.mark.parametrize(
    ("name", "write", "suffix"),
    [
        ("mask_rcnn", write_torch_zip, ".pth"),
        ("mask_rcnn_v2", write_safetensors, ".safetensors"),
        pytest.param("mask_rcnn", write_torch_stream, ".pth", marks=pytest.mark.long),
        pytest.param("mask_rcnn_v2", write_npz, ".npz", marks=pytest.mark.long),
    ],
)
def test_every_number_and_every_layer(
    exported: Path, tmp_path: Path, photo: Image, name: str, write: Write, suffix: str
) -> None:
    """Of the second version, too: norms in pyramid and heads, a deeper RPN, convolutions before what is flattened."""
    reference = open_model(exported / f"{name}.onnx").definition
    path = write(tmp_path / f"model{suffix}", weights(name))
    config = {"arguments": ARGUMENTS[name]} if suffix == ".pth" else ARGUMENTS[name]
    (tmp_path / "model.json").write_text(json.dumps(config))
    assert_same_numbers(open_model(path).definition, reference)
    ours, theirs = (MaskRCNN.load(each, backend=ENGINE) for each in (path, exported / f"{name}.onnx"))
    assert_same_answers(ours, theirs, photo)


OLD = (
    *(
        (f"backbone.fpn.{part}_blocks.{level}.0.", f"backbone.fpn.{part}_blocks.{level}.")
        for part in ("inner", "layer")
        for level in range(4)
    ),
    ("rpn.head.conv.0.0.", "rpn.head.conv."),
    *((f"roi_heads.mask_head.{level}.0.", f"roi_heads.mask_head.mask_fcn{level + 1}.") for level in range(2)),
)
"""Names of today, and those of before torchvision 0.13, which the published files have."""


def old_names(arrays: dict[str, Array]) -> dict[str, Array]:
    found = {}
    for name, array in arrays.items():
        for new, old in OLD:
            name = name.replace(new, old)
        found[name] = array
    return found


def test_old_names(tmp_path: Path) -> None:
    today, old = weights("mask_rcnn"), old_names(weights("mask_rcnn"))
    assert len(today.keys() - old.keys()) == 22
    assert [renamed(name) for name in old] == [renamed(name) for name in today]
    (tmp_path / "config.json").write_text(json.dumps(ARGUMENTS["mask_rcnn"]))
    assert open_model(write_torch_stream(tmp_path / "model.pth", old)).definition.class_count == CLASSES


@pytest.mark.parametrize(("counts", "expected"), [(False, "norm_eps = 0;"), (True, "norm_eps = 1e-05;")])
def test_without_a_config_one_warning_lists_what_is_assumed(tmp_path: Path, counts: bool, expected: str) -> None:
    """What norms add to their variances depends on whether they were frozen, which counters of batches tell."""
    arrays = dict(weights("mask_rcnn"))
    if counts:
        arrays["backbone.body.bn1.num_batches_tracked"] = np.array(7)
    found = open_model(write_torch_zip(tmp_path / "model.pth", arrays)).definition
    (warning,) = found.warnings
    assert "min_size = 800, max_size = 1333" in warning
    assert expected in warning
    assert "put others into model.json beside them" in warning
    assert found.detection_nms.max_total == 100


def test_a_config_that_disagrees_about_the_classes(tmp_path: Path) -> None:
    """The weights win, and a warning says so."""
    (tmp_path / "model.toml").write_text("num_classes = 91\n")
    found = open_model(write_torch_zip(tmp_path / "model.pth", weights("mask_rcnn"))).definition
    assert found.class_count == CLASSES
    assert "the config says num_classes = 91, the weights have 7" in found.warnings[-1]


def test_boxes_alone(tmp_path: Path) -> None:
    arrays = {name: array for name, array in weights("mask_rcnn").items() if "mask" not in name}
    found = open_model(write_torch_zip(tmp_path / "model.pth", arrays)).definition
    assert (found.architecture, found.mask, found.mask_head) == ("Faster R-CNN", None, None)


def without(name: str) -> Change:
    return lambda arrays: {each: array for each, array in arrays.items() if each != name}


def changed(name: str, array: Array) -> Change:
    return lambda arrays: {**arrays, name: array}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("backbone.body.layer3.0.conv2.weight"), "has no 'res4.0.conv2.weight'"),
        (without("roi_heads.box_head.fc7.bias"), None),
        (changed("roi_heads.keypoint_head.0.weight", np.zeros((4, 4, 3, 3), np.float32)), "is a Keypoint R-CNN"),
        (changed("backbone.body.layer2.0.extra.weight", np.ones(3, np.float32)), "belong to no layer of torchvision's"),
        (changed("rpn.head.bbox_pred.weight", np.zeros((8, 16, 1, 1), np.float32)), "scores 3 anchors per cell, but"),
        (
            changed("roi_heads.box_predictor.bbox_pred.weight", np.zeros((7, 32), np.float32)),
            "predicts 7 scores and 7 numbers for boxes per region",
        ),
        (changed("roi_heads.box_head.fc6.weight", np.zeros((32, 500), np.float32)), "takes 500 numbers, where"),
        (changed("backbone.body.conv1.weight", np.zeros((8, 3, 7, 7), np.int64)), "as int64 of the shape [8, 3, 7, 7]"),
        (changed("backbone.body.bn1.running_var", np.full(8, -1, np.float32)), "that are not positive"),
        (changed("backbone.body.bn1.weight", np.ones(5, np.float32)), "holds 5 numbers in 'backbone.body.bn1.weight'"),
        (
            changed("roi_heads.box_predictor.bbox_pred.bias", np.ones(4, np.float32)),
            "holds 4 numbers in 'roi_heads.box_predictor.bbox_pred.bias' for 28 channels",
        ),
        (changed("roi_heads.box_head.fc7.bias", np.full(32, np.nan, np.float32)), "not all finite"),
        (
            changed("roi_heads.mask_predictor.mask_fcn_logits.weight", np.zeros((9, 16, 1, 1), np.float32)),
            "predicts 9 masks per region for 6 classes",
        ),
        (changed("rpn.head.conv.weight", np.zeros((16, 16, 3, 3), np.float32)), "one layer under two names"),
        (without("backbone.body.conv1.weight"), "on another backbone than a residual network"),
    ],
)
def test_weights_that_do_not_belong_together(tmp_path: Path, change: Change, says: str | None) -> None:
    """One sentence with the file and what is wrong; a bias may be missing."""
    path = write_torch_zip(tmp_path / "model.pth", change(weights("mask_rcnn")))
    if says is None:
        assert open_model(path).definition.class_count == CLASSES
        return
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    assert str(caught.value).startswith(f"{path} ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("model.json", "[1]", "is no table of arguments"),
        ("model.json", "{", "is not valid JSON"),
        ("model.toml", "a = ", "is not valid TOML"),
        ("model.json", '{"min_size": "large"}', "min_size must be a whole number from 1"),
        ("model.json", '{"box_roi_pool": 7}', "box_roi_pool must be a table with output_size"),
        ("model.json", '{"anchor_sizes": [[1, 2], [3]]}', None),
    ],
)
def test_configs_that_are_wrong(tmp_path: Path, name: str, text: str, says: str | None) -> None:
    """One that is given must be right; one that lies beside the weights is left out with a warning."""
    path = write_torch_zip(tmp_path / "model.pth", weights("mask_rcnn"))
    (tmp_path / name).write_text(text)
    if says is None:
        with pytest.raises(ModelFileError, match="which anchor_sizes and aspect_ratios do not give"):
            open_model(path)
        return
    with pytest.raises(ModelFileError, match=says):
        open_model(path, tmp_path / name)
    assert says in open_model(path).definition.warnings[0]
