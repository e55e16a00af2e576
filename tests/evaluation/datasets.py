"""Small data sets in COCO's format, and results for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn_cv.structures import masks

Data = dict[str, Any]

WIDTH, HEIGHT = 60, 40
NAMES = ("cup", "spoon", "plate")


def rle(left: int, top: int, width: int, height: int) -> masks.Rle:
    """A rectangle as run lengths."""
    return masks.to_rle(masks.LocalMask(top, left, np.ones((height, width), np.bool_)), (HEIGHT, WIDTH))


def polygon(left: float, top: float, width: float, height: float) -> list[list[float]]:
    """A rectangle as an outline."""
    right, bottom = left + width, top + height
    return [[left, top, right, top, right, bottom, left, bottom]]


def dataset() -> Data:
    """Two images, three categories, four annotations: rectangles as run lengths and as outlines."""
    places = [(1, 1, (2, 3, 20, 10)), (1, 2, (30, 5, 12, 24)), (2, 1, (8, 8, 16, 16)), (2, 3, (40, 2, 10, 30))]
    return {
        "images": [{"id": each, "file_name": f"{each}.png", "width": WIDTH, "height": HEIGHT} for each in (1, 2)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(NAMES, start=1)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": 0,
                "segmentation": rle(*box) if number % 2 else polygon(*box),
            }
            for number, (image, category, box) in enumerate(places)
        ],
    }


def perfect(data: Data) -> list[Data]:
    """Results that are the annotations themselves."""
    return [
        {
            "image_id": each["image_id"],
            "category_id": each["category_id"],
            "score": 0.9 - 0.01 * index,
            "bbox": each["bbox"],
            "segmentation": rle(*each["bbox"]),
        }
        for index, each in enumerate(data["annotations"])
    ]


def written(folder: Path, data: Any) -> Path:
    """The data set as a file."""
    path = folder / "annotations.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path
