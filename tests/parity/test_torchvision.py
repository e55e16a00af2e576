"""torchvision's models against what torchvision itself answered, photo by photo.

tests/data/README.md says how the small models were made; full-size ones are compared by scripts/torchvision_models.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.pytorch import torchvision as torchvision_onnx
from mrcnn_cv.jobs import inspect
from mrcnn_cv.structures.masks import paste
from tests.conftest import DATA, read_image
from tests.support.engine import ENGINE
from tests.support.torchvision_parity import TorchAnswer, outliers

FOLDER = DATA / "torchvision"
FIXED_AND_SIMPLIFIED = "mask_rcnn_fixed_simplified"
CASES = [path.stem for path in sorted(FOLDER.glob("*.npz")) if not path.stem.startswith(FIXED_AND_SIMPLIFIED)]
PIXELS = 1e-4
"""Share of the pixels of boxes that may differ: the kept probabilities are rounded to half precision."""


@dataclass(frozen=True)
class Case:
    """A model, a photo (BGR), and torch's answer."""

    model: MaskRCNN
    image: NDArray[np.uint8]
    answer: TorchAnswer


@cache
def load(path: Path) -> MaskRCNN:
    return MaskRCNN.load(path, backend=ENGINE)


def picture(name: str) -> NDArray[np.uint8]:
    """A photo of the tests, or what the name says of it."""
    base, _, part = name.partition("_")
    image = read_image((FOLDER if base == "shapes" else DATA / "images") / f"{base}.png")
    if part == "double":
        return image.repeat(2, axis=0).repeat(2, axis=1)
    rows, columns = {"tall": (None, 100), "square": (192, 128)}.get(part, (None, None))
    return np.ascontiguousarray(image[:rows, :columns])


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all models."""
    folder = tmp_path_factory.mktemp("torchvision")
    for packed in FOLDER.glob("*.onnx.xz"):
        (folder / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
    return folder


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, models: Path) -> Case:
    """A model, a photo, and torch's answer."""
    name, _, photo = request.param.partition("-")
    with np.load(FOLDER / f"{request.param}.npz") as arrays:
        return Case(load(models / f"{name}.onnx"), picture(photo), TorchAnswer(**arrays))


def test_every_detection_is_torchs(case: Case) -> None:
    found = case.model.predict(case.image, score_threshold=None)
    assert len(found) == len(case.answer.boxes) > 0
    assert outliers(found, case.answer)[0] == []


@pytest.mark.parametrize("photo", ["shapes", "coffee", "coffee_double", "astronaut_square"])
def test_pasted_masks_are_torchs(photo: str) -> None:
    """torchvision moves each box to whole pixels before it pastes a mask."""
    image = picture(photo)
    with np.load(FOLDER / f"mask_rcnn-{photo}.npz") as arrays:
        answer = TorchAnswer(**arrays)
    assert answer.masks is not None
    assert answer.pasted is not None
    height, width = image.shape[:2]
    count = len(answer.boxes)
    pasted = np.unpackbits(answer.pasted, count=count * height * width).reshape(count, height, width)
    different = 0
    for probabilities, box, mask in zip(answer.masks, answer.boxes, pasted, strict=True):
        local = paste(probabilities.astype(np.float32), box, (height, width), 0.5, "expanded")
        ours = np.zeros((height, width), np.uint8)
        rows, columns = local.mask.shape
        ours[local.top : local.top + rows, local.left : local.left + columns] = local.mask
        different += int((ours != mask).sum())
    sides = answer.boxes[:, 2:] - answer.boxes[:, :2]
    assert different / sides.prod(axis=1).sum() < PIXELS


NUMBERS: dict[str, dict[str, Any]] = {
    "mask_rcnn": {
        "class_count": 6,
        "resize.min_dimension": 128,
        "resize.max_dimension": 192,
        "resize.pad_multiple": 32,
        "proposal_nms.pre_nms_top_n": 150,
        "proposal_nms.max_total": 80,
        "proposal_nms.iou_threshold": 0.7,
        "proposal_nms.min_box_size": 1e-3,
        "proposal_coder.scales": (1, 1, 1, 1),
        "detection_nms.score_threshold": 0.05,
        "detection_nms.iou_threshold": 0.5,
        "detection_nms.max_total": 30,
        "detection_nms.min_box_size": 0.01,
        "box_coder.scales": (10, 10, 5, 5),
        "box_coder.bbox_xform_clip": float(np.log(1000 / 16)),
        "crop.size": (7, 7),
        "crop.sampling_ratio": 2,
        "crop.aligned": False,
        "crop.flat": True,
        "crop.scales": (1 / 4, 1 / 8, 1 / 16, 1 / 32),
        "crop.pyramid.levels": 4,
        "crop.pyramid.canonical_level": 2,
        "crop.pyramid.canonical_size": 224,
        "crop.pyramid.epsilon": 1e-6,
        "mask.size": (28, 28),
        "mask.crop.size": (14, 14),
        "objectness": "sigmoid",
    },
    "mask_rcnn_fixed": {"class_count": 3, "detection_nms.max_total": 15, "detection_nms.score_threshold": 0.1},
    "mask_rcnn_v2": {
        "class_count": 4,
        "resize.min_dimension": 112,
        "resize.max_dimension": 208,
        "proposal_nms.pre_nms_top_n": 90,
        "proposal_nms.max_total": 40,
        "proposal_nms.iou_threshold": 0.6,
        "proposal_nms.score_threshold": 0.1,
        "detection_nms.score_threshold": 0.1,
        "detection_nms.iou_threshold": 0.4,
        "detection_nms.max_total": 12,
        "box_coder.scales": (9, 8, 3, 4),
        "crop.flat": False,
        "mask.size": (24, 24),
        "mask.crop.size": (12, 12),
        "mask.crop.sampling_ratio": 3,
    },
    "faster_rcnn_mobilenet": {
        "mask": None,
        "class_count": 3,
        "crop.scales": (1 / 32, 1 / 32),
        "crop.pyramid.levels": 1,
        "proposal_nms.pre_nms_top_n": 60,
        "proposal_nms.score_threshold": 0.05,
    },
    "faster_rcnn_one_map": {
        "mask": None,
        "class_count": 1,
        "crop.size": (5, 7),
        "crop.sampling_ratio": 0,
        "crop.pyramid": None,
        "resize.min_dimension": 100,
    },
}


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_read_from_the_graph(models: Path, name: str) -> None:
    spec = load(models / f"{name}.onnx").definition
    for path, expected in NUMBERS[name].items():
        value: Any = spec
        for part in path.split("."):
            value = getattr(value, part)
        if expected is None or isinstance(expected, str):
            assert value == expected, path
        else:
            np.testing.assert_allclose(value, expected, rtol=1e-5, err_msg=path)
    assert [warning for warning in spec.warnings if "label" not in warning] == []


def test_anchors_are_those_of_each_level(models: Path) -> None:
    spec = load(models / "mask_rcnn_v2.onnx").definition
    assert [len(level.sizes) for level in spec.anchors] == [3] * 5
    # AnchorGenerator rounds half a side: 10 * sqrt(0.4) / 2 is 3.16, 10 / sqrt(0.4) / 2 is 7.9.
    assert spec.anchors[0].sizes[0] == (6, 16)
    assert spec.anchors[4].sizes[1] == (160, 160)
    assert all(level.stride is None and level.offset == (0, 0) for level in spec.anchors)
    assert [len(level.sizes) for level in load(models / "faster_rcnn_mobilenet.onnx").definition.anchors] == [15] * 3


@pytest.mark.parametrize("size", [(97, 101), (300, 40), (33, 400)])
def test_a_model_exported_for_one_size_takes_any_other(models: Path, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    found = load(models / "mask_rcnn_fixed.onnx").predict(image, score_threshold=None)
    assert (found.boxes[:, 2:] <= [size[1], size[0]]).all()


def test_a_model_that_a_simplifier_froze_is_refused_in_words(models: Path) -> None:
    """Exported for one size and then simplified, nothing is left of the sides that images are resized to."""
    with pytest.raises(ModelFileError, match=r"they become 192x128: export it again with dynamic_axes"):
        MaskRCNN.load(models / f"{FIXED_AND_SIMPLIFIED}.onnx", backend=ENGINE)


def test_a_model_that_a_simplifier_froze_runs_with_torchvisions_defaults(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its anchors are found in what is left of them; what is assumed is said."""
    monkeypatch.setattr(torchvision_onnx, "SIDES", (128, 192))
    model = MaskRCNN.load(models / f"{FIXED_AND_SIMPLIFIED}.onnx", backend=ENGINE)
    with np.load(FOLDER / f"{FIXED_AND_SIMPLIFIED}-coffee.npz") as arrays:
        answer = TorchAnswer(**arrays)
    assert outliers(model.predict(picture("coffee"), score_threshold=None), answer)[0] == []
    assumed = [warning for warning in model.warnings if "torchvision's default is assumed" in warning]
    assert len(assumed) == 2
    assert "sides" in assumed[0]
    assert "multiples" in assumed[1]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short(models: Path, tmp_path: Path, share: float) -> None:
    whole = (models / "faster_rcnn_one_map.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelFileError):
        MaskRCNN.load(tmp_path / "model.onnx", backend=ENGINE)


def test_an_onnx_model_is_known_by_its_content(models: Path, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes((models / "faster_rcnn_one_map.onnx").read_bytes())
    assert MaskRCNN.load(tmp_path / "model.bin", backend=ENGINE).definition.family == "torchvision"


def test_inspect_describes_nets_that_take_crops(models: Path) -> None:
    found = inspect(models / "mask_rcnn.onnx", image_size=(160, 240)).to_dict()
    assert (found["family"], found["architecture"]) == ("torchvision", "Mask R-CNN")
    assert [net["name"] for net in found["nets"]] == ["trunk", "box head", "mask head"]
    assert found["image"] == {"size": [160, 240], "resized": [128, 192], "network_input": [128, 192]}
    assert found["nets"][1]["outputs"][1]["shape"] == [80, 7]
    assert [check["problem"] for check in found["opencv"] if check["backend"] == "cpu"] == [None] * 3
