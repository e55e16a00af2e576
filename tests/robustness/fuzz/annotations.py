"""Annotation files of data sets, as far as pycocotools' figures: its C code looks at nothing."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn_cv.errors import LabelFileError
from mrcnn_cv.evaluation.annotations import read_dataset
from mrcnn_cv.evaluation.categories import match_categories
from mrcnn_cv.evaluation.dataset_frames import image_refs
from mrcnn_cv.evaluation.scores import CocoEvaluator, as_json
from mrcnn_cv.structures import masks
from tests.robustness.fuzz.file_edits import NAMES, edited_bytes, edited_text, encoded
from tests.robustness.fuzz.worker import make_again

EXIT_CODES = {3, 5}

_ODD: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 59, 60, 61, 2**16, 2**20, 2**31, 2**32, 2**53, 2**64, 10**400, 0.5, -0.0, 1e308, 1e-320, 1e12),
    *(None, True, "", "0", "x" * 1000, "\x1b[31m", [], {}, [[]], [None], {"a": 1}, float("nan"), float("inf")),
)


def case(number: int, seed: int, folder: Path) -> Path:
    """One annotation file."""
    chance = random.Random(f"{seed}/{number}")
    what = chance.randrange(10)
    path = folder / "annotations.json"
    if what <= 1:
        data = edited_bytes(json.dumps(_dataset()).encode(), chance)
    elif what == 2:
        data = encoded(edited_text(json.dumps(_dataset()), chance))
    elif what == 3:
        data = _structures(chance)
    else:
        dataset = _dataset()
        for _ in range(chance.choice((1, 1, 2, 4))):
            _edit(dataset, chance)
        data = json.dumps(dataset).encode()
    path.write_bytes(data)
    return path


def attempt(path: Path) -> str:
    """As eval does, with results that are rectangles in every image."""
    dataset = read_dataset(path)
    used = {each.category for each in dataset.annotations}
    try:
        found = match_categories({1: "cup", 2: "spoon", 3: "plate"}, 3, dataset.categories, used, path)
    except LabelFileError as error:
        return f"refused: {type(error).__name__}"
    for item in image_refs(dataset.images, path.parent):
        assert item.path is not None
        assert ".." not in item.path.parts
        assert item.path.is_relative_to(path.parent)
    judge = CocoEvaluator(dataset, {each.id for each in dataset.images}, sorted(set(found.categories.values())))
    results: list[dict[str, Any]] = [
        {"image_id": each.id, "category_id": category, "bbox": [2, 3, 20, 10], "score": 0.5}
        for each in dataset.images[:20]
        for category in list(found.categories.values())[:5]
    ]
    as_json(judge.scores(results, "box"))
    if dataset.has_masks:
        sizes = {each.id: [each.height, each.width] for each in dataset.images}
        for each in results:
            height, width = sizes[each["image_id"]]
            first = min(7, height * width)
            each["segmentation"] = {"size": [height, width], "counts": [0, first, height * width - first]}
        small = [each for each in results if sizes[each["image_id"]][0] * sizes[each["image_id"]][1] < 1 << 31]
        as_json(judge.scores(_coded(small), "mask"))
    return "accepted"


def _coded(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from pycocotools import mask

    for each in results:
        size = each["segmentation"]["size"]
        each["segmentation"] = mask.frPyObjects(each["segmentation"], *size)
    return results


def _dataset() -> dict[str, Any]:
    sizes = {"width": 60, "height": 40}
    square = [[10, 10, 30, 10, 30, 30, 10, 30]]
    lengths = {"size": [40, 60], "counts": [100, 20, 20, 20, 2240]}
    text = masks.to_rle(masks.LocalMask(3, 2, np.ones((10, 20), np.bool_)), (40, 60))
    found: list[Any] = [square, lengths, [[1, 1, 50.5, 2, 20, 39.5], [5, 5, 9, 5, 9, 9]], text, square]
    return {
        "images": [{"id": number, "file_name": f"{number}.png", **sizes} for number in (1, 2, 3)],
        "categories": [{"id": number, "name": name} for number, name in ((1, "cup"), (2, "spoon"), (3, "plate"))],
        "annotations": [
            {
                "id": number,
                "image_id": 1 + number % 3,
                "category_id": 1 + number % 2,
                "iscrowd": int(number == 1),
                "bbox": [10, 10, 20, 20],
                "area": 400,
                "segmentation": copy.deepcopy(mask),
            }
            for number, mask in enumerate(found)
        ],
    }


def _edit(node: Any, chance: random.Random) -> None:
    """Change something at a random place of the tree."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = chance.choice(keys)
        child = node[key]
        if isinstance(child, dict | list) and child and chance.random() < 0.85:
            node = child
            continue
        what = chance.randrange(6)
        if what <= 2:
            node[key] = chance.choice((*_ODD, *NAMES))
        elif what == 3 and isinstance(child, int | float):
            node[key] = child * chance.choice((-1, 0, 2, 100, 10_000, 1_000_000, 0.5))
        elif what == 4:
            del node[key]
        elif isinstance(node, list):
            node.extend(copy.deepcopy(node) * chance.choice((1, 1, 10)))
        else:
            node[chance.choice(("segmentation", "bbox", "area", "iscrowd", "counts", "size"))] = chance.choice(_ODD)
        return


def _structures(chance: random.Random) -> bytes:
    deep, long = chance.choice((50, 2000, 100_000)), chance.choice((1000, 10_000))
    dataset = _dataset()
    first = dataset["annotations"][0]
    side = chance.choice((2**10, 2**14, 2**15, 2**16, 2**20))
    kind = chance.randrange(8)
    if kind == 0:
        return b"[" * deep + b"]" * deep
    if kind == 1:
        return b'{"images":' * deep + b"1" + b"}" * deep
    if kind == 2:
        # Wide polygons on a huge image, and many of them.
        for image in dataset["images"]:
            image["width"] = image["height"] = side
        first["segmentation"] = [[0, 0, side, 1, 0, side] * chance.choice((1, 10, 1000))] * chance.choice((1, 10))
        dataset["annotations"] = [{**first, "image_id": 1} for _ in range(chance.choice((1, 10, 200)))]
    elif kind == 3:
        for image in dataset["images"]:
            image["width"] = image["height"] = side
        first["segmentation"] = {"size": [side, side], "counts": chance.choice(([0, side * side], [side * side]))}
        dataset["annotations"] = [{**first, "image_id": 1}]
    elif kind == 4:
        counts = chance.choice(
            ("o" * long, "0" * long, "1" * 2400, "P" * 1000 + "0", "PPPPPPPP0", "\u0130", "", "T3\0")
        )
        first["segmentation"] = {"size": [40, 60], "counts": counts}
    elif kind == 5:
        dataset["categories"] = [{"id": index, "name": f"n{index}"} for index in range(long)]
    elif kind == 6:
        dataset["images"] = [
            {"id": index, "file_name": f"{index}.png", "width": 60, "height": 40} for index in range(long)
        ]
    else:
        dataset["images"][0]["file_name"] = chance.choice(NAMES)
    return json.dumps(dataset).encode()


if __name__ == "__main__":
    make_again(case, attempt)
