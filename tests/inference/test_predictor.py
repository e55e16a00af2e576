"""MaskRCNN as a user meets it: on the tiny models, and on stand-ins for their nets where the calls are counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv import Instances, MaskRCNN
from mrcnn_cv.engines.base import Net
from mrcnn_cv.errors import InputError, LabelFileError, UsageError
from mrcnn_cv.inference import predictor
from mrcnn_cv.inference.nets import Nets
from tests.support.opencv import OpenCvNet
from tests.support.parity import Float, Image

LABELS = 'item { id: 1 name: "cup" }\nitem { id: 2 name: "cat" }\nitem { id: 3 name: "traffic light" }\n'


@pytest.fixture(scope="module")
def model(tiny_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> MaskRCNN:
    """The tiny Mask R-CNN with names for its three classes."""
    labels = tmp_path_factory.mktemp("labels") / "map.pbtxt"
    labels.write_text(LABELS)
    return MaskRCNN.load(tiny_graph, backend="cpu", labels=labels)


class Counting:
    """A net that runs another one and remembers how many regions each call had."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.calls: list[int] = []

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        self.calls.append(len(inputs["crops"]) if "crops" in inputs else 0)
        return self.net.run(inputs)

    def devices(self) -> set[str]:
        return self.net.devices()


@pytest.fixture
def counted(model: MaskRCNN) -> Iterator[tuple[Counting, Counting, Counting]]:
    """The model's trunk, box head and mask head, counting their calls."""
    nets = model._nets
    assert nets.mask_head is not None
    counting = (Counting(nets.backbone), Counting(nets.box_head), Counting(nets.mask_head))
    model._nets = Nets(*counting)
    yield counting
    model._nets = nets


def same(first: Instances, second: Instances) -> bool:
    """Whether two answers are equal, bit for bit."""
    assert first.mask_probabilities is not None
    assert second.mask_probabilities is not None
    pairs = (
        (first.boxes, second.boxes),
        (first.scores, second.scores),
        (first.class_ids, second.class_ids),
        (first.mask_probabilities, second.mask_probabilities),
    )
    return all(np.array_equal(*pair) for pair in pairs)


def test_what_comes_back(model: MaskRCNN, photo: Image) -> None:
    found = model.predict(photo, score_threshold=None)
    count = len(found)
    assert count > 3
    assert found.mask_probabilities is not None
    assert found.boxes.shape == (count, 4)
    assert found.scores.shape == found.class_ids.shape == (count,)
    assert found.mask_probabilities.shape == (count, 15, 15)
    assert found.boxes.dtype == found.scores.dtype == found.mask_probabilities.dtype == np.float32
    assert found.class_ids.dtype == np.int32
    assert found.image_size == photo.shape[:2]
    assert (np.diff(found.scores) <= 0).all()
    assert found.labels == [{1: "cup", 2: "cat", 3: "traffic light"}[int(i)] for i in found.class_ids]
    x1, y1, x2, y2 = found.boxes.T
    height, width = photo.shape[:2]
    assert ((x1 >= 0) & (x1 < x2) & (x2 <= width) & (y1 >= 0) & (y1 < y2) & (y2 <= height)).all()
    assert ((found.mask_probabilities >= 0) & (found.mask_probabilities <= 1)).all()


def test_steps_are_timed_and_the_backend_is_known(model: MaskRCNN, photo: Image) -> None:
    found = model.predict(photo)
    assert list(found.timings_ms) == ["resize", "trunk", "proposals", "box_head", "detections", "mask_head"]
    assert all(value >= 0 for value in found.timings_ms.values())
    assert found.backend is not None
    assert (found.backend.requested, found.backend.used) == ("cpu", "cpu")
    assert found.model == "frozen_inference_graph.pb"


def test_none_means_the_models_own_values(model: MaskRCNN, photo: Image) -> None:
    own = model.definition.detection_nms
    found = model.predict(photo, score_threshold=None, nms_threshold=None, max_instances=None)
    explicit = model.predict(
        photo, score_threshold=own.score_threshold, nms_threshold=own.iou_threshold, max_instances=own.max_total
    )
    assert same(found, explicit)
    assert float(found.scores.min()) > own.score_threshold


def test_a_score_threshold_below_the_models_own_finds_more(model: MaskRCNN, photo: Image) -> None:
    own = model.predict(photo, score_threshold=None)
    more = model.predict(photo, score_threshold=0.01, max_instances=1000)
    assert len(more) > len(own)
    assert float(more.scores.min()) <= model.definition.detection_nms.score_threshold


def test_a_higher_score_threshold_keeps_the_best(model: MaskRCNN, photo: Image) -> None:
    everything = model.predict(photo, score_threshold=None)
    middle = float(everything.scores[len(everything) // 2])
    best = model.predict(photo, score_threshold=middle)
    np.testing.assert_array_equal(best.scores, everything.scores[everything.scores > np.float32(middle)])
    assert 0 < len(best) < len(everything)


def test_more_instances_than_the_models_own_limit(model: MaskRCNN, photo: Image) -> None:
    """The tiny model has 20 proposals and its own limit is 20 in all, 10 per class."""
    own = model.predict(photo, score_threshold=0.0, nms_threshold=1.0)
    assert len(own) == model.definition.detection_nms.max_total
    more = model.predict(photo, score_threshold=0.0, nms_threshold=1.0, max_instances=1000)
    assert len(more) > len(own)
    assert np.bincount(more.class_ids).max() > model.definition.detection_nms.max_per_class


def test_fewer_instances_are_the_best_ones(model: MaskRCNN, photo: Image) -> None:
    own = model.predict(photo, score_threshold=None)
    two = model.predict(photo, score_threshold=None, max_instances=2)
    np.testing.assert_array_equal(two.boxes, own.boxes[:2])


def test_nms_threshold_decides_how_much_may_overlap(model: MaskRCNN, photo: Image) -> None:
    counts = [len(model.predict(photo, score_threshold=0.05, nms_threshold=t, max_instances=500)) for t in (0, 0.6, 1)]
    assert counts[0] < counts[1] < counts[2]


def test_mask_threshold_decides_what_belongs_to_the_mask(model: MaskRCNN, photo: Image) -> None:
    areas = [
        sum(int(found.full_mask(i).sum()) for i in range(len(found)))
        for found in (model.predict(photo, score_threshold=None, mask_threshold=t) for t in (0.1, 0.5, 0.9))
    ]
    assert areas[0] > areas[1] > areas[2] > 0


def test_classes_by_name_or_id(model: MaskRCNN, photo: Image) -> None:
    everything = model.predict(photo, score_threshold=0.01, max_instances=1000)
    present = sorted(set(everything.class_ids.tolist()))
    assert len(present) > 1
    chosen = present[-1]
    expected = everything.scores[everything.class_ids == chosen]
    for spelling in ([chosen], [str(chosen)], [model.labels[chosen]], [f" {model.labels[chosen].upper()} "]):
        found = model.predict(photo, score_threshold=0.01, max_instances=1000, classes=spelling)
        np.testing.assert_array_equal(found.scores, expected)
        assert set(found.class_ids.tolist()) == {chosen}
    both = model.predict(photo, score_threshold=0.01, max_instances=1000, classes=[*present])
    assert same(both, everything)
    assert len(model.predict(photo, classes=[])) == 0


def test_a_single_class_needs_no_list(model: MaskRCNN) -> None:
    assert model.class_ids("traffic light") == [3]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("trafic light", "did you mean traffic light"),
        ("Cot", "did you mean (cup or )?cat"),
        ("zebra", "it knows cat, cup, traffic light"),
        (0, "ids go from 1 to 3"),
        (4, "ids go from 1 to 3"),
        (-1, "ids go from 1 to 3"),
    ],
)
def test_an_unknown_class_is_refused_with_a_hint(model: MaskRCNN, photo: Image, wrong: str | int, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        model.predict(photo, classes=["cup", wrong])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 30), np.uint8),
        np.zeros((20, 30, 1), np.uint8),
        np.zeros((20, 30, 4), np.uint8),
        np.zeros((1, 20, 30, 3), np.uint8),
        np.zeros((20, 30, 3), np.float32),
        np.zeros((20, 30, 3), np.uint16),
        [[1, 2, 3]],
        None,
    ],
)
def test_what_is_no_colour_image_is_refused(model: MaskRCNN, image: Any) -> None:
    with pytest.raises(UsageError, match="BGR image"):
        model.predict(image)


@pytest.mark.parametrize("shape", [(0, 10, 3), (10, 0, 3)])
def test_an_image_without_pixels_is_refused(model: MaskRCNN, shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="empty"):
        model.predict(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("name", ["score_threshold", "mask_threshold", "nms_threshold"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), 50])
def test_thresholds_are_fractions(model: MaskRCNN, photo: Image, name: str, value: float) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=name):
        model.predict(photo, **arguments)


def test_at_least_one_instance_must_be_asked_for(model: MaskRCNN, photo: Image) -> None:
    with pytest.raises(UsageError, match="max_instances"):
        model.predict(photo, max_instances=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 200), (17, 16), (400, 300)])
def test_images_of_any_size(model: MaskRCNN, size: tuple[int, int]) -> None:
    found = model.predict(np.full((*size, 3), 127, np.uint8), score_threshold=0.01)
    assert found.image_size == size
    for index in range(len(found)):
        assert found.full_mask(index).shape == size


def test_an_image_that_is_a_line_is_refused(model: MaskRCNN) -> None:
    with pytest.raises(InputError, match="less extreme shape"):
        model.predict(np.zeros((1, 5000, 3), np.uint8))


def test_views_are_as_good_as_copies_and_stay_as_they_are(model: MaskRCNN, photo: Image) -> None:
    before = photo.copy()
    view = photo[::-1, ::2]
    assert not view.flags.c_contiguous
    assert same(model.predict(view, score_threshold=0.01), model.predict(view.copy(), score_threshold=0.01))
    np.testing.assert_array_equal(photo, before)


def test_the_mask_head_runs_for_the_kept_instances_only(
    model: MaskRCNN, photo: Image, counted: tuple[Counting, Counting, Counting]
) -> None:
    trunk, box_head, mask_head = counted
    found = model.predict(photo, score_threshold=None, max_instances=2)
    assert (len(found), mask_head.calls) == (2, [2])
    nothing = model.predict(photo, score_threshold=1.0)
    assert len(nothing) == 0
    assert nothing.mask_probabilities is not None
    assert nothing.mask_probabilities.shape == (0, 15, 15)
    assert mask_head.calls == [2]
    assert len(trunk.calls) == len(box_head.calls) == 2


def test_heads_do_not_run_without_proposals(
    model: MaskRCNN, photo: Image, counted: tuple[Counting, Counting, Counting]
) -> None:
    own = model.definition
    model.definition = replace(own, proposal_nms=replace(own.proposal_nms, score_threshold=1.0))
    try:
        found = model.predict(photo, score_threshold=0.0)
    finally:
        model.definition = own
    assert len(found) == 0
    assert counted[1].calls == counted[2].calls == []


def test_nets_are_read_once_whatever_comes(tiny_graph: Path, photo: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original: Any = OpenCvNet.__init__

    def count(self: Any, graph: Any, *others: Any) -> None:
        read.append(graph.outputs[0])
        original(self, graph, *others)

    monkeypatch.setattr(OpenCvNet, "__init__", count)
    model = MaskRCNN.load(tiny_graph, backend="cpu")
    nets = len(read)
    assert nets >= 3
    first = model.predict(photo, score_threshold=None)
    for image, most in ((photo[:100], 1), (photo[:, :50], 7), (photo, 3)):
        model.predict(image, score_threshold=0.01, max_instances=most)
    assert same(model.predict(photo, score_threshold=None), first)
    assert len(read) == nets


def test_a_faster_rcnn_has_boxes_and_no_masks(graphs: Path, photo: Image) -> None:
    model = MaskRCNN.load(graphs / "tiny_faster_rcnn", backend="cpu")
    found = model.predict(photo, score_threshold=None)
    assert len(found) > 0
    assert found.mask_probabilities is None
    assert found.to_dict()["instances"][0]["mask"] is None
    x1, y1, x2, y2 = (round(float(value)) for value in found.boxes[0])
    assert found.full_mask(0).sum() == (x2 - x1) * (y2 - y1)


def test_masks_without_class_go_with_every_class(graphs: Path, photo: Image) -> None:
    model = MaskRCNN.load(graphs / "tiny_mask_rcnn_agnostic", backend="cpu")
    found = model.predict(photo, score_threshold=0.0, max_instances=500)
    assert len(set(found.class_ids.tolist())) == 3
    assert found.mask_probabilities is not None
    assert len(found.mask_probabilities) == len(found)


def test_ids_stand_in_for_missing_names_with_a_warning(tiny_graph: Path, photo: Image) -> None:
    model = MaskRCNN.load(str(tiny_graph), backend="cpu")
    assert any("no class names" in warning for warning in model.warnings)
    found = model.predict(photo, score_threshold=None)
    assert found.labels == [str(i) for i in found.class_ids]


def test_a_folder_is_as_good_as_the_file(tiny_graph: Path, tiny_model: MaskRCNN) -> None:
    assert MaskRCNN.load(tiny_graph.parent, backend="cpu").path == tiny_model.path == tiny_graph


def test_load_refuses_what_it_cannot_do(tiny_graph: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no backend 'gpu'"):
        MaskRCNN.load(tiny_graph, backend="gpu")
    with pytest.raises(LabelFileError):
        MaskRCNN.load(tiny_graph, backend="cpu", labels=tmp_path / "missing.txt")


def test_draw_and_record(model: MaskRCNN, photo: Image) -> None:
    found = model.predict(photo, score_threshold=None)
    drawn = found.draw(photo)
    assert drawn.shape == photo.shape
    assert (drawn != photo).any()
    record = found.to_dict()
    assert (record["width"], record["height"]) == (photo.shape[1], photo.shape[0])
    assert len(record["instances"]) == len(found)
    first = record["instances"][0]
    assert (first["class_id"], first["label"]) == (int(found.class_ids[0]), found.labels[0])
    assert first["area"] == int(found.full_mask(0).sum())
    assert record["backend"]["used"] == "cpu"


def test_many_regions_are_refined_in_equal_portions(
    model: MaskRCNN, photo: Image, counted: tuple[Counting, Counting, Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.predict(photo, score_threshold=0.0)
    (count,) = counted[1].calls
    assert count > 5
    monkeypatch.setattr(predictor, "MAX_REGIONS_AT_ONCE", 5)
    parts = model.predict(photo, score_threshold=0.0)
    portions = counted[1].calls[1:]
    assert sum(portions) == count
    assert max(portions) <= 5
    assert max(portions) - min(portions) <= 1
    np.testing.assert_array_equal(parts.class_ids, whole.class_ids)
    np.testing.assert_allclose(parts.boxes, whole.boxes, atol=1e-3)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-5)


def test_a_bad_backend_is_said_before_a_bad_model(tmp_path: Path) -> None:
    """Nobody waits for a large file to be read to be told of a slip."""
    with pytest.raises(UsageError, match="nonsense"):
        MaskRCNN.load(tmp_path / "missing.pb", backend="nonsense")
