"""What each format's files say: label and mask of every instance, by the picture's place.

These readers rasterise as the format's own ecosystem does, written down here in a few lines; test_own_readers.py asks
the real libraries.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from tests.outputs.formats.scenes import HEIGHT, LABELS, WIDTH, Mask, blank

Found = dict[str, list[tuple[str, Mask]]]


def read_json(folder: Path) -> Found:
    return {_below(path, folder): _record(json.loads(path.read_bytes())) for path in _all(folder, "json")}


def read_jsonl(folder: Path) -> Found:
    lines = (folder / "records.jsonl").read_bytes().splitlines()
    return {record["place"]: _record(record) for record in map(json.loads, lines)}


def _record(record: dict[str, Any]) -> list[tuple[str, Mask]]:
    instances = record["instances"]
    return [(each["label"], _decoded(each["mask"]) if each["mask"] else filled(each["box"])) for each in instances]


def filled(box: list[float]) -> Mask:
    mask = blank()
    mask[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])] = True
    return mask


def _decoded(rle: dict[str, Any]) -> Mask:
    return np.asarray(coco_mask.decode(rle)).astype(np.bool_)


def read_coco(folder: Path) -> Found:
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO(str(folder / "annotations.json"))
    found: Found = {picture["file_name"]: [] for picture in dataset.loadImgs(dataset.getImgIds())}
    for annotation in dataset.loadAnns(dataset.getAnnIds()):
        label = dataset.loadCats(annotation["category_id"])[0]["name"]
        place = dataset.loadImgs(annotation["image_id"])[0]["file_name"]
        found[place].append((label, dataset.annToMask(annotation).astype(np.bool_)))
    return found


def read_coco_results(folder: Path) -> Found:
    """By image id."""
    found: Found = {}
    for result in json.loads((folder / "results.json").read_bytes()):
        found.setdefault(str(result["image_id"]), []).append(
            (LABELS.get(result["category_id"], ""), _decoded(result["segmentation"]))
        )
    return found


def read_yolo(folder: Path) -> Found:
    names = [line.split(": ", 1)[1] for line in (folder / "yolo" / "data.yaml").read_text("utf-8").splitlines()[3:]]
    found: Found = {}
    for path in _all(folder / "yolo" / "labels", "txt"):
        here = found.setdefault(_below(path, folder / "yolo" / "labels"), [])
        for line in path.read_text().splitlines():
            number, *values = line.split()
            here.append((json.loads(names[int(number)]), _yolo_mask(np.array(values, dtype=np.float32))))
    return found


def _yolo_mask(values: np.ndarray[Any, np.dtype[np.float32]]) -> Mask:
    if len(values) == 4:
        x, y, width, height = values * (WIDTH, HEIGHT, WIDTH, HEIGHT)
        return filled([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    canvas = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    points = values.reshape(-1, 2) * np.array([WIDTH, HEIGHT], dtype=np.float32)
    cv2.fillPoly(canvas, [points.astype(np.int32)], [1])
    rounded = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    cv2.fillPoly(rounded, [np.round(points).astype(np.int32)], [1])
    assert np.array_equal(canvas, rounded), "it must not matter how a reader comes to whole pixels"
    return canvas.astype(np.bool_)


def read_labelme(folder: Path) -> Found:
    found: Found = {}
    for path in _all(folder / "labelme", "json"):
        content = json.loads(path.read_bytes())
        groups: dict[Any, tuple[str, Mask]] = {}
        for number, shape in enumerate(content["shapes"]):
            key = shape["group_id"] or -number - 1
            label, before = groups.get(key, (shape["label"], blank()))
            groups[key] = (label, before | _labelme_mask(shape))
        found[_below(path, folder / "labelme")] = list(groups.values())
        assert content["imageData"] or (path.parent / content["imagePath"]).is_file()
    return found


def _labelme_mask(shape: dict[str, Any]) -> Mask:
    points = [tuple(point) for point in shape["points"]]
    if shape["shape_type"] == "rectangle":
        return filled([*points[0], *points[1]])
    if shape["shape_type"] == "mask":
        (left, top), (right, bottom) = points
        mask = blank()
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
            mask[top : bottom + 1, left : right + 1] = np.asarray(image).astype(np.bool_)
        return mask
    canvas = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(canvas).polygon(points, outline=1, fill=1)
    return np.asarray(canvas).astype(np.bool_)


def read_cvat(folder: Path) -> Found:
    found: Found = {}
    for image in ElementTree.parse(folder / "annotations.xml").getroot().iter("image"):
        groups: dict[Any, tuple[str, Mask]] = {}
        for number, shape in enumerate(image):
            key = int(shape.get("group_id", 0)) or -number - 1
            label, before = groups.get(key, (shape.attrib["label"], blank()))
            groups[key] = (label, before | _cvat_mask(shape.tag, shape.attrib))
        found[image.attrib["name"]] = list(groups.values())
    return found


def _cvat_mask(kind: str, values: dict[str, str]) -> Mask:
    if kind == "box":
        return filled([float(values[name]) for name in ("xtl", "ytl", "xbr", "ybr")])
    if kind == "polygon":
        points = [[float(value) for pair in values["points"].split(";") for value in pair.split(",")]]
        return np.asarray(coco_mask.decode(coco_mask.frPyObjects(points, HEIGHT, WIDTH)))[..., 0].astype(np.bool_)
    left, top, width, height = (int(values[name]) for name in ("left", "top", "width", "height"))
    runs = [int(run) for run in values["rle"].split(", ")]
    mask = blank()
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask[top : top + height, left : left + width] = flat.reshape(height, width)
    return mask


def read_binary(folder: Path) -> Found:
    return _instance_files(folder / "binary", lambda image: np.asarray(image) == 255)


def _instance_files(folder: Path, mask: Callable[[Image.Image], Mask]) -> Found:
    found: Found = {}
    for path in _all(folder, "png"):
        with Image.open(path) as image:
            label = path.stem.split("-", 1)[1]
            found.setdefault(_below(path.parent, folder, cut=False), []).append((label, mask(image)))
    return found


def read_csv(folder: Path) -> Found:
    with (folder / "instances.csv").open(encoding="utf-8", newline="") as file:
        return _rows(list(csv.DictReader(file)))


def read_parquet(folder: Path) -> Found:
    from pyarrow.parquet import read_table

    return _rows(read_table(folder / "instances.parquet").to_pylist())


def _rows(rows: list[dict[str, Any]]) -> Found:
    found: Found = {}
    for row in rows:
        box = [float(row[name]) for name in ("x1", "y1", "x2", "y2")]
        size = [int(row["height"]), int(row["width"])]
        mask = _decoded({"size": size, "counts": row["rle"]}) if row["rle"] else filled(box)
        assert int(row["area"]) == mask.sum()
        found.setdefault(row["image"], []).append((row["label"], mask))
    return found


READERS: dict[str, Callable[[Path], Found]] = {
    "json": read_json,
    "jsonl": read_jsonl,
    "coco": read_coco,
    "coco-results": read_coco_results,
    "yolo": read_yolo,
    "labelme": read_labelme,
    "cvat": read_cvat,
    "binary": read_binary,
    "csv": read_csv,
    "parquet": read_parquet,
}
"""Of the formats that hold every instance whole."""


def _all(folder: Path, suffix: str) -> list[Path]:
    return sorted(path for path in folder.rglob(f"*.{suffix}") if not path.name.startswith("."))


def _below(path: Path, folder: Path, cut: bool = True) -> str:
    place = path.relative_to(folder)
    return (place.with_suffix("") if cut else place).as_posix()
