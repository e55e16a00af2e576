"""Round trips through the libraries that the formats are for: `pytest -m formats`, each in the environment that has it.

Skipped where the library is missing; the extra `test-formats` installs them, but for ultralytics, which needs torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.structures.masks import LocalMask
from mrcnn_cv.structures.polygons import polygons
from tests.outputs.formats.scenes import Mask, Photo, Scene, export, frames, scenes

pytestmark = pytest.mark.formats

Named = list[tuple[str, Mask]]


def pictures() -> list[Scene]:
    """All kinds of masks, except chequers: 1,536 parts of a pixel in one instance, which is no outline's business."""
    special = [scene for name, scene in scenes().items() if name not in ("corners", "boxes", "overlap")]
    return [Photo("street/photo.jpg"), *special]


def iou(mask: Mask, other: Mask) -> float:
    return float(np.count_nonzero(mask & other) / np.count_nonzero(mask | other))


def agree(found: Named, scene: Scene, least: Callable[[Mask], float]) -> None:
    """The same labels in any order, each mask with an IoU of at least `least` to ours."""
    wanted = scene.expected()
    assert sorted(label for label, _ in found) == sorted(label for label, _ in wanted)
    left = list(found)
    for label, mask in wanted:
        overlap, best = max((iou(mask, other), n) for n, (name, other) in enumerate(left) if name == label)
        assert overlap >= least(mask), f"{scene.place}: {label}, {np.count_nonzero(mask)} pixels"
        del left[best]


def exactly(mask: Mask) -> float:
    return 1.0


def where_in_one_part(mask: Mask) -> float:
    """One outline has to go from part to part; between the parts of such a mask lie few pixels beside its own."""
    number = len(polygons(LocalMask(0, 0, mask)))
    return 1.0 if number == 1 else 0.99 if np.count_nonzero(mask) > 2000 else 0.75


def exported(name: str, tmp_path: Path, **options: Any) -> tuple[Path, list[Scene]]:
    some = pictures()
    export(name, tmp_path / "out", frames(tmp_path / "in", some), some, **options)
    return tmp_path / "out", some


@pytest.mark.parametrize("polygons", [False, True])
def test_labelme(tmp_path: Path, polygons: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    module = pytest.importorskip("labelme._label_file")
    from labelme.utils import shape_to_mask

    folder, some = exported("labelme", tmp_path, polygons=polygons)
    for scene in some:
        file = module.LabelFile(str((folder / "labelme" / scene.place).with_suffix(".json")))
        assert file.image_data == (tmp_path / "in" / scene.place).read_bytes()
        groups: dict[Any, tuple[str, Mask]] = {}
        for number, shape in enumerate(file.shapes):
            mask = np.zeros(scene.picture().shape[:2], dtype=np.bool_)
            if shape["shape_type"] == "mask":
                (left, top), (right, bottom) = np.asarray(shape["points"]).astype(int)
                mask[top : bottom + 1, left : right + 1] = shape["mask"]
            else:
                mask |= shape_to_mask(mask.shape, shape["points"], shape["shape_type"])
            key = shape["group_id"] or -number - 1
            groups[key] = (shape["label"], mask | groups[key][1] if key in groups else mask)
        agree(list(groups.values()), scene, exactly)


def test_yolo_with_ultralytics(tmp_path: Path) -> None:
    utils = pytest.importorskip("ultralytics.data.utils")
    from ultralytics.data.dataset import YOLODataset

    folder, some = exported("yolo", tmp_path)
    data = utils.check_det_dataset(str(folder / "yolo" / "data.yaml"), autodownload=False)
    loaded = {
        label["im_file"]: label for label in YOLODataset(img_path=data["train"], data=data, task="segment").labels
    }
    assert len(loaded) == len(some)
    for scene in some:
        place = scene.place.replace("/images/", "/images~/")
        label = loaded[str(folder.resolve() / "yolo" / "images" / place)]
        height, width = scene.picture().shape[:2]
        assert label["shape"] == (height, width)
        outlines = [segment * np.array([width, height], dtype=np.float32) for segment in label["segments"]]
        masks = [utils.polygon2mask((height, width), [outline.reshape(-1)]).astype(np.bool_) for outline in outlines]
        named = [(data["names"][int(number)], mask) for number, mask in zip(label["cls"][:, 0], masks, strict=True)]
        agree(named, scene, where_in_one_part)


def test_yolo_boxes_with_ultralytics(tmp_path: Path) -> None:
    utils = pytest.importorskip("ultralytics.data.utils")
    from ultralytics.data.dataset import YOLODataset

    scene = scenes()["boxes"]
    export("yolo", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene])
    data = utils.check_det_dataset(str(tmp_path / "out" / "yolo" / "data.yaml"), autodownload=False)
    (label,) = YOLODataset(img_path=data["train"], data=data, task="detect").labels
    x, y, width, height = (label["bboxes"] * [64, 48, 64, 48]).T
    found = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    boxes = scene.found().boxes
    assert np.allclose(sorted(found.tolist()), sorted(boxes[[0, 1, 3]].tolist()), atol=1e-3)


def test_yolo_with_supervision(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    folder, some = exported("yolo", tmp_path)
    # It does not look into subfolders.
    flat = [scene for scene in some if "/" not in scene.place]
    dataset = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(folder / "yolo" / "images"),
        annotations_directory_path=str(folder / "yolo" / "labels"),
        data_yaml_path=str(folder / "yolo" / "data.yaml"),
        force_masks=True,
    )
    found = {os.path.basename(path): detections for path, _, detections in dataset}
    assert sorted(found) == sorted(scene.place for scene in flat)
    for scene in flat:
        here = found[scene.place]
        masks = np.asarray([] if here.mask is None else here.mask)
        named = [(dataset.classes[number], mask) for number, mask in zip(here.class_id, masks, strict=True)]
        agree(named, scene, where_in_one_part)


@pytest.mark.parametrize("polygons", [False, True])
def test_coco_with_supervision(tmp_path: Path, polygons: bool) -> None:
    supervision = pytest.importorskip("supervision")
    folder, some = exported("coco", tmp_path, polygons=polygons)
    dataset = supervision.DetectionDataset.from_coco(
        images_directory_path=str(tmp_path / "in"),
        annotations_path=str(folder / "annotations.json"),
        force_masks=True,
    )
    found = {os.path.relpath(path, tmp_path / "in"): detections for path, _, detections in dataset}
    for scene in some:
        here = found[scene.place]
        masks = np.asarray([] if here.mask is None else here.mask)
        named = [(dataset.classes[number], mask) for number, mask in zip(here.class_id, masks, strict=True)]
        agree([each for each in named if each[1].any()], scene, lambda mask: 0.0 if polygons else 1.0)


@pytest.mark.parametrize("polygons", [False, True])
def test_cvat_keeps_to_its_documentation(tmp_path: Path, polygons: bool) -> None:
    """A schema written from docs.cvat.ai, "XML annotation format", version 1.1; CVAT itself publishes none."""
    xmlschema = pytest.importorskip("xmlschema")
    some = [*pictures(), scenes()["boxes"]]
    export("cvat", tmp_path, [], some, polygons=polygons)
    schema = xmlschema.XMLSchema(str(Path(__file__).with_name("cvat.xsd")))
    schema.validate(str(tmp_path / "annotations.xml"))


@pytest.mark.parametrize("polygons", [False, True])
def test_cvat_with_datumaro(tmp_path: Path, polygons: bool) -> None:
    datumaro = pytest.importorskip("datumaro")
    from pycocotools import mask as coco_mask

    folder, some = exported("cvat", tmp_path, polygons=polygons)
    (tmp_path / "in").rename(folder / "images")
    dataset = datumaro.Dataset.import_from(str(folder), "cvat")
    names = [label.name for label in dataset.categories()[datumaro.AnnotationType.label].items]
    items = {item.id: item for item in dataset}
    for scene in some:
        item = items[os.path.splitext(scene.place)[0]]
        height, width = scene.picture().shape[:2]
        groups: dict[Any, tuple[str, Mask]] = {}
        for number, shape in enumerate(item.annotations):
            if shape.type == datumaro.AnnotationType.mask:
                mask = np.asarray(shape.image).astype(np.bool_)
            else:
                runs = coco_mask.frPyObjects([list(shape.points)], height, width)
                mask = coco_mask.decode(runs)[..., 0].astype(np.bool_)
            key = shape.group or -number - 1
            groups[key] = (names[shape.label], mask | groups[key][1] if key in groups else mask)
        agree(list(groups.values()), scene, exactly)


def test_voc_with_datumaro(tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    some = [scene for name, scene in scenes().items() if name in ("holes", "parts", "nothing", "subfolder", "speck")]
    export("voc", tmp_path / "out", frames(tmp_path / "in", some), some)
    root = str(tmp_path / "out" / "voc")
    dataset = datumaro.Dataset.import_from(root, "voc_instance_segmentation")
    names = [label.name for label in dataset.categories()[datumaro.AnnotationType.label].items]
    items = {item.id: item for item in dataset}
    assert len(items) == len(some)
    for scene in some:
        item = items[os.path.splitext(scene.place)[0]]
        assert item.media.size == (48, 64)
        # The better score covers the others.
        left, wanted = np.ones((48, 64), dtype=np.bool_), []
        for label, mask in scene.expected():
            wanted.append((label, mask & left))
            left &= ~mask
        masks = [each for each in item.annotations if each.type == datumaro.AnnotationType.mask]
        found = [(names[each.label], np.asarray(each.image).astype(np.bool_)) for each in masks]
        key = [(label, mask.tobytes()) for label, mask in wanted if mask.any()]
        assert sorted((label, mask.tobytes()) for label, mask in found) == sorted(key)


def test_voc_boxes_with_datumaro_and_supervision(tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    supervision = pytest.importorskip("supervision")
    scene = scenes()["boxes"]
    export("voc", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene])
    root = tmp_path / "out" / "voc"
    dataset = datumaro.Dataset.import_from(str(root), "voc", coordinate_mode="voc-one-based")
    (item,) = dataset
    boxes = [each.points for each in item.annotations if each.type == datumaro.AnnotationType.bbox]
    assert boxes == [[3, 2, 30, 41], [0, 0, 64, 48], [5, 5, 6, 6], [60, 40, 64, 48]]
    own = supervision.DetectionDataset.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations"))
    ((_, _, detections),) = own
    assert detections.xyxy.tolist() == boxes


def test_tables_with_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    folder, some = exported("csv", tmp_path)
    export("parquet", folder, [], some)
    commas = pandas.read_csv(folder / "instances.csv")
    columns = pandas.read_parquet(folder / "instances.parquet")
    assert len(commas) == sum(len(scene.found()) for scene in some)
    assert list(commas["label"]) == [label for scene in some for label in scene.found().labels]
    assert commas["area"].sum() == sum(int(mask.sum()) for scene in some for _, mask in scene.expected())
    for name in commas.columns:
        assert commas[name].astype(object).where(commas[name].notna(), None).tolist() == (
            columns[name].astype(object).where(columns[name].notna(), None).tolist()
        )
    assert columns["score"].dtype == np.float64
    assert columns["instance"].dtype == np.int64


@pytest.mark.skipif(sys.platform == "win32", reason="file names are Unicode there")
def test_names_that_are_not_unicode_open_in_labelme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    module = pytest.importorskip("labelme._label_file")
    for name in (os.fsdecode(b"caf\xe9.jpg"), "back\\slash.jpg", "a b\n\"'&<.jpg"):
        scene = Scene(name, scenes()["holes"].instances)
        folder = export("labelme", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene]).directory / "labelme"
        (path,) = folder.glob("*.json")
        assert len(module.LabelFile(os.fspath(path)).shapes) == 3
        path.unlink()


def test_voc_with_torchvision(tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    some = [scenes()["holes"], scenes()["boxes"]]
    export("voc", tmp_path / "out", frames(tmp_path / "in", some), some)
    (tmp_path / "VOCdevkit").mkdir()
    (tmp_path / "out" / "voc").rename(tmp_path / "VOCdevkit" / "VOC2012")
    segmentation = datasets.VOCSegmentation(str(tmp_path), year="2012", image_set="train")
    assert len(segmentation) == 2
    image, target = segmentation[[name.endswith("holes.jpg") for name in segmentation.images].index(True)]
    assert image.size == target.size == (64, 48)
    numbers = np.asarray(target)
    first = scenes()["holes"].instances[0][1]
    assert (numbers[first] == 1).all()
    detection = datasets.VOCDetection(str(tmp_path), year="2012", image_set="train")
    names = [annotation["annotation"]["filename"] for _, annotation in detection]
    assert sorted(names) == ["boxes.jpg", "holes.jpg"]
