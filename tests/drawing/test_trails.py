"""What the overlay of a video adds: numbers, colors that stay, trails, counts, and the panel of figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv.drawing.annotate import PARTS, Style, draw, draw_stats
from mrcnn_cv.drawing.colors import UNTRACKED, color
from mrcnn_cv.drawing.text import text_size
from mrcnn_cv.structures.instances import Instances
from tests.drawing.test_annotate import changed, found, image, only, tag_of

SIZE = (300, 400)
BOX = (150.0, 120.0, 250.0, 220.0)
TRAIL = np.array([[20, 20], [60, 60], [100, 100], [200, 170]], dtype=np.float32)


def followed(instances: Instances, ids: list[int], trail: NDArray[np.float32] = TRAIL) -> Instances:
    totals = {"person": 5, "dog": 1}
    return replace(instances, track_ids=np.array(ids, dtype=np.int32), trails=[trail] * len(ids), totals=totals)


def test_colours_go_by_the_number_of_the_track() -> None:
    boxes = [(10.0, 10.0, 50.0, 50.0), (60.0, 10.0, 100.0, 50.0), (110.0, 10.0, 150.0, 50.0)]
    instances = followed(found(boxes, (60, 160)), [12, 3, 0])
    overlay = draw(image(60, 160), instances, only("boxes"))
    assert tuple(overlay[10, 30]) == color(11)
    assert tuple(overlay[10, 80]) == color(2)
    assert tuple(overlay[10, 130]) == UNTRACKED
    by_class = draw(image(60, 160), instances, only("boxes", color_by="class"))
    assert tuple(by_class[10, 80]) == color(2)
    assert tuple(by_class[10, 30]) == color(1)


def test_the_number_stands_before_the_label() -> None:
    plain = found([BOX], SIZE)
    style = only("labels", "scores", text_height=24)
    without = tag_of(draw(image(*SIZE), plain, style))
    with_number = tag_of(draw(image(*SIZE), followed(plain, [7]), style))
    more = with_number.shape[1] - without.shape[1]
    assert more == text_size("#7 ", 24)[0]
    # The rest of the tag reads as before.
    ink = [(tag != tag[0, 0]).any(axis=2) for tag in (without, with_number)]
    assert np.array_equal(ink[0][:, 8:], ink[1][:, 8 + more :])


def test_what_is_not_followed_yet_has_no_number() -> None:
    plain = found([BOX], SIZE)
    style = only("labels", "scores")
    new = tag_of(draw(image(*SIZE), followed(plain, [0]), style))
    assert new.shape == tag_of(draw(image(*SIZE), plain, style)).shape


def test_without_labels_there_are_no_numbers() -> None:
    one, two = (draw(image(*SIZE), followed(found([BOX], SIZE), [number]), only("scores")) for number in (1, 100))
    assert tag_of(one).shape == tag_of(two).shape


def test_trails_are_drawn_on_request_only() -> None:
    instances = followed(found([BOX], SIZE), [1])
    before = image(*SIZE)
    assert np.array_equal(draw(before, instances, only()), before)
    line = changed(draw(before, instances, only(trail=True)), before)
    assert line[60, 60]
    assert line[135, 150]
    assert not line[250:].any()
    assert not line[:, 260:].any()


def test_trails_have_the_colour_of_their_track_and_grow_towards_it() -> None:
    instances = followed(found([BOX], SIZE), [4], np.array([[10, 50], [110, 50], [210, 50], [310, 50]], np.float32))
    overlay = draw(image(*SIZE), instances, only(trail=True, line_width=5))
    assert tuple(overlay[50, 300]) == color(3)
    widths = [int(changed(overlay, image(*SIZE))[:, x].sum()) for x in (40, 300)]
    assert widths[0] < widths[1]


@pytest.mark.parametrize(
    "trail",
    [np.zeros((0, 2)), np.zeros((1, 2)), np.full((5, 2), 1e7), np.array([[-1e6, 5], [1e6, 5]]), np.ones((50, 2))],
)
def test_any_trail_can_be_drawn(trail: NDArray[np.float64]) -> None:
    instances = followed(found([BOX], SIZE), [1], trail.astype(np.float32))
    assert draw(image(*SIZE), instances, Style(trail=True)).shape == (*SIZE, 3)


def test_pictures_have_no_trails() -> None:
    plain = found([BOX], SIZE)
    assert np.array_equal(draw(image(*SIZE), plain, Style(trail=True)), draw(image(*SIZE), plain))


def test_counts_are_shown_at_the_top_right_on_request() -> None:
    before, boxes = image(*SIZE), [BOX, (20.0, 150.0, 60.0, 200.0)]
    nothing = found(boxes, SIZE, ["person", "dog"])
    panel = changed(draw(before, nothing, only(counts=True)), before)
    assert panel[10, 390]
    assert not panel[:, :200].any()
    assert not panel[100:].any()
    fewer = changed(draw(before, found([BOX], SIZE, ["dog"]), only(counts=True)), before)
    assert fewer.sum() < panel.sum()


def test_counts_of_tracks_say_how_many_there_were() -> None:
    before, plain = image(*SIZE), found([BOX], SIZE, ["person"])
    once = draw(before, followed(plain, [1]), only(counts=True))
    again = draw(before, replace(followed(plain, [1]), totals={"person": 6, "dog": 1}), only(counts=True))
    gone = draw(before, replace(followed(found([], SIZE), []), totals={"person": 6, "dog": 1}), only(counts=True))
    assert not np.array_equal(once, again)
    assert not np.array_equal(again, gone)
    assert changed(gone, before).any()


LINES = ["24.6 frames per second", "delay 85 ms", "4 instances"]


@pytest.mark.parametrize("level", [0, 90, 255])
def test_stats_can_be_read_on_any_background(level: int) -> None:
    picture = np.full((*SIZE, 3), level, dtype=np.uint8)
    draw_stats(picture, LINES)
    panel = picture[6:40, 6:100]
    dark, light = panel.min() / 255, panel.max() / 255
    assert light == 1
    assert ((dark + 0.055) / 1.055) ** 2.4 + 0.05 < 1.05 / 7
    assert (picture[150:] == level).all()
    assert (picture[:, 300:] == level).all()


def test_stats_have_a_line_for_each_text() -> None:
    heights = []
    for count in (1, 2, 3):
        picture = image(*SIZE)
        draw_stats(picture, LINES[:count])
        heights.append(int(changed(picture, image(*SIZE)).any(axis=1).sum()))
    assert heights[1] - heights[0] == heights[2] - heights[1] > 10


def test_no_lines_leave_the_picture_as_it_is() -> None:
    for lines in ([], ["", ""]):
        picture = image(*SIZE)
        draw_stats(picture, lines)
        assert (picture == image(*SIZE)).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (300, 5), (16, 16), (40, 60), (64, 64)])
def test_stats_on_small_pictures(size: tuple[int, int]) -> None:
    picture = image(*size)
    draw_stats(picture, [*LINES, "a very long line about nothing in particular " * 20])
    everything = Style(trail=True, counts=True)
    assert draw(picture, followed(found([(0, 0, *size[::-1])], size), [1]), everything).shape == (*size, 3)


def test_lines_that_are_too_long_are_cut() -> None:
    picture = image(*SIZE)
    draw_stats(picture, ["a very long line about nothing in particular " * 9])
    width = int(changed(picture, image(*SIZE)).any(axis=0).sum())
    assert 0.8 * SIZE[1] < width <= SIZE[1]


def test_styles_hide_what_they_hide_with_tracks_too() -> None:
    instances = followed(found([BOX], SIZE), [1])
    assert np.array_equal(draw(image(*SIZE), instances, Style(hide=frozenset(PARTS))), image(*SIZE))
