"""Track ids in the formats that have a place for them; without tracking nothing of them is there."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import jsonschema
import numpy as np
import pytest

from mrcnn_cv.outputs.base import OutputSettings
from mrcnn_cv.outputs.registry import make_datasets
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.json import to_bytes
from tests.outputs.formats.scenes import LABELS, Scene, scenes
from tests.outputs.formats.test_json import SCHEMA

IDS = [7, 0, 12]


def tracked(scene: Scene) -> Instances:
    found = scene.found()
    ids, trails = np.array(IDS[: len(found)], dtype=np.int32), [np.zeros((0, 2), np.float32) for _ in found]
    return replace(found, track_ids=ids, trails=trails, totals={"person": 2})


def record(place: str, index: int, found: Instances) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(to_bytes(found.to_dict()))
    return {"place": place, "index": index, **value}


def written(name: str, with_ids: bool, **options: Any) -> bytes:
    """The file for a frame without instances and one with three."""
    some = [scenes()["nothing"], scenes()["overlap"]]
    found = [tracked(scene) if with_ids else scene.found() for scene in some]
    (aggregate,) = make_datasets([name], OutputSettings(LABELS, "model.pb", **options))
    file = io.BytesIO()
    every = [record(scene.place, index, each) for index, (scene, each) in enumerate(zip(some, found, strict=True))]
    aggregate.assemble(every, file)
    return file.getvalue()


def test_json_has_the_ids_and_null_before_there_is_one() -> None:
    value = json.loads(to_bytes(tracked(scenes()["overlap"]).to_dict()))
    jsonschema.Draft202012Validator(SCHEMA).validate(value)
    assert [entry["track_id"] for entry in value["instances"]] == [7, None, 12]


@pytest.mark.parametrize("wrong", [0, -1, "7", 1.5])
def test_schema_refuses_what_is_no_id(wrong: object) -> None:
    value = json.loads(to_bytes(tracked(scenes()["overlap"]).to_dict()))
    value["instances"][0]["track_id"] = wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(value)


def test_json_lines_have_them() -> None:
    lines = [json.loads(line) for line in written("jsonl", True).splitlines()]
    assert [entry["track_id"] for entry in lines[1]["instances"]] == [7, None, 12]


def test_csv_has_a_column_more() -> None:
    rows = list(csv.DictReader(io.StringIO(written("csv", True).decode())))
    assert [row["track_id"] for row in rows] == ["7", "", "12"]
    plain = list(csv.DictReader(io.StringIO(written("csv", False).decode())))
    assert [{**row, "track_id": ""} for row in plain] == [{**row, "track_id": ""} for row in rows]


def test_parquet_has_a_column_of_whole_numbers_more() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(written("parquet", True)))
    assert table.column("track_id").to_pylist() == [7, None, 12]
    assert str(table.schema.field("track_id").type) == "int64"


def test_coco_annotations_have_them() -> None:
    annotations = json.loads(written("coco", True))["annotations"]
    assert [annotation.get("track_id") for annotation in annotations] == [7, None, 12]


@pytest.mark.parametrize("polygons", [False, True])
def test_cvat_shapes_have_them_as_an_attribute_of_their_label(polygons: bool) -> None:
    root = ElementTree.fromstring(written("cvat", True, polygons=polygons))
    names = {name.text for name in root.findall("meta/task/labels/label/attributes/attribute/name")}
    assert names == {"track_id"}
    shapes = [shape for image in root.findall("image") for shape in image]
    assert [shape.findtext("attribute[@name='track_id']") for shape in shapes] == ["7", None, "12"]


@pytest.mark.formats
@pytest.mark.parametrize("polygons", [False, True])
def test_cvat_readers_take_the_attribute(tmp_path: Path, polygons: bool) -> None:
    xmlschema, datumaro = pytest.importorskip("xmlschema"), pytest.importorskip("datumaro")
    (tmp_path / "annotations.xml").write_bytes(written("cvat", True, polygons=polygons))
    xmlschema.XMLSchema(str(Path(__file__).with_name("cvat.xsd"))).validate(str(tmp_path / "annotations.xml"))
    (tmp_path / "images").mkdir()
    for scene in (scenes()["nothing"], scenes()["overlap"]):
        cv2.imwrite(str(tmp_path / "images" / scene.place), scene.picture())
    items = {item.id: item.annotations for item in datumaro.Dataset.import_from(str(tmp_path), "cvat")}
    assert [shape.attributes.get("track_id") for shape in items["overlap"]] == ["7", None, "12"]


@pytest.mark.parametrize("name", ["jsonl", "csv", "parquet", "coco", "coco-results", "cvat"])
def test_without_tracking_no_format_speaks_of_it(name: str) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow.parquet")
    assert b"track" not in written(name, False)
