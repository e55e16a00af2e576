"""The whole graph in one forward of cv2.dnn, by a text graph made in memory: it finds what the three nets find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.importers.tensorflow.graphdef import read_graph
from mrcnn_cv.inference.preprocess.resize import prepare
from mrcnn_cv.util.c_locale import c_locale
from mrcnn_cv.util.opencv import cv2
from scripts.benchmarks.text_graph import DETECTIONS, MASKS, text_graph
from tests.support.opencv import classic_only
from tests.support.parity import Image

pytestmark = classic_only


def whole_graph(path: Path, image: Image) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(rows of image, class, score, left, top, right, bottom; masks of these rows) of one forward.

    Where "I" is the capital of another letter, DetectionOutput does not know its own CENTER_SIZE (OpenCV 4.10 to 5.0).
    """
    spec = open_model(path).definition
    text = np.frombuffer(text_graph(read_graph(path), spec).encode(), np.uint8)
    engine: dict[str, Any] = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    with c_locale():
        net = cv2.dnn.readNetFromTensorflow(np.fromfile(path, np.uint8), text, **engine)
        net.setInput(prepare(image, spec.resize, spec.pixels).pixels)
        outputs = net.forward([DETECTIONS] if spec.mask is None else [DETECTIONS, MASKS])
    return np.asarray(outputs[0])[0, 0], None if spec.mask is None else np.asarray(outputs[1])


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("tiny_resnet101", 0.9),
        pytest.param("tiny_inception_resnet_v2", 0.7, marks=pytest.mark.long),
        ("tiny_resnet50_atrous", 0.5),
    ],
)
def test_it_finds_what_the_three_nets_find(graphs: Path, photo: Image, name: str, least: float) -> None:
    # Not all of it: cv2.dnn clips boxes to the image before it suppresses them, and TensorFlow afterwards, which in a
    # image of 240x160 pixels, where most boxes reach beyond its border, changes which of them remain.
    path = graphs / name / "frozen_inference_graph.pb"
    rows, masks = whole_graph(path, photo)
    assert masks is not None
    found = MaskRCNN.load(path, backend="cpu").predict(photo, score_threshold=None)
    assert found.mask_probabilities is not None
    corners = rows[:, 3:] * np.tile(found.image_size[::-1], 2)
    agreeing = 0
    for index in range(len(found)):
        distances = np.abs(corners - found.boxes[index]).max(axis=1)
        distances[rows[:, 1] != found.class_ids[index] - 1] = np.inf
        nearest = int(distances.argmin())
        if distances[nearest] < 0.1 and abs(rows[nearest, 2] - found.scores[index]) < 2e-3:
            channel = 0 if masks.shape[1] == 1 else found.class_ids[index] - 1
            assert np.abs(masks[nearest, channel] - found.mask_probabilities[index]).max() < 0.02
            agreeing += 1
    assert agreeing >= least * len(found)


def test_a_graph_without_masks_puts_out_boxes_alone(graphs: Path, photo: Image) -> None:
    rows, masks = whole_graph(graphs / "tiny_many_classes" / "frozen_inference_graph.pb", photo)
    assert masks is None
    assert rows.shape[1] == 7


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tiny_mask_rcnn_agnostic", "share one box"),
        ("tiny_faster_rcnn", "not a plain softmax"),
    ],
)
def test_what_cv2_has_no_layers_for_is_refused_with_the_reason(graphs: Path, name: str, why: str) -> None:
    path = graphs / name / "frozen_inference_graph.pb"
    with pytest.raises(ModelFileError, match=rf"cannot run as a whole in cv2\.dnn: .*{why}"):
        text_graph(read_graph(path), open_model(path).definition)


@pytest.mark.golden
def test_it_is_the_text_graph_of_the_tutorials(golden_graphs: Path) -> None:
    """The same numbers, to the last bit, as with the .pbtxt that OpenCV's own script makes."""
    from tests.conftest import golden_root, read_image

    root = golden_root()
    assert root is not None
    path = golden_graphs / "mask_rcnn_inception_v2" / "frozen_inference_graph.pb"
    image = read_image(root / "images" / "coffee.png")
    engine: dict[str, Any] = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    net = cv2.dnn.readNetFromTensorflow(str(path), str(root / "mask_rcnn_inception_v2" / "whole_graph.pbtxt"), **engine)
    # That one has the preprocessing in it.
    net.setInput(prepare(image, open_model(path).definition.resize, ()).pixels)
    rows, masks = net.forward(["detection_out_final", "detection_masks"])
    own_rows, own_masks = whole_graph(path, image)
    np.testing.assert_array_equal(own_rows, np.asarray(rows)[0, 0])
    np.testing.assert_array_equal(own_masks, np.asarray(masks))
