"""Write TensorFlow's answers to small questions that the unit tests ask: sizes, resizing, suppression, pasted masks.

Usage: python make_unit_answers.py tests/data/unit_answers.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import odapi  # noqa: F401  (puts back what the Object Detection API needs)
import tensorflow.compat.v1 as tf
from object_detection.core import preprocessor
from object_detection.utils import ops

LIMITS = ((800, 1365), (600, 1024), (96, 160), (640, 640))
SIZES = (
    *((600, 400), (400, 600), (451, 300), (300, 451), (512, 512), (1, 1), (2, 1), (1, 2), (3, 5), (1000, 1000)),
    *((333, 777), (777, 333), (800, 1365), (1365, 800), (799, 1365), (801, 1367), (480, 819), (1080, 1920)),
    *((427, 640), (375, 500), (1366, 1), (1, 2730), (7, 4000), (1023, 599), (64, 1024), (1600, 2730), (320, 546)),
)
RESIZES = (((5, 7), (11, 13)), ((11, 13), (5, 7)), ((4, 4), (8, 8)), ((1, 1), (3, 2)), ((9, 6), (6, 9)))
METHODS = {
    "bilinear": tf.raw_ops.ResizeBilinear,
    "nearest": tf.raw_ops.ResizeNearestNeighbor,
    "bicubic": tf.raw_ops.ResizeBicubic,
    "area": tf.raw_ops.ResizeArea,
}
BOXES = (
    *((0.2, 0.1, 0.8, 0.7), (0.0, 0.0, 1.0, 1.0), (-0.2, 0.3, 0.5, 1.4), (0.31, 0.42, 0.33, 0.47)),
    *((1.1, 1.1, 1.4, 1.5), (0.95, 0.9, 1.0, 1.0), (0.123, 0.456, 0.789, 0.654)),
)


def keep_aspect_sizes(session: tf.Session) -> dict[str, np.ndarray]:
    """(n, 6): min, max, height, width and the height and width that resize_to_range gives, 0 where it fails."""
    image = tf.placeholder(tf.float32, [None, None, 3])
    rows = []
    for low, high in LIMITS:
        size = preprocessor.resize_to_range(image, min_dimension=low, max_dimension=high)[1]
        for shape in SIZES:
            try:
                answer = session.run(size, {image: np.zeros((*shape, 3), np.float32)})
            except tf.errors.InvalidArgumentError:  # one side would be of 0 pixels
                answer = (0, 0)
            rows.append((low, high, *shape, *answer[:2]))
    return {"keep_aspect_sizes": np.array(rows)}


def conditional_sizes(session: tf.Session) -> dict[str, np.ndarray]:
    """(n, 6): min and max (0 for none), height, width and the height and width that the conditional resizers give."""
    image = tf.placeholder(tf.float32, [None, None, 3])
    rows = []
    for limit in (96, 333, 600):
        sizes = {
            (limit, 0): preprocessor.resize_to_min_dimension(image, min_dimension=limit)[1],
            (0, limit): preprocessor.resize_to_max_dimension(image, max_dimension=limit)[1],
        }
        for shape in (shape for shape in SIZES if max(shape) <= 25 * min(shape)):
            for limits, answer in session.run(sizes, {image: np.zeros((*shape, 3), np.float32)}).items():
                rows.append((*limits, *shape, *answer[:2]))
    return {"conditional_sizes": np.array(rows)}


def resized(session: tf.Session, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Images and what ResizeBilinear makes of them, with TensorFlow 1's and 2's pixel centres."""
    result = {}
    for index, (before, after) in enumerate(RESIZES):
        image = rng.integers(0, 256, (*before, 3), dtype=np.uint8)
        result[f"resize_{index}_image"] = image
        for name, half in (("corner", False), ("half_pixel", True)):
            node = tf.raw_ops.ResizeBilinear(images=image[None].astype(np.float32), size=after, half_pixel_centers=half)
            result[f"resize_{index}_{name}"] = session.run(node)[0]
        for name, op in METHODS.items():
            for aligned in (False, True):
                node = op(images=image[None].astype(np.float32), size=after, align_corners=aligned)
                result[f"resize_{index}_{name}_{'aligned' if aligned else 'plain'}"] = session.run(node)[0]
    return result


def suppressed(session: tf.Session, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Boxes with ties, without area and inside out, and which of them NonMaxSuppressionV5 keeps."""
    result = {}
    for index, (count, threshold) in enumerate(((12, 0.5), (60, 0.3), (60, 0.0), (1200, 0.7))):
        corner = rng.integers(0, 12, (count, 2)).astype(np.float32)
        boxes = np.concatenate([corner, corner + rng.integers(-1, 9, (count, 2))], axis=1).astype(np.float32)
        if index == 0:
            boxes = np.repeat(boxes[:4], 3, axis=0)
            boxes[:6, 2] = boxes[:6, 0]  # the same boxes without area, three times each
        scores = (rng.integers(0, 40, count) / np.float32(40)).astype(np.float32)
        kept = session.run(tf.image.non_max_suppression_with_scores(boxes, scores, 1000, threshold, 0.1)[0])
        result |= {
            f"nms_{index}_boxes": boxes,
            f"nms_{index}_scores": scores,
            f"nms_{index}_threshold": np.float32(threshold),
            f"nms_{index}_kept": kept,
        }
    return result


def pasted(session: tf.Session, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Masks in boxes y1 x1 y2 x2 (fractions) and the Object Detection API's masks of the whole 37 x 53 image."""
    masks = rng.random((len(BOXES), 15, 15), dtype=np.float32)
    boxes = np.array(BOXES, np.float32)
    images = session.run(ops.reframe_box_masks_to_image_masks(tf.constant(masks), tf.constant(boxes), 37, 53))
    return {"paste_masks": masks, "paste_boxes": boxes, "paste_images": images.astype(np.float32)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    rng = np.random.default_rng(7)
    with tf.Graph().as_default(), tf.Session() as session:
        makers = (resized, suppressed, pasted)
        answers = keep_aspect_sizes(session) | conditional_sizes(session)
        for make in makers:
            answers |= make(session, rng)
    np.savez_compressed(file, **answers)


if __name__ == "__main__":
    main()
