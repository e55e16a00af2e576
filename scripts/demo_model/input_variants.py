"""The same model behind the exporter's other inputs: encoded images, tf.Examples, batches of one image.

The answers must be those of the graph that takes image batches of any size, so only the graphs are kept.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import cv2
import numpy as np
import odapi
import tensorflow.compat.v1 as tf
from answers import DETECTIONS, read_graph

VARIANTS: dict[str, tuple[str, list[int | None] | None]] = {
    "encoded_image_string_tensor": ("encoded_image_string_tensor", None),
    "tf_example": ("tf_example", None),
    "batch_of_one": ("image_tensor", [1, None, None, 3]),
    "batch_of_one_240x160": ("image_tensor", [1, 160, 240, 3]),
}
"""Name → the exporter's (input_type, input_shape)."""


def feed(input_type: str, photo: np.ndarray) -> object:
    """A batch of one (h, w, 3) uint8 RGB photo as an input of that type takes it."""
    if input_type == "image_tensor":
        return photo[None]
    encoded = cv2.imencode(".png", photo[..., ::-1])[1].tobytes()
    if input_type == "encoded_image_string_tensor":
        return [encoded]
    example = tf.train.Example()
    example.features.feature["image/encoded"].bytes_list.value.append(encoded)
    example.features.feature["image/format"].bytes_list.value.append(b"png")
    return [example.SerializeToString()]


def check(graph: Path, input_type: str, photo: np.ndarray, expected: dict[str, np.ndarray]) -> None:
    """Raise AssertionError unless TensorFlow's detections are the `expected` ones, but for noise of float32."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(read_graph(graph), name="")
        outputs = {name: f"{name}:0" for name in DETECTIONS if name in expected}
        found = session.run(outputs, {f"{input_type}:0": feed(input_type, photo)})
        for name, value in found.items():
            np.testing.assert_allclose(value[0, : len(expected["detection_scores"])], expected[name], atol=1e-5)


def export(
    pipeline: object,
    checkpoint: Path,
    photos: dict[str, np.ndarray],
    expected: dict[str, dict[str, np.ndarray]],
    directory: Path,
    scratch: Path,
) -> None:
    """Write the graph of each variant to `directory`; expected: TensorFlow's answers for the usual one, by photo."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, (input_type, shape) in VARIANTS.items():
        frozen = odapi.freeze(pipeline, checkpoint, scratch / name, shape, input_type)
        for photo_name, photo in photos.items():
            if shape is None or shape[1] in (None, photo.shape[0]):
                check(frozen, input_type, photo, expected[photo_name])
        packed = lzma.compress(frozen.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
        (directory / f"{name}.pb.xz").write_bytes(packed)
        print(f"{directory.name} {name}: {len(packed)} bytes packed")
