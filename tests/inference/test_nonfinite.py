"""Nets whose numbers are none: whatever they put out, what is found is finite, inside of the image, and writable."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mrcnn_cv import Instances, MaskRCNN
from mrcnn_cv.engines.base import Net
from mrcnn_cv.inference.nets import Nets
from mrcnn_cv.inference.nms import best
from mrcnn_cv.inference.roi_align import assign_boxes_to_levels
from mrcnn_cv.model.definition import PyramidSpec
from tests.support.parity import Float, Image

BAD = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "huge": 3e38, "-huge": -3e38, "tiny": 1e-45}
STAGES = ("backbone", "box_head", "mask_head", "all")


class Spoilt:
    """A net that puts out another one's numbers, a share of them replaced by `value`; None: by all that is bad."""

    def __init__(self, net: Net, value: float | None, share: float) -> None:
        self._net, self._value, self._share = net, value, share
        self._random = np.random.default_rng(0)

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        return [self._spoil(each) for each in self._net.run(inputs)]

    def _spoil(self, numbers: Float) -> Float:
        spoilt = np.array(numbers)
        chosen = self._random.random(spoilt.shape) < self._share
        values = list(BAD.values()) if self._value is None else [self._value]
        spoilt[chosen] = self._random.choice(np.array(values, np.float32), int(chosen.sum()))
        return spoilt

    def devices(self) -> set[str]:
        return self._net.devices()


@pytest.fixture
def model(tiny_model: MaskRCNN) -> Iterator[MaskRCNN]:
    """The tiny model, whose nets and numbers a test may replace."""
    nets, spec = tiny_model._nets, tiny_model.definition
    yield tiny_model
    tiny_model._nets, tiny_model.definition = nets, spec


def spoil(model: MaskRCNN, value: float | None, share: float, which: str) -> None:
    nets = model._nets
    parts: dict[str, Any] = {
        name: Spoilt(getattr(nets, name), value, share) if which in ("all", name) else getattr(nets, name)
        for name in STAGES[:3]
    }
    model._nets = Nets(**parts)


CASES = [
    *(
        (value, share, which, "softmax")
        for value in ("nan", "inf", "mixed")
        for share in (0.3, 1.0)
        for which in STAGES
    ),
    *((value, 0.3, "box_head", conversion) for value in ("inf", "mixed") for conversion in ("sigmoid", "identity")),
]


@pytest.mark.parametrize(("value", "share", "which", "conversion"), CASES)
def test_instances_are_numbers_inside_of_the_image(
    model: MaskRCNN, photo: Image, value: str, share: float, which: str, conversion: Any
) -> None:
    spoil(model, BAD.get(value), share, which)
    model.definition = replace(model.definition, score_activation=conversion)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.predict(photo, score_threshold=0.0, max_instances=5)
    check(found)
    assert found.draw(photo).shape == photo.shape
    json.dumps(found.to_dict(), allow_nan=False)


def check(found: Instances) -> None:
    """What everybody who is handed instances may rely on."""
    height, width = found.image_size
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.scores).all()
    x1, y1, x2, y2 = found.boxes.T
    assert ((x1 >= 0) & (y1 >= 0) & (x1 < x2) & (y1 < y2)).all()
    assert ((x2 <= width * (1 + 1e-6)) & (y2 <= height * (1 + 1e-6))).all()
    assert (np.diff(found.scores) <= 0).all()


def test_a_mask_of_no_numbers_is_empty(model: MaskRCNN, photo: Image) -> None:
    spoil(model, np.nan, 1.0, "mask_head")
    found = model.predict(photo)
    assert len(found)
    assert found.mask_probabilities is not None
    assert not found.mask_probabilities.any()


def test_scores_that_are_no_numbers_are_worse_than_all_numbers() -> None:
    scores = np.array([np.nan, 0.1, np.nan, 0.3, 0.2], np.float32)
    assert best(scores, 2).tolist() == [3, 4]
    assert best(scores, 4).tolist() == [0, 1, 3, 4]


def test_a_region_of_no_numbers_belongs_to_the_finest_level() -> None:
    regions = np.array([[0, 0, 1, 1], [np.nan, 0, 1, 1]], np.float32)
    assert assign_boxes_to_levels(regions, PyramidSpec(4, 2), (224, 224)).tolist() == [2, 0]
