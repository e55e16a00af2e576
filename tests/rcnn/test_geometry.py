"""Boxes between the trunk's input and the image."""

from __future__ import annotations

import numpy as np

from mrcnn_cv.rcnn.geometry import geometry, to_image


def test_an_image_in_the_middle_of_its_padding() -> None:
    layout = geometry((50, 100), (25, 0), (100, 100), "pixels")
    boxes = np.array([[25, 0, 75, 100], [50, 50, 75, 75]], np.float32)
    np.testing.assert_allclose(layout.fractions(boxes), [[0.25, 0.0, 0.75, 1.0], [0.5, 0.5, 0.75, 0.75]], rtol=1e-6)
    in_image = layout.fractions_of_image(boxes)
    np.testing.assert_allclose(in_image, [[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 1.0, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(to_image(in_image, (200, 400), "pixels"), [[0, 0, 400, 200], [200, 100, 300, 200]])


def test_between_pixel_centres_the_last_pixel_is_a_side_less_one() -> None:
    """matterport's utils.norm_boxes and denorm_boxes: (boxes - [0, 0, 1, 1]) / (side - 1), and back."""
    layout = geometry((50, 100), (25, 0), (100, 100), "centers")
    assert layout.extent == (99, 99)
    whole = np.array([[25, 0, 74, 99]], np.float32)
    np.testing.assert_allclose(layout.fractions(whole), [[25 / 99, 0, 74 / 99, 1]], rtol=1e-6)
    np.testing.assert_allclose(layout.fractions_of_image(whole), [[0, 0, 1, 1]], rtol=1e-6)
    np.testing.assert_allclose(
        to_image(np.array([[0, 0, 1, 1]], np.float32), (200, 400), "centers"), [[0, 0, 400, 200]]
    )
