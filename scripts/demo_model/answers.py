"""What TensorFlow itself answers on a frozen Object Detection API graph: detections and, for tests, the stages."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import odapi  # noqa: F401  (sets up TensorFlow)
import tensorflow.compat.v1 as tf

DETECTIONS = ("detection_boxes", "detection_scores", "detection_classes", "detection_masks")


def read_graph(path: Path) -> tf.GraphDef:
    """Read a frozen graph."""
    graph = tf.GraphDef()
    graph.ParseFromString(Path(path).read_bytes())
    return graph


class Answers:
    """Runs a frozen graph; call it with one (h, w, 3) uint8 RGB image."""

    def __init__(self, definition: tf.GraphDef, stages: bool = True) -> None:
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(definition, name="")
        names = {node.name for node in definition.node}
        self._session = tf.Session(graph=graph)
        self._outputs = {name: f"{name}:0" for name in (*DETECTIONS, "num_detections") if name in names}
        if stages:
            crop = next(node for node in definition.node if node.op == "CropAndResize")
            self._outputs |= {
                "preprocessed": "Preprocessor/sub:0",
                "rpn_box_encodings": "FirstStageBoxPredictor/BoxEncodingPredictor/BiasAdd:0",
                "rpn_class_logits": "FirstStageBoxPredictor/ClassPredictor/BiasAdd:0",
                "proposals": graph.as_graph_element(crop.name).inputs[1].name,
                "refined_box_encodings": "SecondStageBoxPredictor/BoxEncodingPredictor/BiasAdd:0",
                "class_logits": "SecondStageBoxPredictor/ClassPredictor/BiasAdd:0",
            }

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays as in the golden files: detections cut to `num_detections`, boxes normalised ymin xmin ymax xmax."""
        found = self._session.run(self._outputs, {"image_tensor:0": image[None]})
        count = int(found["num_detections"][0])
        for name in DETECTIONS:
            if name in found:
                found[name] = found[name][0, :count]
        if "preprocessed" in found:
            pixels = found.pop("preprocessed")
            found["preprocessed_shape"] = np.array(pixels.shape)
            found["preprocessed_every_16th"] = pixels[:, ::16, ::16]
            found["refined_box_encodings"] = found["refined_box_encodings"].reshape(len(found["proposals"]), -1, 4)
        return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph", type=Path)
    parser.add_argument("directory", type=Path, help="folder for <image>.npz")
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--rpn", action="store_true", help="keep the proposal network's maps, which are large, too")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    with Answers(read_graph(arguments.graph)) as answers:
        for path in arguments.pictures:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
            found = answers(np.ascontiguousarray(image))
            if not arguments.rpn:
                found = {name: value for name, value in found.items() if not name.startswith("rpn_")}
            np.savez_compressed(arguments.directory / f"{path.stem}.npz", **found)
            print(f"{path.name}: {len(found['detection_scores'])} detections")


if __name__ == "__main__":
    main()
