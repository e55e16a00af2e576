"""COCO's figures, where they can be told beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.evaluation.annotations import read_dataset
from mrcnn_cv.evaluation.confusion import best_pairs, confusion
from mrcnn_cv.evaluation.plot import HEIGHT, WIDTH, draw_evaluation, shown
from mrcnn_cv.evaluation.scores import CocoEvaluator, Kind, as_json
from tests.evaluation.datasets import Data, dataset, perfect, rle, written


def evaluator_of(folder: Path, data: Data, images: set[int] | None = None) -> CocoEvaluator:
    found = read_dataset(written(folder, data))
    return CocoEvaluator(found, images or {each.id for each in found.images}, sorted(found.categories))


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_results_that_are_the_annotations_have_all_figures_one(tmp_path: Path, kind: Kind) -> None:
    # Among the annotations is one with the id 0, which pycocotools would take for none.
    data = dataset()
    found = evaluator_of(tmp_path, data).scores(perfect(data), kind)
    assert found.summary["AP"] == found.summary["AP75"] == found.summary["AR100"] == pytest.approx(1)
    assert [(each.name, each.annotations) for each in found.classes] == [("cup", 2), ("spoon", 1), ("plate", 1)]
    assert [each.ap for each in found.classes] == pytest.approx([1, 1, 1])
    # Everything is smaller than 32 x 32 pixels.
    assert found.summary["AP_small"] == pytest.approx(1)
    assert found.summary["AP_large"] is None


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_half_of_the_instances_of_a_class_give_half_of_its_recall(tmp_path: Path, kind: Kind) -> None:
    data = dataset()
    found = evaluator_of(tmp_path, data).scores(perfect(data)[1:], kind)
    # Precision is 1 at the recalls 0, 0.01, ..., 0.5, and 0 at the 50 others.
    assert found.classes[0].ap == pytest.approx(51 / 101)
    assert found.classes[0].ar == pytest.approx(1 / 2)
    assert found.summary["AP"] == pytest.approx((51 / 101 + 1 + 1) / 3)


def test_boxes_that_overlap_by_half_count_up_to_there(tmp_path: Path) -> None:
    data = dataset()
    results = [{**each, "bbox": [*each["bbox"][:3], each["bbox"][3] * 0.72]} for each in perfect(data)]
    found = evaluator_of(tmp_path, data).scores(results, "box")
    # An IoU of 0.72 passes the thresholds 0.50, 0.55, 0.60, 0.65 and 0.70.
    assert found.summary["AP"] == pytest.approx(0.5)
    assert [found.summary["AP50"], found.summary["AP75"]] == pytest.approx([1, 0])


def test_the_size_of_a_mask_is_not_that_of_its_box(tmp_path: Path) -> None:
    data = dataset()
    data["annotations"] = data["annotations"][:1]
    results = perfect(data)
    # What nothing corresponds to counts against the small ones by the area of its mask.
    extra = {**results[0], "score": 0.99, "bbox": [0, 0, 60, 40], "segmentation": rle(50, 30, 4, 4)}
    found = evaluator_of(tmp_path, data).scores([*results, extra], "mask")
    assert found.summary["AP_small"] == pytest.approx(0.5)


def test_nothing_found_is_zero_and_not_an_error(tmp_path: Path) -> None:
    found = evaluator_of(tmp_path, dataset()).scores([], "mask")
    assert found.summary["AP"] == 0
    assert as_json(found)["classes"][0] == {"name": "cup", "annotations": 2, "AP": 0, "AP50": 0, "AP75": 0, "AR100": 0}


def test_pictures_that_were_not_looked_at_do_not_count(tmp_path: Path) -> None:
    data = dataset()
    results = [each for each in perfect(data) if each["image_id"] == 1]
    found = evaluator_of(tmp_path, data, {1}).scores(results, "box")
    assert found.summary["AP"] == pytest.approx(1)
    assert [each.ap for each in found.classes] == [pytest.approx(1), pytest.approx(1), None]


def test_confusion_counts_what_is_found_as_what(tmp_path: Path) -> None:
    data = dataset()
    results = perfect(data)
    results[1]["category_id"] = 3
    results[2]["score"] = 0.4
    results.append({**results[0], "bbox": [50, 30, 5, 5], "segmentation": rle(50, 30, 5, 5)})
    for kind in ("box", "mask"):
        found = confusion(evaluator_of(tmp_path, data), results, kind)
        expected = [[1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0]]
        assert found.counts.tolist() == expected
        assert found.mean_iou == pytest.approx(1)


def test_a_crowd_is_neither_missed_nor_a_mistake(tmp_path: Path) -> None:
    data = dataset()
    data["annotations"][3]["iscrowd"] = 1
    found = confusion(evaluator_of(tmp_path, data), perfect(data), "box")
    assert found.counts[2].tolist() == [0, 0, 0, 0]
    assert found.counts[3].tolist() == [0, 0, 0, 0]


def test_shuffled_labels_are_noticed(tmp_path: Path) -> None:
    data = dataset()
    data["images"] = [{**data["images"][0], "id": each, "file_name": f"{each}.png"} for each in range(1, 9)]
    first = data["annotations"][:2]
    data["annotations"] = [{**each, "image_id": image} for image in range(1, 9) for each in first]
    results = perfect(data)
    evaluator = evaluator_of(tmp_path, data)
    assert confusion(evaluator, results, "box").renamed() == []
    turned = [{**each, "category_id": 3 - each["category_id"]} for each in results]
    assert confusion(evaluator, turned, "box").renamed() == [("cup", "spoon"), ("spoon", "cup")]


def test_best_pairs_take_the_largest_overlap_first() -> None:
    overlaps = np.array([[0.9, 0.8], [0.95, 0.6], [0.3, 0.4]])
    assert best_pairs(overlaps, 0.5) == [(1, 0), (0, 1)]
    assert best_pairs(np.zeros((0, 3)), 0.5) == []


def test_a_matrix_of_many_classes_keeps_the_frequent_ones(tmp_path: Path) -> None:
    data = dataset()
    data["categories"] = [{"id": number, "name": f"class {number}"} for number in range(1, 61)]
    whole = confusion(evaluator_of(tmp_path, data), perfect(data), "box")
    small = shown(whole)
    assert len(small.names) == 20
    assert small.counts.sum() == whole.counts.sum() == 4
    assert {"class 1", "class 2", "class 3", "41 others"} <= set(small.names)


def test_the_plot_is_drawn_for_any_number_of_classes(tmp_path: Path) -> None:
    for count in (3, 60):
        data = dataset()
        names = (
            "杯子",
            "a name that is much longer than any cell could ever be, and then some",
            *map(str, range(3, 61)),
        )
        data["categories"] = [{"id": number, "name": name} for number, name in enumerate(names[:count], start=1)]
        evaluator = evaluator_of(tmp_path, data)
        results = perfect(data)
        image = draw_evaluation(
            evaluator.scores(results, "mask"), confusion(evaluator, results, "mask"), "model on a data set"
        )
        assert image.shape == (HEIGHT, WIDTH, 3)
        # Perfect curves lie at the top, and the matrix has its diagonal.
        assert (image != 255).any(axis=2).mean() > 0.02
    nothing = evaluator.scores([], "mask")
    assert draw_evaluation(nothing, confusion(evaluator, [], "mask"), "").shape == (HEIGHT, WIDTH, 3)
