"""matterport's models against what matterport's own `detect` answered on TensorFlow, photo by photo.

tests/data/README.md says how the small graphs were made; the full-size one is not part of the repository.
"""

from __future__ import annotations

import lzma
import shutil
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv import Instances, MaskRCNN
from mrcnn_cv.inference.coordinates import geometry
from mrcnn_cv.inference.masks import select_masks
from mrcnn_cv.inference.preprocess.resize import prepare
from mrcnn_cv.inference.proposals import find_proposals
from mrcnn_cv.inference.roi_align import roi_align
from tests.conftest import DATA, golden_root, read_image
from tests.support.engine import ENGINE
from tests.support.parity import IOU, MASK, SCORE, iou

FOLDER = DATA / "matterport"
FULL_SIZE = ("astronaut", "chelsea", "coffee")
CASES = [path.stem for path in sorted(FOLDER.glob("*.npz"))]

NOISE = 0.03
"""Pixels by which TensorFlow itself differs from run to run on the full-size graph."""

NOISY_MASK = 0.07
"""The full-size graph is random: a hundred layers make 0.02 to 0.16 px of float noise in a box, depending on who
multiplies, and in one of 222 x 8 px its mask head makes 0.06 of that. On matterport's own boxes masks agree to 1e-3."""


@dataclass(frozen=True)
class Case:
    """A model, a photo (BGR), and matterport's answer; scripts/matterport/make_test_graphs.py says what is in it."""

    model: MaskRCNN
    image: NDArray[np.uint8]
    arrays: dict[str, NDArray[Any]]


@cache
def load(path: Path) -> MaskRCNN:
    return MaskRCNN.load(path, backend=ENGINE)


def photo(name: str) -> NDArray[np.uint8]:
    """A photo of the tests, or the part of it that the name says."""
    base, _, part = name.partition("_")
    image = read_image(DATA / "images" / f"{base}.png")
    window = {"tall": image[:, :100], "square": image[:192, :128]}.get(part, image)
    return np.ascontiguousarray(window)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each case: its graph and its config."""
    root = tmp_path_factory.mktemp("matterport")
    for case in CASES:
        (root / case).mkdir()
        graph = root / f"{case.partition('_')[0]}.pb"
        if not graph.exists():
            graph.write_bytes(lzma.decompress((FOLDER / f"{graph.stem}.pb.xz").read_bytes()))
        shutil.copy(graph, root / case / "frozen.pb")
        shutil.copy(FOLDER / f"{case}.json", root / case / "frozen.json")
    return root


@pytest.fixture(scope="session")
def golden_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full-size model."""
    root = golden_root()
    assert root is not None, "set MRCNN_CV_GOLDEN to the folder with the full-size graphs"
    folder = tmp_path_factory.mktemp("matterport_full")
    packed = root / "matterport_resnet50"
    (folder / "frozen_graph.pb").write_bytes(lzma.decompress((packed / "frozen_graph.pb.xz").read_bytes()))
    shutil.copy(packed / "config.json", folder)
    return folder


@pytest.fixture(params=[*CASES, *(pytest.param(name, marks=pytest.mark.golden) for name in FULL_SIZE)])
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    if name in FULL_SIZE:
        root = golden_root()
        folder = request.getfixturevalue("golden_model")
        assert root is not None
        with np.load(root / "matterport_resnet50" / f"{name}.npz") as arrays:
            return Case(load(folder), read_image(root / "images" / f"{name}.png"), dict(arrays))
    with np.load(FOLDER / f"{name}.npz") as arrays:
        kept = dict(arrays)
    return Case(load(request.getfixturevalue("models") / name), photo(str(kept["photo"])), kept)


def in_pixels(case: Case) -> bool:
    """Whether the model is of the code of 2017, which counts boxes in pixels of its input and cuts them down."""
    return case.model.definition.box_edges == "pixels"


def in_photo(case: Case) -> NDArray[np.float64]:
    """The net's boxes (N, 4) y1 x1 y2 x2 in pixels of the photo, unrounded (matterport's unmold_detections)."""
    height, width = case.image.shape[:2]
    if in_pixels(case):
        top, left, bottom, right = (float(value) for value in case.arrays["window"].ravel())
        scale = min(height / (bottom - top), width / (right - left))
        pixels: NDArray[np.float64] = (case.arrays["detections"][:, :4] - np.array([top, left] * 2)) * scale
        return pixels
    sides = np.array(prepare(case.image, case.model.definition.resize, ()).pixels.shape[2:]) - 1.0
    top, left, bottom, right = (float(value) for value in case.arrays["window"].ravel())
    start, end = np.array([top, left]) / sides, np.array([bottom - 1, right - 1]) / sides
    fractions = (case.arrays["detections"].reshape(-1, 6)[:, :4] - np.tile(start, 2)) / np.tile(end - start, 2)
    boxes: NDArray[np.float64] = fractions * np.tile([height - 1, width - 1], 2) + np.array([0, 0, 1, 1])
    return boxes


def has_pixels(case: Case) -> NDArray[np.bool_]:
    """(N,) which of the net's detections are among the answers."""
    whole = np.floor(in_photo(case)) if in_pixels(case) else np.around(in_photo(case))
    solid: NDArray[np.bool_] = (whole[:, 2] > whole[:, 0]) & (whole[:, 3] > whole[:, 1])
    return solid


def net_detections(case: Case) -> NDArray[np.float32]:
    """The net's detections (N, 6): y1 x1 y2 x2 as fractions, class, score."""
    detections: NDArray[np.float32] = case.arrays["detections"].reshape(-1, 6)[has_pixels(case)].astype(np.float32)
    return detections


def partners(found: Instances, case: Case) -> list[int]:
    """For each of matterport's detections ours of the same class with the largest IoU, each once."""
    left, result = list(range(len(found))), []
    for box, class_id in zip(case.arrays["rois"], case.arrays["class_ids"], strict=True):
        same = [index for index in left if found.class_ids[index] == class_id]
        assert same, "a detection is missing"
        result.append(max(same, key=lambda index: iou(box[[1, 0, 3, 2]].astype(np.float32), found.boxes[index])))
        left.remove(result[-1])
    return result


def test_detections(case: Case) -> None:
    found = case.model.predict(case.image, score_threshold=None)
    assert len(found) == len(case.arrays["rois"]) > 0
    ours = partners(found, case)
    np.testing.assert_allclose(found.scores[ours], case.arrays["scores"], atol=SCORE)
    boxes, theirs, exact = found.boxes[ours][:, [1, 0, 3, 2]], case.arrays["rois"], in_photo(case)[has_pixels(case)]
    # A side that lies in the middle between two pixels is rounded to one or the other.
    undecided = np.abs((exact + (0.5 if in_pixels(case) else 0)) % 1 - 0.5) < NOISE
    different = boxes != theirs
    assert not (different & ~undecided).any()
    assert (np.abs(boxes - theirs) <= 1).all()
    for index in np.flatnonzero(~different.any(axis=1)):
        assert iou(boxes[index], theirs[index].astype(np.float32)) >= IOU


def test_masks(case: Case) -> None:
    found = case.model.predict(case.image, score_threshold=None)
    assert found.mask_probabilities is not None
    tolerance = MASK if "photo" in case.arrays else NOISY_MASK
    for index, partner in enumerate(partners(found, case)):
        if (found.boxes[partner][[1, 0, 3, 2]] == case.arrays["rois"][index]).all():
            check_mask(found[partner], case, index, tolerance)


def test_mask_head_on_matterports_boxes(case: Case) -> None:
    model, detections = case.model, net_detections(case)
    assert model._nets.mask_head is not None
    assert model.definition.mask is not None
    network_input = prepare(case.image, model.definition.resize, model.definition.pixels)
    size = network_input.pixels.shape[2:]
    features, _, _ = model._backbone(network_input.pixels)
    regions = (detections[:, :4] / (np.array(size * 2) if in_pixels(case) else 1)).astype(np.float32)
    crops = roi_align(features, regions, model.definition.mask.crop, (size[0], size[1]))
    (logits,) = model._nets.mask_head.run({"crops": crops})
    masks = select_masks(logits, detections[:, 4].astype(np.intp) - 1, model.definition.mask.mask_block_size)
    found = case.model.predict(case.image, score_threshold=None)
    for index, box in enumerate(case.arrays["rois"][:, [1, 0, 3, 2]].astype(np.float32)):
        own = replace(found[0], boxes=box[np.newaxis], mask_probabilities=masks[index : index + 1])
        check_mask(own, case, index, 1e-3)


def check_mask(own: Instances, case: Case, index: int, tolerance: float) -> None:
    """Probabilities, and that pixels only differ where they are as near to the threshold as they may differ."""
    assert own.mask_probabilities is not None
    probabilities = own.mask_probabilities[0]
    if "mask_probabilities" in case.arrays:
        # They are kept in half precision.
        theirs = case.arrays["mask_probabilities"][has_pixels(case)][index].astype(np.float32)
        np.testing.assert_allclose(probabilities, theirs, atol=tolerance + 5e-4)
    shape = tuple(case.arrays["mask_shape"])
    mask = np.unpackbits(case.arrays["masks"])[: np.prod(shape)].reshape(shape)[index].astype(bool)
    at_least, at_most = (replace(own, mask_threshold=0.5 + way * tolerance).full_mask(0) for way in (1, -1))
    assert not (at_least & ~mask).any()
    assert not (mask & ~at_most).any()


def test_the_network_sees_the_same_pixels(case: Case) -> None:
    if "input_every_8th" not in case.arrays:
        pytest.skip("kept for the small graphs only")
    pixels = prepare(case.image, case.model.definition.resize, case.model.definition.pixels)
    assert pixels.pixels.transpose(0, 2, 3, 1).shape == tuple(case.arrays["input_shape"])
    assert (*pixels.offset, *np.add(pixels.offset, pixels.size)) == tuple(case.arrays["window"])
    # matterport subtracts the mean in float64.
    every_8th = pixels.pixels.transpose(0, 2, 3, 1)[:, ::8, ::8]
    np.testing.assert_allclose(every_8th, case.arrays["input_every_8th"], atol=1e-5)


def test_proposals(case: Case) -> None:
    """In TensorFlow's order, but where float noise decides between two."""
    if "proposals" not in case.arrays:
        pytest.skip("kept for the small graphs only")
    spec = case.model.definition
    network_input = prepare(case.image, spec.resize, spec.pixels)
    height, width = network_input.pixels.shape[2:]
    layout = geometry(network_input.size, network_input.offset, (height, width), spec.box_edges)
    _, encodings, logits = case.model._backbone(network_input.pixels)
    proposals = find_proposals(encodings, logits, spec, layout)
    theirs = case.arrays["proposals"]
    theirs = theirs[: len(theirs) - int(np.argmax((theirs[::-1] != 0).any(axis=1)))]
    assert len(proposals) == len(theirs)
    nearest = np.abs(theirs[:, np.newaxis] - proposals[np.newaxis]).max(axis=2).min(axis=1)
    assert nearest.max() < 1e-4


def test_a_mirrored_photo_fails(case: Case) -> None:
    """So the checks can."""
    mirrored = Case(case.model, np.ascontiguousarray(case.image[:, ::-1]), case.arrays)
    with pytest.raises(AssertionError):
        test_detections(mirrored)
