"""Every step, and all of them together, against TensorFlow's own answers on the same graph and image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.inference.coordinates import Geometry, geometry
from mrcnn_cv.inference.detections import find_detections
from mrcnn_cv.inference.masks import select_masks
from mrcnn_cv.inference.preprocess.resize import prepare
from mrcnn_cv.inference.proposals import find_proposals
from mrcnn_cv.inference.roi_align import roi_align
from tests.conftest import DATA, golden_root, load_golden, tiny_cases
from tests.support.engine import ENGINE
from tests.support.parity import EXCEPTIONS, MASK, Float, Golden, Outlier, ends_at_border, outliers

FULL_SIZE = (
    "mask_rcnn_inception_v2/astronaut",
    "mask_rcnn_inception_v2/chelsea",
    "mask_rcnn_inception_v2/coffee",
    "mask_rcnn_resnet50_atrous/astronaut",
    "mask_rcnn_resnet50_atrous/coffee",
    "faster_rcnn_resnet50/astronaut",
    "faster_rcnn_resnet50/coffee",
)

AMPLIFYING = frozenset({"mask_rcnn_resnet50_atrous"})
"""Graphs whose random mask head makes 0.01 to 0.05 in a mask of 0.005 to 0.02 px in a box, which is float noise.

There a mask may differ if the mask head agrees on TensorFlow's own box; each one that does is asked.
"""
MASKS = 12
"""Masks of a photo on which the mask head itself is compared; a full-size one takes a fifth of a second."""
CASES = [*tiny_cases(), *(pytest.param(case, marks=pytest.mark.golden) for case in FULL_SIZE)]

Case = tuple[MaskRCNN, Golden]


@cache
def _load(graph: Path) -> MaskRCNN:
    return MaskRCNN.load(graph, backend=ENGINE)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """A model and TensorFlow's answer for one photo."""
    name = request.param
    full_size = request.node.get_closest_marker("golden") is not None
    graphs: Path = request.getfixturevalue("golden_graphs" if full_size else "graphs")
    answers = golden_root() if full_size else DATA
    assert answers is not None
    return _load(graphs / name.split("/")[0]), load_golden(answers, name)


def layout(case: Case) -> Geometry:
    """Where the image lies in the trunk's input."""
    model, golden = case
    network_input = prepare(golden.image, model.definition.resize, model.definition.pixels)
    height, width = network_input.pixels.shape[2:]
    return geometry(network_input.size, network_input.offset, (height, width), model.definition.box_edges)


def maps(golden: Golden) -> tuple[Float, Float]:
    """TensorFlow's region proposal maps, as NCHW."""
    if "rpn_box_encodings" not in golden.arrays:
        pytest.skip("these maps are kept for some graphs only")
    return tuple(golden.arrays[name].transpose(0, 3, 1, 2) for name in ("rpn_box_encodings", "rpn_class_logits"))  # type: ignore[return-value]


def features(case: Case) -> Float:
    """The feature map that the heads crop, (1, C, h, w)."""
    model, golden = case
    pixels = prepare(golden.image, model.definition.resize, model.definition.pixels).pixels
    return np.asarray(model._nets.backbone.run({"image": pixels})[0])


def mask_differences(case: Case, indices: Sequence[int]) -> list[float]:
    """How far our mask head is from TensorFlow's on TensorFlow's own boxes, a few at a time."""
    model, golden = case
    assert model._nets.mask_head is not None
    assert model.definition.mask is not None
    trunk, result = features(case), []
    for start in range(0, len(indices), MASKS):
        some = list(indices[start : start + MASKS])
        crops = roi_align([trunk], golden.arrays["detection_boxes"][some], model.definition.mask.crop, trunk.shape[2:])
        (logits,) = model._nets.mask_head.run({"crops": crops})
        masks = select_masks(logits, golden.arrays["detection_classes"][some].astype(np.intp) - 1)
        result += np.abs(masks - golden.arrays["detection_masks"][some]).max(axis=(1, 2)).tolist()
    return result


def amplified(case: Case, different: list[Outlier]) -> list[Outlier]:
    """Those masks that only differ because the box before them does, by float noise."""
    model, _ = case
    if model.path.parent.name not in AMPLIFYING:
        return []
    masks = [each for each in different if each.reason.startswith("mask")]
    left = mask_differences(case, [each.index for each in masks])
    return [each for each, difference in zip(masks, left, strict=True) if difference <= MASK]


def test_detections(case: Case) -> None:
    model, golden = case
    found = model.predict(golden.image, score_threshold=None)
    assert len(found) == len(golden.boxes) > 0
    different = outliers(found, golden)
    explained = amplified(case, different)
    left = [each for each in different if each not in explained]
    assert [each for each in left if not ends_at_border(each, golden, model.definition)] == []
    # In the tiny cases a single one is more than the share that a photo may have.
    assert len(left) <= max(1, EXCEPTIONS * len(golden.boxes))


def test_mask_head_on_tensorflows_boxes(case: Case) -> None:
    _, golden = case
    if "detection_masks" not in golden.arrays:
        pytest.skip("the model has no mask branch")
    inside = np.flatnonzero(golden.arrays["detection_boxes"][:, 2:].max(axis=1) < 1 - 1e-6)
    if len(inside) == 0:
        pytest.skip("all detections of this photo end at its border")
    spread = inside[np.linspace(0, len(inside) - 1, min(MASKS, len(inside))).astype(np.intp)]
    assert max(mask_differences(case, spread.tolist())) <= MASK


def test_preprocessed_pixels_are_equal_bit_for_bit(case: Case) -> None:
    model, golden = case
    pixels = prepare(golden.image, model.definition.resize, model.definition.pixels).pixels
    assert pixels.transpose(0, 2, 3, 1).shape == tuple(golden.arrays["preprocessed_shape"])
    every_16th = pixels.transpose(0, 2, 3, 1)[:, ::16, ::16]
    np.testing.assert_array_equal(every_16th, golden.arrays["preprocessed_every_16th"])


def test_region_proposal_maps(case: Case) -> None:
    model, golden = case
    pixels = prepare(golden.image, model.definition.resize, model.definition.pixels).pixels
    _, encodings, logits = model._nets.backbone.run({"image": pixels})
    for ours, theirs in zip((encodings, logits), maps(golden), strict=True):
        # Of the 38,400 values of the dilated ResNet-50 three are off by 1.1e-3, where Winograd's convolutions round.
        np.testing.assert_allclose(ours, theirs, atol=2e-3 if model.path.parent.name in AMPLIFYING else 1e-3)
        assert float(np.sqrt(np.mean((ours - theirs) ** 2))) < 2e-4 * float(theirs.std())


def test_proposals_from_tensorflows_maps(case: Case) -> None:
    model, golden = case
    encodings, logits = maps(golden)
    proposals = find_proposals([encodings], [logits], model.definition, layout(case))
    expected = golden.arrays["proposals"]
    # TensorFlow fills up with empty boxes to the limit.
    expected = expected[(expected[:, 2:] > expected[:, :2]).all(axis=1)]
    np.testing.assert_allclose(proposals, expected, atol=2e-6)


def test_box_head_on_tensorflows_proposals(case: Case) -> None:
    model, golden = case
    proposals = golden.arrays["proposals"]
    inside = (proposals[:, 2:].max(axis=1) < 1 - 1e-6) & (proposals[:, 2:] > proposals[:, :2]).all(axis=1)
    assert inside.any()
    pixels = prepare(golden.image, model.definition.resize, model.definition.pixels).pixels
    features = model._nets.backbone.run({"image": pixels})[0]
    crops = roi_align([features], proposals[inside], model.definition.crop, features.shape[2:])
    encodings, logits = model._nets.box_head.run({"crops": crops})
    theirs = golden.arrays["refined_box_encodings"]
    np.testing.assert_allclose(encodings.reshape(-1, *theirs.shape[1:]), theirs[inside], atol=5e-3)
    np.testing.assert_allclose(logits, golden.arrays["class_logits"][inside], atol=2e-2)


def test_detections_from_tensorflows_head(case: Case) -> None:
    model, golden = case
    arrays = golden.arrays
    real = (arrays["proposals"][:, 2:] > arrays["proposals"][:, :2]).all(axis=1)
    found = find_detections(
        arrays["refined_box_encodings"][real],
        arrays["class_logits"][real],
        arrays["proposals"][real],
        model.definition,
        model.definition.detection_nms,
        layout(case),
    )
    np.testing.assert_allclose(found.scores, arrays["detection_scores"], atol=1e-6)
    np.testing.assert_allclose(layout(case).fractions_of_image(found.boxes), arrays["detection_boxes"], atol=2e-6)
    np.testing.assert_array_equal(found.classes + 1, arrays["detection_classes"])


def test_the_model_is_really_asked(case: Case) -> None:
    """The same checks on a mirrored image fail, so they can."""
    model, golden = case
    arrays = {name: array[:10] if name.startswith("detection") else array for name, array in golden.arrays.items()}
    first = Golden(golden.image, arrays)
    mirrored = model.predict(np.ascontiguousarray(golden.image[:, ::-1]), score_threshold=None, max_instances=10)
    assert outliers(mirrored, first)
