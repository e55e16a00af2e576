"""Formats with one file for all images, besides what test_formats.py asks of every format."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn_cv.errors import UsageError
from mrcnn_cv.outputs.base import DatasetWriter, OutputSettings
from mrcnn_cv.outputs.registry import make_datasets
from tests.outputs.formats.scenes import LABELS, Photo, Scene, export, records, scenes


def aggregate(name: str, **options: Any) -> DatasetWriter:
    (made,) = make_datasets([name], OutputSettings(LABELS, "model.pb", **options))
    return made


def written(name: str, found: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    aggregate(name, **options).assemble(found, file)
    return file.getvalue()


@pytest.mark.parametrize("polygons", [False, True])
def test_results_against_their_own_data_set_are_perfect(tmp_path: Path, polygons: bool) -> None:
    some = [Photo("photo.jpg"), scenes()["holes"], scenes()["parts"]]
    export("coco", tmp_path, [], some, polygons=polygons)
    export("coco-results", tmp_path, [], some)
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO(str(tmp_path / "annotations.json"))
        results = dataset.loadRes(str(tmp_path / "results.json"))
        for kind in ("segm", "bbox"):
            evaluation = COCOeval(dataset, results, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] > 0.999


def test_annotations_say_what_was_found() -> None:
    scene = Photo("street/photo.jpg")
    content = json.loads(written("coco", records([scene])))
    assert content["categories"] == [
        {"id": class_id, "name": label, "supercategory": ""} for class_id, label in LABELS.items()
    ]
    assert content["images"] == [{"id": 1, "file_name": "street/photo.jpg", "width": 640, "height": 480}]
    found = scene.found()
    for index, annotation in enumerate(content["annotations"]):
        assert annotation["id"] == 10_001 + index
        assert annotation["category_id"] == found.class_ids[index]
        assert annotation["iscrowd"] == 0
        assert annotation["area"] == np.count_nonzero(found.full_mask(index))
        x, y, width, height = annotation["bbox"]
        assert np.allclose([x, y, x + width, y + height], found.boxes[index], atol=2e-3)


def test_ids_are_unique_and_stay_when_pictures_are_added() -> None:
    found = records([scenes()["holes"], scenes()["parts"], scenes()["overlap"]])
    for number, record in enumerate(found):
        record["index"] = (0, 3, 3)[number]  # the last one from another run into the same folder
    few, all_of_them = (json.loads(written("coco", some)) for some in (found[1:2], found))
    assert len({image["id"] for image in all_of_them["images"]}) == 3
    assert len({annotation["id"] for annotation in all_of_them["annotations"]}) == 8
    assert few["images"][0] in all_of_them["images"]
    assert all(annotation in all_of_them["annotations"] for annotation in few["annotations"])
    results = json.loads(written("coco-results", found))
    assert [each["image_id"] for each in results] == [each["image_id"] for each in all_of_them["annotations"]]


def test_ids_are_unique_with_any_number_of_instances() -> None:
    found = records([scenes()["overlap"], scenes()["overlap"]])
    found[0]["instances"] = found[0]["instances"] * 4000
    ids = [annotation["id"] for annotation in json.loads(written("coco", found))["annotations"]]
    assert len(set(ids)) == len(ids) == 12_003


class Many:
    """As many records as one likes, made when they are asked for."""

    def __init__(self, count: int) -> None:
        (self.one,) = records([scenes()["holes"]])
        self.count = count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index in range(self.count):
            yield {**self.one, "place": f"{index}.jpg", "index": index}


class Nowhere(io.RawIOBase):
    def write(self, data: Any) -> int:
        return len(data)


@pytest.mark.parametrize(
    "name", ["coco", "csv", *(pytest.param(name, marks=pytest.mark.long) for name in ("coco-results", "jsonl", "cvat"))]
)
def test_memory_does_not_grow_with_the_pictures(name: str) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        aggregate(name).assemble(Many(count), Nowhere())  # type: ignore[arg-type]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)
    few, many = peak(100), peak(600)
    # COCO remembers the ids that it gave away: a number per image.
    assert many - few < 500 * 150


def test_parquet_without_pyarrow_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'mrcnn-cv\[parquet\]'"):
        aggregate("parquet")


def test_parquet_row_groups_and_types(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("mrcnn_cv.outputs.formats.parquet._ROWS", 1000)
    file = parquet.ParquetFile(io.BytesIO(written("parquet", Many(1000))))
    assert file.metadata.num_rows == 3000
    assert file.metadata.num_row_groups == 3
    assert {field.name: str(field.type) for field in file.schema_arrow}["score"] == "double"
    nothing = parquet.ParquetFile(io.BytesIO(written("parquet", [])))
    assert nothing.metadata.num_rows == 0
    assert nothing.schema_arrow.names[0] == "image"


def test_a_run_that_found_nothing() -> None:
    for name in ("coco", "coco-results", "jsonl", "cvat", "csv"):
        assert written(name, []) is not None
    assert json.loads(written("coco", []))["annotations"] == []
    assert json.loads(written("coco-results", [])) == []
    assert json.loads(written("coco", records([Scene("a.jpg")])))["images"][0]["file_name"] == "a.jpg"


def test_a_spreadsheet_takes_no_name_for_a_formula() -> None:
    found = records([Photo("photo.jpg")])
    for record in found:
        record["place"] = "=cmd|' /C calc'!A0.jpg"
        for instance in record["instances"]:
            instance["label"] = "@SUM(A1)"
    rows = list(csv.DictReader(io.StringIO(written("csv", found).decode())))
    assert rows
    for row, instance in zip(rows, found[0]["instances"], strict=True):
        assert row["image"] == "'=cmd|' /C calc'!A0.jpg"
        assert row["label"] == "'@SUM(A1)"
        # What is ours stays as it is, also where it begins with one of these characters.
        assert float(row["x1"]) == instance["box"][0]
        assert row["rle"] == instance["mask"]["counts"]
