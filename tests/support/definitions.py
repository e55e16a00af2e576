"""Two ways to one model: the same numbers, but for what float32 rounds, and the same answers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.model.definition import ModelDefinition
from tests.support.parity import Image

OF_THE_FILE = ("trunk", "box_head", "mask_head", "backbone", "exporter", "warnings")
"""What may differ: nets are compared by what they answer."""


def assert_same_numbers(found: ModelDefinition, expected: ModelDefinition) -> None:
    """Every number of a definition."""
    for each in fields(expected):
        if each.name not in OF_THE_FILE:
            assert_close(getattr(found, each.name), getattr(expected, each.name), each.name)


def assert_same_answers(found: MaskRCNN, expected: MaskRCNN, image: Image, least: int = 5) -> None:
    """At least so many detections, each with the same box, score, class and mask."""
    ours, theirs = (model.predict(image, score_threshold=None) for model in (found, expected))
    assert len(theirs) >= least
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=5e-4)
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.02)
    assert ours.class_ids.tolist() == theirs.class_ids.tolist()
    assert (ours.mask_probabilities is None) == (theirs.mask_probabilities is None)
    if ours.mask_probabilities is not None and theirs.mask_probabilities is not None:
        np.testing.assert_allclose(ours.mask_probabilities, theirs.mask_probabilities, atol=2e-3)


def assert_close(found: Any, expected: Any, where: str = "") -> None:
    """Equal but for what float32 rounds."""
    if hasattr(expected, "__dataclass_fields__"):
        for each in fields(expected):
            assert_close(getattr(found, each.name), getattr(expected, each.name), f"{where}.{each.name}")
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected), where
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_close(one, other, f"{where}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9), where
    else:
        assert found == expected, where
