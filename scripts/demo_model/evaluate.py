"""Measure a frozen graph, or results that another program wrote, on a data set of make_data.py.

Masks are pasted into the image by the Object Detection API's own function and compared by pycocotools.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SHOWN_SCORE = 0.5


def make_paster() -> Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]:
    """The API's function as `paste(masks, boxes, height, width)`: (n, mh, mw) box-local to (n, height, width) bool."""
    import odapi  # noqa: F401  (only here: results of another program need no TensorFlow)
    import tensorflow.compat.v1 as tf
    from object_detection.utils import ops

    with tf.Graph().as_default() as graph:
        masks = tf.placeholder(tf.float32, (None, None, None))
        boxes = tf.placeholder(tf.float32, (None, 4))
        height, width = tf.placeholder(tf.int32, ()), tf.placeholder(tf.int32, ())
        pasted = ops.reframe_box_masks_to_image_masks(masks, boxes, height, width) > 0.5
    session = tf.Session(graph=graph)
    return lambda m, b, h, w: session.run(pasted, {masks: m, boxes: b, height: h, width: w})


def detect(graph: Path, coco: COCO, images: Path) -> list[dict]:
    """COCO results of a frozen graph, run by TensorFlow, for all images of a data set."""
    from answers import Answers, read_graph

    paste = make_paster()
    results = []
    with Answers(read_graph(graph), stages=False) as answers:
        for row in coco.loadImgs(coco.getImgIds()):
            image = cv2.imread(str(images / row["file_name"]), cv2.IMREAD_COLOR)[..., ::-1]
            found = answers(np.ascontiguousarray(image))
            if not len(found["detection_scores"]):
                continue
            pasted = paste(found["detection_masks"], found["detection_boxes"], row["height"], row["width"])
            boxes = found["detection_boxes"] * np.tile([row["height"], row["width"]], 2)
            for index, (top, left, bottom, right) in enumerate(boxes.tolist()):
                code = coco_mask.encode(np.asfortranarray(pasted[index], dtype=np.uint8))
                results.append(
                    {
                        "image_id": row["id"],
                        "category_id": int(found["detection_classes"][index]),
                        "score": float(found["detection_scores"][index]),
                        "bbox": [left, top, right - left, bottom - top],
                        "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
                    }
                )
    return results


def average_precision(coco: COCO, results: list[dict], kind: str) -> dict[str, float]:
    """AP (IoU 0.50 to 0.95), AP50, AP75 and AP of every class; `kind` is "segm" or "bbox"."""
    names = {number: row["name"] for number, row in coco.cats.items()}
    if not results:
        return {"AP": 0.0, "AP50": 0.0, "AP75": 0.0, **dict.fromkeys(names.values(), 0.0)}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco, coco.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
    # precision: (IoU thresholds, recalls, classes, areas, limits); area 0 is "all", the last limit is 100 detections
    precision = evaluation.eval["precision"][:, :, :, 0, -1]

    def mean(values: np.ndarray) -> float:
        known = values[values >= 0]
        return round(float(known.mean()), 4) if known.size else 0.0

    figures = {"AP": mean(precision), "AP50": mean(precision[0]), "AP75": mean(precision[5])}
    return figures | {names[number]: mean(precision[:, :, k]) for k, number in enumerate(evaluation.params.catIds)}


def load(folder: Path) -> COCO:
    """The ground truth of a data set."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(folder / "annotations.json"))


def results_for(folder: Path, coco: COCO, graph: Path | None, results: Path | None) -> list[dict]:
    """Results from a file if there is one, else by running the graph."""
    return json.loads(results.read_text()) if results else detect(graph, coco, folder / "images")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graph", type=Path, help="frozen graph, to be run by TensorFlow")
    parser.add_argument("--data", type=Path, help="folder of images/ and annotations.json")
    parser.add_argument("--results", type=Path, help="COCO results for --data, instead of --graph")
    parser.add_argument("--empty", type=Path, help="a data set without any shapes, to count false instances on")
    parser.add_argument("--empty-results", type=Path, help="COCO results for --empty, instead of --graph")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--save-results", type=Path, help="write the COCO results for --data here")
    arguments = parser.parse_args()
    figures: dict[str, object] = {}
    if arguments.data:
        coco = load(arguments.data)
        results = results_for(arguments.data, coco, arguments.graph, arguments.results)
        if arguments.save_results:
            arguments.save_results.write_text(json.dumps(results))
        figures = {"images": len(coco.imgs), "instances": len(coco.anns), "detections": len(results)}
        figures |= {name: average_precision(coco, results, kind) for name, kind in (("mask", "segm"), ("box", "bbox"))}
    if arguments.empty:
        coco = load(arguments.empty)
        results = results_for(arguments.empty, coco, arguments.graph, arguments.empty_results)
        false = [row for row in results if row["score"] >= SHOWN_SCORE]
        figures["empty_images"] = len(coco.imgs)
        figures["false_instances"] = len(false)
        figures["images_with_false_instances"] = len({row["image_id"] for row in false})
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
