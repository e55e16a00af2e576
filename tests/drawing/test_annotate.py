"""The overlay shows what was found: on any image, in readable text, and changes nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.drawing.annotate import PARTS, Style, draw
from mrcnn_cv.drawing.colors import color, ink_on
from mrcnn_cv.errors import UsageError
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.opencv import cv2

GREY = 90
Boxes = list[tuple[float, float, float, float]]


def image(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, dtype=np.uint8)


def disc(samples: int = 15) -> np.ndarray:
    axis = np.linspace(-1, 1, samples)
    return (1.3 - np.hypot(axis[:, np.newaxis], axis)).clip(0, 1).astype(np.float32)


def found(boxes: Boxes, size: tuple[int, int], labels: list[str] | None = None, masks: bool = True) -> Instances:
    """Instances with these boxes, scores that fall from 0.93 on, and round masks."""
    count = len(boxes)
    return Instances(
        boxes=np.array(boxes, dtype=np.float32).reshape(count, 4),
        scores=(0.93 - 0.01 * np.arange(count)).astype(np.float32),
        class_ids=np.arange(1, count + 1, dtype=np.int32),
        labels=labels or ["person"] * count,
        mask_probabilities=np.stack([disc()] * count) if masks and count else None,
        image_size=size,
    )


def only(*parts: str, **options: Any) -> Style:
    return Style(hide=frozenset(PARTS) - set(parts), **options)


def changed(overlay: np.ndarray, before: np.ndarray) -> np.ndarray:
    return np.asarray((overlay != before).any(axis=2))


def test_input_is_not_modified_and_the_result_is_a_new_image() -> None:
    before = image(120, 200)
    overlay = draw(before, found([(20, 20, 100, 100)], (120, 200)))
    assert (before == GREY).all()
    assert overlay.shape == before.shape
    assert overlay.dtype == np.uint8
    assert overlay.flags.c_contiguous
    assert changed(overlay, before).any()


def test_views_that_are_not_contiguous_can_be_drawn_on() -> None:
    instances = found([(20, 20, 100, 100)], (120, 200))
    view = image(240, 400)[::2, ::-2]
    assert np.array_equal(draw(view, instances), draw(view.copy(), instances))


def test_no_instances_change_nothing() -> None:
    before = image(40, 60)
    assert np.array_equal(draw(before, found([], (40, 60))), before)


def test_instances_draw_is_the_same() -> None:
    instances = found([(20, 20, 100, 100)], (120, 200))
    assert np.array_equal(instances.draw(image(120, 200)), draw(image(120, 200), instances))


@pytest.mark.parametrize("opacity", [0.2, 0.45, 1.0])
def test_the_mask_is_tinted_exactly_where_it_is(opacity: float) -> None:
    before = image(120, 200)
    instances = found([(-10.5, 20.25, 90.5, 140.0)], (120, 200))
    overlay = draw(before, instances, only("masks", opacity=opacity))
    inside = instances.full_mask(0)
    assert np.array_equal(changed(overlay, before), inside)
    expected = (1 - opacity) * GREY + opacity * np.array(color(0))
    assert np.abs(overlay[inside] - expected).max() <= 0.51


def test_opacity_zero_leaves_the_image_as_it_is() -> None:
    before = image(120, 200)
    assert np.array_equal(draw(before, found([(20, 20, 100, 100)], (120, 200)), only("masks", opacity=0)), before)


def test_the_best_score_lies_on_top() -> None:
    overlay = draw(image(100, 100), found([(20, 20, 80, 80)] * 3, (100, 100)), only("masks", opacity=1))
    assert tuple(overlay[50, 50]) == color(0)


def test_tags_lie_above_every_mask() -> None:
    boxes: Boxes = [(0, 0, 200, 150), (60, 60, 140, 100)]
    overlay = draw(image(150, 200), found(boxes, (150, 200)), only("masks", "labels", opacity=1))
    assert (overlay == color(1)).all(axis=2).sum() > 50


@pytest.mark.parametrize("part", ["masks", "contours", "boxes"])
def test_hiding_a_part_removes_it_and_nothing_else(part: str) -> None:
    before, instances = image(200, 300), found([(50, 50, 250, 180)], (200, 300))
    whole = draw(before, instances)
    hidden = draw(before, instances, Style(hide=frozenset({part})))
    alone = changed(draw(before, instances, only(part)), before)
    difference = changed(whole, hidden)
    assert difference.any()
    assert not (difference & ~alone).any()


def test_hiding_labels_or_scores_removes_the_name_or_the_number() -> None:
    before, other = image(200, 300), found([(50, 50, 250, 180)], (200, 300), ["dog"])
    person = replace(other, labels=["person"])
    doubtful = replace(person, scores=np.array([0.5], dtype=np.float32))

    def same(one: Instances, two: Instances, *hide: str) -> bool:
        style = Style(hide=frozenset(hide))
        return np.array_equal(draw(before, one, style), draw(before, two, style))

    assert not same(person, other)
    assert not same(person, doubtful)
    assert same(person, other, "labels")
    assert not same(person, doubtful, "labels")
    assert same(person, doubtful, "scores")
    assert not same(person, other, "scores")
    assert np.array_equal(draw(before, person, only()), before)


def test_a_model_without_masks_gets_boxes_and_tags() -> None:
    before, box = image(200, 300), (50.0, 50.0, 250.0, 180.0)
    instances = found([box], (200, 300), masks=False)
    assert np.array_equal(draw(before, instances, only("masks", "contours")), before)
    assert changed(draw(before, instances), before)[50, 60:240].all()


def test_holes_have_a_contour_too() -> None:
    instances = found([(10, 10, 110, 110)], (120, 120))
    assert instances.mask_probabilities is not None
    instances.mask_probabilities[0, 6:9, 6:9] = 0
    overlay = draw(image(120, 120), instances, only("contours"))
    assert changed(overlay, image(120, 120))[45:75, 45:75].any()


def test_colours_by_instance_and_by_class() -> None:
    boxes: Boxes = [(10, 10, 50, 50), (60, 10, 100, 50)]
    instances = replace(found(boxes, (60, 110)), class_ids=np.array([7, 7], dtype=np.int32))
    by_class = draw(image(60, 110), instances, only("boxes", color_by="class"))
    assert tuple(by_class[10, 30]) == tuple(by_class[10, 80]) == color(7)
    by_instance = draw(image(60, 110), instances, only("boxes"))
    assert tuple(by_instance[10, 30]) == color(0)
    assert tuple(by_instance[10, 80]) == color(1)


def test_the_first_twenty_colours_are_far_apart() -> None:
    patches = np.array([[color(index) for index in range(20)]], dtype=np.float32) / 255
    lab = cv2.cvtColor(patches, cv2.COLOR_BGR2LAB)[0]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(lab, 2)) > 20


def test_colours_are_always_the_same() -> None:
    assert [color(index) for index in range(3)] == [(110, 81, 254), (120, 226, 1), (233, 79, 121)]
    assert len({color(index) for index in range(500)}) > 480


def luminance(bgr: tuple[int, ...]) -> float:
    channels = np.array(bgr[::-1]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_text_contrasts_with_every_colour() -> None:
    backgrounds = [color(index) for index in range(300)]
    backgrounds += [(b, g, r) for b in range(0, 256, 51) for g in range(0, 256, 51) for r in range(0, 256, 51)]
    for background in backgrounds:
        dark, light = sorted([luminance(background), luminance(ink_on(background))])
        assert (light + 0.05) / (dark + 0.05) >= 4, background


@pytest.mark.parametrize("size", [(64, 64), (400, 600), (1500, 2000)])
@pytest.mark.parametrize("corner", ["top left", "top right", "bottom left", "bottom right"])
def test_the_whole_tag_stays_in_the_image(size: tuple[int, int], corner: str) -> None:
    height, width = size
    left, top = (width - 20 if "right" in corner else 0), (height - 12 if "bottom" in corner else 0)
    middle: Boxes = [(width / 4, height / 2, width * 3 / 4, height * 3 / 4)]
    expected = tag_of(draw(image(*size), found(middle, size), only("labels", "scores")))
    corner_box: Boxes = [(left, top, left + 20, top + 12)]
    shown = tag_of(draw(image(*size), found(corner_box, size), only("labels", "scores")))
    assert np.array_equal(shown, expected)


def tag_of(overlay: np.ndarray) -> np.ndarray:
    """The rectangle that differs from the grey image, which must be all of the tag."""
    where = (overlay != GREY).any(axis=2)
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    return overlay[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_names_that_are_too_long_are_cut_and_the_score_stays() -> None:
    long, box = "a very long name of a very special thing " * 50, (10.0, 60.0, 90.0, 90.0)
    certain = found([box], (100, 160), [long])
    doubtful = replace(certain, scores=np.array([0.53], dtype=np.float32))
    tags = [tag_of(draw(image(100, 160), some, only("labels", "scores"))) for some in (certain, doubtful)]
    assert all(120 < tag.shape[1] <= 160 for tag in tags)
    score_starts = np.flatnonzero((tags[0] != tags[1]).any(axis=(0, 2)))[0]
    assert score_starts > 100


def test_tags_avoid_each_other() -> None:
    boxes: Boxes = [(100, 100, 300, 300), (104, 102, 304, 302), (100, 104, 300, 304), (98, 98, 290, 290)]
    instances = found(boxes, (400, 600))
    overlay = draw(image(400, 600), instances, only("labels", "scores"))
    alone = [draw(image(400, 600), found([box], (400, 600)), only("labels", "scores")) for box in boxes]
    total = sum(changed(picture, image(400, 600)).sum() for picture in alone)
    assert changed(overlay, image(400, 600)).sum() == pytest.approx(total, rel=0.05)


def test_labels_in_any_language_are_drawn() -> None:
    tags = [
        tag_of(draw(image(200, 300), found([(50, 50, 250, 180)], (200, 300), [name]), only("labels", text_height=32)))
        for name in ("狗", "猫", "\U0001f415", "é", "e")
    ]
    for one, other in combinations(tags, 2):
        assert one.shape != other.shape or np.abs(one.astype(int) - other).max() > 60


def test_lines_and_text_grow_with_the_image() -> None:
    lines, texts = [], []
    for size in ((64, 64), (400, 600), (3000, 4000)):
        height, width = size
        instances = found([(width / 4, height / 2, width * 3 / 4, height * 0.9)], size, ["a"])
        column = changed(draw(image(*size), instances, only("boxes")), image(*size))[:, width // 2]
        lines.append(int(column.sum()) // 2)
        texts.append(tag_of(draw(image(*size), instances, only("labels"))).shape[0])
    assert lines == [1, 2, 8]
    assert 10 <= texts[0] < 16 < texts[1] < 24 < 50 < texts[2] < 90


def test_line_width_and_text_height_can_be_given() -> None:
    instances = found([(50, 50, 250, 180)], (200, 300))
    overlay = draw(image(200, 300), instances, only("boxes", line_width=5))
    assert changed(overlay, image(200, 300))[:, 150].sum() == 10
    small, large = (
        tag_of(draw(image(200, 300), instances, only("labels", text_height=height))).shape[0] for height in (12, 40)
    )
    assert 12 <= small <= 16
    assert 40 <= large <= 50


def test_boxes_on_the_border_are_visible_all_around() -> None:
    frame = changed(draw(image(90, 120), found([(-5, 0, 120, 90)], (90, 120)), only("boxes")), image(90, 120))
    assert frame[0].all()
    assert frame[-1].all()
    assert frame[:, 0].all()
    assert frame[:, -1].all()


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "box",
    [
        (NAN, 0, 10, 10),
        (NAN, NAN, NAN, NAN),
        (0, 0, INF, 10),
        (-INF, -INF, INF, INF),
        (10, 10, 10, 30),
        (10, 10, 30, 10),
        (30, 30, 10, 10),
        (-50, -50, -10, -10),
        (500, 10, 600, 20),
        (60, 10, 80, 20),
    ],
)
def test_boxes_that_cover_nothing_are_left_out(box: tuple[float, float, float, float]) -> None:
    before = image(40, 60)
    assert np.array_equal(draw(before, found([box], (40, 60))), before)
    both = draw(before, found([(5, 5, 30, 30), box], (40, 60)))
    assert np.array_equal(both, draw(before, found([(5, 5, 30, 30)], (40, 60))))


@pytest.mark.parametrize(
    "box", [(-1e30, -1e30, 1e30, 1e30), (-5, -5, 500, 500), (59.9, 39.9, 60, 40), (3.2, 3.2, 3.4, 3.3)]
)
def test_boxes_that_reach_out_or_are_tiny_are_drawn(box: tuple[float, float, float, float]) -> None:
    assert changed(draw(image(40, 60), found([box], (40, 60))), image(40, 60)).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 2), (7, 9), (8, 200), (200, 8), (16, 16)])
@pytest.mark.parametrize("style", [Style(), Style(line_width=50, text_height=200)])
def test_small_images(size: tuple[int, int], style: Style) -> None:
    height, width = size
    boxes: Boxes = [(0, 0, width, height), (0, 0, width / 2, height / 2)]
    assert changed(draw(image(*size), found(boxes, size), style), image(*size)).any()


def test_a_hundred_instances_on_a_small_image() -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 150, (100, 2))
    boxes = np.hstack([corners, corners + generator.uniform(1, 80, (100, 2))])
    assert draw(image(150, 200), found([tuple(box) for box in boxes], (150, 200))).shape == (150, 200, 3)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"opacity": 1.5}, "opacity"),
        ({"opacity": -0.1}, "opacity"),
        ({"opacity": NAN}, "opacity"),
        ({"line_width": 0}, "line width"),
        ({"line_width": 2.5}, "line_width must be a whole number or None"),
        ({"text_height": 5}, "text height"),
        ({"hide": frozenset({"boxes", "faces"})}, "'faces'"),
        ({"color_by": "size"}, "'size'"),
    ],
)
def test_styles_that_cannot_be_meant_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Style(**options)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        np.zeros((40, 60), dtype=np.uint8),
        np.zeros((40, 60, 4), dtype=np.uint8),
        np.zeros((40, 60, 3), dtype=np.float32),
        np.zeros((60, 40, 3), dtype=np.uint8),
    ],
)
def test_images_of_another_kind_are_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match="draw on"):
        draw(wrong, found([(5, 5, 30, 30)], (40, 60)))
