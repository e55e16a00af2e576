"""Small models by their numbers alone, and what TensorFlow answered to small questions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv.graph.ir import NetGraph
from mrcnn_cv.model.definition import AnchorSpec, BoxCoder, CropSpec, ModelDefinition, NmsSpec, ResizeSpec
from tests.conftest import DATA


@pytest.fixture(scope="session")
def answers() -> dict[str, NDArray[Any]]:
    """TensorFlow's answers, made by scripts/demo_model/make_unit_answers.py."""
    with np.load(DATA / "unit_answers.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def spec() -> ModelDefinition:
    """A model of two classes on one anchor of 16 x 16 per cell of 16 x 16, without limits that matter."""
    nothing = NetGraph((), (), ())
    return ModelDefinition(
        family="test",
        backbone="none",
        exporter="none",
        architecture="Faster R-CNN",
        class_count=2,
        resize=ResizeSpec("identity"),
        pixels=(),
        anchors=(AnchorSpec(sizes=((16.0, 16.0),), stride=(16.0, 16.0), offset=(8.0, 8.0), clip_to_image=True),),
        proposal_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)),
        proposal_nms=NmsSpec(0.0, 0.7, 100, 100, clip_first=False),
        crop=CropSpec((7, 7)),
        box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)),
        class_agnostic_boxes=False,
        score_activation="softmax",
        logit_factor=1.0,
        detection_nms=NmsSpec(0.05, 0.6, 100, 100, clip_first=False),
        mask=None,
        trunk=nothing,
        box_head=nothing,
        mask_head=None,
    )
