"""Models in Detectron2's layout against what that layout answers in torch, photo by photo.

Detectron2 itself is not on PyPI: scripts/detectron2_layout states its documented modules anew, exports them and is the
judge. tests/data/README.md says what is in the small graphs.
"""

from __future__ import annotations

import lzma
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv import Instances, MaskRCNN
from mrcnn_cv.errors import UsageError
from mrcnn_cv.hub.matterport_settings import write_config
from mrcnn_cv.inference.coordinates import geometry
from mrcnn_cv.inference.preprocess.resize import prepare
from mrcnn_cv.inference.proposals import find_proposals
from mrcnn_cv.jobs import inspect
from tests.conftest import DATA, read_image
from tests.support.engine import ENGINE
from tests.support.parity import IOU, MASK, SCORE, iou

FOLDER = DATA / "detectron2"
CASES = sorted(path.stem for path in FOLDER.glob("*.npz"))
RGB = {"faster_rgb"}


@dataclass(frozen=True)
class Case:
    """A model, a photo (BGR), and the layout's answer; make_test_graphs.py of its scripts says what is in it."""

    name: str
    model: MaskRCNN
    image: NDArray[np.uint8]
    arrays: dict[str, NDArray[Any]]


@cache
def load(path: Path) -> MaskRCNN:
    return MaskRCNN.load(path, backend=ENGINE)


def photo(name: str) -> NDArray[np.uint8]:
    """A photo of the tests, or the part of it that the name says."""
    base, _, way = name.partition("_")
    image = read_image(DATA / "images" / f"{base}.png")
    window = {"tall": image[:, :100], "square": image[:192, :128]}.get(way, image)
    return np.ascontiguousarray(window)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each case: its graph and its config."""
    root = tmp_path_factory.mktemp("detectron2")
    for case in CASES:
        (root / case).mkdir()
        packed = FOLDER / f"{case.partition('-')[0]}.onnx.xz"
        (root / case / "model.onnx").write_bytes(lzma.decompress(packed.read_bytes()))
        shutil.copy(FOLDER / f"{case}.yaml", root / case / "model.yaml")
    return root


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, models: Path) -> Case:
    name = request.param
    with np.load(FOLDER / f"{name}.npz") as arrays:
        kept = dict(arrays)
    return Case(name.partition("-")[0], load(models / name), photo(str(kept["photo"])), kept)


def partners(found: Instances, case: Case) -> list[int]:
    """For each of the layout's detections ours of the same class with the largest IoU, each once."""
    left, result = list(range(len(found))), []
    for box, label in zip(case.arrays["boxes"], case.arrays["classes"], strict=True):
        same = [index for index in left if found.class_ids[index] == label + 1]
        assert same, "a detection is missing"
        result.append(max(same, key=lambda index: iou(box, found.boxes[index])))
        left.remove(result[-1])
    return result


def test_detections(case: Case) -> None:
    found = case.model.predict(case.image, score_threshold=None)
    assert len(found) == len(case.arrays["boxes"]) > 0
    ours = partners(found, case)
    assert min(iou(box, found.boxes[index]) for box, index in zip(case.arrays["boxes"], ours, strict=True)) >= IOU
    np.testing.assert_allclose(found.scores[ours], case.arrays["scores"], atol=SCORE)
    if "masks" not in case.arrays:
        assert found.mask_probabilities is None
        return
    assert found.mask_probabilities is not None
    np.testing.assert_allclose(found.mask_probabilities[ours], case.arrays["masks"].astype(np.float32), atol=MASK)


def test_the_network_sees_the_same_pixels(case: Case) -> None:
    """But in RGB, whatever the model was trained on."""
    pixels = prepare(case.image, case.model.definition.resize, case.model.definition.pixels).pixels
    pixels = pixels if case.name in RGB else pixels[:, ::-1]
    assert pixels.shape == tuple(case.arrays["input_shape"])
    np.testing.assert_allclose(pixels[:, :, ::8, ::8], case.arrays["input_every_8th"], atol=1e-6)


def test_proposals(case: Case) -> None:
    """The same ones, but where float noise decides between two."""
    spec = case.model.definition
    network_input = prepare(case.image, spec.resize, spec.pixels)
    height, width = network_input.pixels.shape[2:]
    layout = geometry(network_input.size, network_input.offset, (height, width), spec.box_edges)
    _, encodings, logits = case.model._backbone(network_input.pixels)
    proposals = find_proposals(encodings, logits, spec, layout) * np.array([height, width] * 2, np.float32)
    theirs = case.arrays["proposals"][:, [1, 0, 3, 2]]
    assert len(proposals) == len(theirs) > 0
    nearest = np.abs(theirs[:, np.newaxis] - proposals[np.newaxis]).max(axis=2).min(axis=1)
    assert (nearest < 0.1).mean() >= 0.98


def test_a_mirrored_photo_fails(case: Case) -> None:
    """So the checks can."""
    mirrored = Case(case.name, case.model, np.ascontiguousarray(case.image[:, ::-1]), case.arrays)
    with pytest.raises(AssertionError):
        test_detections(mirrored)


def test_values_of_a_matterport_config_are_not_for_it(models: Path) -> None:
    """`mrcnn-cv models add --set IMAGE_MIN_DIM=3`: its values are in a YAML of its own."""
    with pytest.raises(UsageError, match="is for models of matterport"):
        write_config(models / CASES[0], ["IMAGE_MIN_DIM=3"])


@pytest.mark.parametrize(
    ("name", "architecture", "backbone", "classes"),
    [
        ("r50-coffee", "Mask R-CNN", "ResNet-50 FPN", 4),
        ("x101-coffee", "Mask R-CNN", "ResNeXt-101 FPN", 4),
        ("faster_rgb-coffee", "Faster R-CNN", "29 convolutions FPN", 1),
    ],
)
def test_inspect(models: Path, name: str, architecture: str, backbone: str, classes: int) -> None:
    found = inspect(models / name).to_dict()
    assert (found["family"], found["architecture"], found["backbone"]) == ("Detectron2", architecture, backbone)
    assert found["classes"]["count"] == classes
    assert found["resize"]["min_dimension"] == 128
    assert [level["stride"][0] for level in found["anchors"]["levels"]] == [4, 8, 16, 32, 64]
    assert (found["masks"] is None) == (architecture == "Faster R-CNN")
    assert {each["problem"] for each in found["opencv"]} == {None}
