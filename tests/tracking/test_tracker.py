"""Who is who: the same number for the same thing, whatever the video does."""

from __future__ import annotations

import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.tracking import Tracker
from mrcnn_cv.tracking.tracker import TRAIL

Thing = tuple[float, float, float, float] | tuple[float, float, float, float, int]
"""Centre x, y, width, height, and the class: 1 where it is left out."""

DISC = (1.3 - np.hypot(*np.mgrid[-1:1:15j, -1:1:15j])).clip(0, 1).astype(np.float32)


def frame(things: list[Thing], size: tuple[int, int] = (480, 640), masks: bool = True) -> Instances:
    count = len(things)
    places = np.array([thing[:4] for thing in things], dtype=np.float32).reshape(count, 4)
    class_ids = np.array([thing[4] if len(thing) == 5 else 1 for thing in things], dtype=np.int32)
    return Instances(
        boxes=np.hstack([places[:, :2] - places[:, 2:] / 2, places[:, :2] + places[:, 2:] / 2]),
        scores=np.full(count, 0.9, dtype=np.float32),
        class_ids=class_ids,
        labels=[f"class {class_id}" for class_id in class_ids],
        mask_probabilities=np.tile(DISC, (count, 1, 1)) if masks else None,
        image_size=size,
    )


def ids(found: Instances) -> list[int]:
    assert found.track_ids is not None
    assert found.track_ids.dtype == np.int32
    return [int(number) for number in found.track_ids]


@pytest.mark.parametrize("masks", [True, False])
def test_numbers_stay_while_things_move(masks: bool) -> None:
    tracker = Tracker()
    for step in range(30):
        found = frame([(100 + 8 * step, 100, 60, 60), (500, 400 - 9 * step, 50, 80)], masks=masks)
        assert ids(tracker.update(found, step / 25)) == [1, 2]


def test_the_order_of_the_instances_does_not_matter() -> None:
    tracker, things = Tracker(), [(100.0, 100.0, 60.0, 60.0), (300.0, 100.0, 60.0, 60.0), (500.0, 100.0, 60.0, 60.0)]
    assert ids(tracker.update(frame([*things]))) == [1, 2, 3]
    assert ids(tracker.update(frame([*things[::-1]]))) == [3, 2, 1]


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("speed", [3, 9])
def test_two_of_a_kind_pass_through_each_other(speed: int, masks: bool) -> None:
    tracker = Tracker()
    for step in range(500 // speed):
        right, left = (70.0 + speed * step, 200, 60, 60), (570.0 - speed * step, 212, 60, 60)
        assert ids(tracker.update(frame([right, left], masks=masks), step / 25)) == [1, 2]


def test_what_is_hidden_for_a_second_keeps_its_number() -> None:
    tracker = Tracker()
    for step in range(60):
        x = 60.0 + 6 * step
        seen: list[Thing] = [] if 20 <= step < 45 else [(x, 200, 50, 50)]
        found = tracker.update(frame([(500, 400, 50, 50), *seen]), step / 25)
    assert ids(found) == [1, 2]


def test_what_was_away_for_long_is_new() -> None:
    tracker = Tracker()
    for step in range(200):
        seen: list[Thing] = [] if 20 <= step < 120 else [(100, 200, 50, 50)]
        found = tracker.update(frame(seen), step / 25)
    assert ids(found) == [2]
    assert found.totals == {"class 1": 2}


def test_what_is_seen_once_gets_no_number() -> None:
    tracker = Tracker()
    tracker.update(frame([(100, 100, 50, 50)]))
    flash = tracker.update(frame([(100, 100, 50, 50), (400, 300, 50, 50)]))
    assert ids(flash) == [1, 0]
    tracker.update(frame([(100, 100, 50, 50)]))
    tracker.update(frame([(100, 100, 50, 50), (300, 200, 50, 50)]))
    after = tracker.update(frame([(100, 100, 50, 50), (300, 200, 50, 50)]))
    assert ids(after) == [1, 2]
    assert after.totals == {"class 1": 2}


def test_two_sightings_must_be_in_a_row() -> None:
    tracker = Tracker()
    for step in range(20):
        seen: list[Thing] = [(400, 300, 50, 50)] if step % 3 == 1 else []
        assert ids(tracker.update(frame(seen), step / 25)) in ([], [0])


def test_of_few_frames_some_may_be_missed() -> None:
    tracker, thing = Tracker(), (100.0, 100.0, 50.0, 50.0)
    for step in range(9):
        found = tracker.update(frame([] if step in (4, 5) else [thing]), step * 1.5)
    assert ids(found) == [1]


def test_something_on_the_other_side_is_something_else() -> None:
    tracker = Tracker()
    tracker.update(frame([(100, 100, 50, 50)]), 0.0)
    for step in range(1, 35):
        tracker.update(frame([]), step / 25)
    assert ids(tracker.update(frame([(500, 400, 50, 50)]), 1.4)) == [0]


def test_a_speck_in_the_place_of_something_large_is_something_else() -> None:
    tracker = Tracker()
    tracker.update(frame([(100, 100, 80, 80)]))
    assert ids(tracker.update(frame([(100, 100, 15, 15)]))) == [0]


def test_another_class_that_hardly_overlaps_is_something_else() -> None:
    tracker = Tracker()
    tracker.update(frame([(100, 100, 60, 60, 1)], masks=False))
    assert ids(tracker.update(frame([(138, 100, 60, 60, 2)], masks=False))) == [0]
    tracker.reset()
    tracker.update(frame([(100, 100, 60, 60, 1)], masks=False))
    assert ids(tracker.update(frame([(138, 100, 60, 60, 1)], masks=False))) == [2]


def test_what_comes_close_and_grows_keeps_its_number() -> None:
    tracker = Tracker()
    for step in range(60):
        assert ids(tracker.update(frame([(300, 240, 30 + 6 * step, 30 + 5 * step)]), step / 25)) == [1]


def test_a_wrong_class_before_it_is_hidden_does_not_make_it_another() -> None:
    tracker = Tracker()
    for step in range(20):
        tracker.update(frame([(100 + 3 * step, 100, 60, 60, 2 if step == 19 else 1)]), step / 25)
    for step in range(20, 45):
        tracker.update(frame([]), step / 25)
    # Not quite where it should be, so that nothing overlaps.
    assert ids(tracker.update(frame([(100 + 3 * 45, 170, 60, 60, 1)]), 45 / 25)) == [1]


def test_one_wrong_class_does_not_change_the_number() -> None:
    tracker = Tracker()
    for step in range(20):
        found = tracker.update(frame([(100 + 5 * step, 100, 60, 60, 2 if step in (7, 8, 13) else 1)]), step / 25)
        assert ids(found) == [1]


def test_one_in_front_of_another_of_its_own_class() -> None:
    tracker = Tracker()
    for step in range(20):
        circle, star = (100 + 5 * step, 100, 60, 60, 1), (110 + 5 * step, 105, 60, 60, 2)
        assert ids(tracker.update(frame([circle, star]), step / 25)) == [1, 2]
    assert ids(tracker.update(frame([star, circle]), 0.8)) == [2, 1]


def test_a_frame_per_second_is_enough_for_something_fast() -> None:
    tracker = Tracker()
    for step in range(8):
        assert ids(tracker.update(frame([(50 + 75 * step, 200, 60, 60)]), float(step))) == [1]


def test_after_a_gap_of_a_minute_everything_is_new() -> None:
    tracker, thing = Tracker(), frame([(100, 100, 50, 50)])
    tracker.update(thing, 1.0)
    tracker.update(thing, 2.0)
    tracker.update(thing, 62.0)
    assert ids(tracker.update(thing, 63.0)) == [2]


@pytest.mark.parametrize("times", [[None] * 4, [5.0, 5.0, 1.0, 1.04], [float("nan"), float("inf"), 3.0, -1e300]])
def test_times_that_tell_nothing_do_no_harm(times: list[float | None]) -> None:
    tracker = Tracker()
    for step, time in enumerate(times):
        assert ids(tracker.update(frame([(100 + 5 * step, 100, 60, 60)]), time)) == [1]


def test_a_change_of_the_frame_size_keeps_who_is_who() -> None:
    tracker = Tracker()
    for step in range(10):
        tracker.update(frame([(100 + 20 * step, 100, 60, 60), (600, 300, 80, 80)], (480, 1280)), step / 25)
    found = tracker.update(frame([(150, 50, 30, 30), (300, 150, 40, 40)], (240, 640)), 0.4)
    assert ids(found) == [1, 2]
    assert found.trails is not None
    assert np.abs(found.trails[0][0] - (50, 50)).max() < 1


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "box",
    [
        (NAN, 0, 9, 9),
        (0, 0, INF, INF),
        (-INF, 0, INF, 9),
        (INF, 0, INF, 9),
        (5, 5, 5, 9),
        (9, 9, 1, 1),
        (0, 0, 3e38, 3e38),
    ],
)
@pytest.mark.filterwarnings("error")
def test_boxes_that_are_none_are_left_alone(box: tuple[float, ...]) -> None:
    tracker = Tracker()
    for step in range(5):
        found = frame([(100 + 5 * step, 100, 60, 60), (0, 0, 1, 1)])
        found.boxes[1] = box
        tracked = tracker.update(found)
        assert ids(tracked) == [1, 0]
        assert tracked.trails is not None
        assert len(tracked.trails[1]) == 0


@pytest.mark.filterwarnings("error")
def test_frames_without_anything() -> None:
    tracker = Tracker()
    for masks in (True, False):
        nothing = tracker.update(frame([], masks=masks))
        assert ids(nothing) == []
        assert nothing.trails == []
        assert nothing.totals == {}


def test_masks_may_come_and_go_and_change_their_size() -> None:
    tracker, thing = Tracker(), (100.0, 100.0, 60.0, 60.0)
    small = frame([thing])
    small.mask_probabilities = np.ones((1, 7, 5), dtype=np.float32)
    for found in (frame([thing]), frame([thing], masks=False), small, frame([thing])):
        assert ids(tracker.update(found)) == [1]


@pytest.mark.long
@pytest.mark.filterwarnings("error")
def test_thousands_of_frames_of_noise_take_no_more_memory() -> None:
    rng = np.random.default_rng(0)
    tracker, sizes = Tracker(), []
    for step in range(1200):
        things = [(float(x), float(y), 30.0, 40.0) for x, y in rng.uniform(0, 480, (rng.integers(0, 8), 2))]
        tracked = tracker.update(frame([(240, 240, 90, 90), *things]), step / 25)
        assert all(np.isfinite(trail).all() and len(trail) <= TRAIL for trail in tracked.trails or ())
        if step % 40 == 39:
            sizes.append(len(pickle.dumps(tracker)))
    assert max(sizes[15:]) < 1.5 * max(sizes[:15])
    assert ids(tracked)[0] == 1


def test_trails_lead_to_where_things_are() -> None:
    tracker = Tracker()
    for step in range(80):
        found = tracker.update(frame([(100 + 5 * step, 300 - 2 * step, 60, 60)]), step / 25)
    assert found.trails is not None
    (trail,) = found.trails
    assert trail.shape == (TRAIL, 2)
    expected = [(100 + 5 * step, 300 - 2 * step) for step in range(80 - TRAIL, 80)]
    assert np.abs(trail - expected).max() < 1


def test_what_a_frame_was_given_stays_as_it_was() -> None:
    tracker = Tracker()
    first = tracker.update(frame([(100, 100, 60, 60)]))
    assert first.trails is not None
    before = first.trails[0].copy()
    for _ in range(2):
        tracker.update(frame([(110, 100, 60, 60), (400, 100, 60, 60)]))
    assert np.array_equal(first.trails[0], before)
    assert first.totals == {"class 1": 1}


def test_reset_forgets_who_was_there_and_goes_on_counting() -> None:
    tracker, things = Tracker(), frame([(100, 100, 60, 60), (300, 100, 60, 60, 2)])
    assert ids(tracker.update(things, 7.0)) == [1, 2]
    tracker.reset()
    again = tracker.update(things, 0.0)
    assert ids(again) == [3, 4]
    assert again.totals == {"class 1": 2, "class 2": 2}


def test_nothing_else_about_the_instances_changes() -> None:
    found = frame([(100, 100, 60, 60)])
    tracked = Tracker().update(found)
    added: dict[str, Any] = {"track_ids": None, "trails": None, "totals": None}
    for field in fields(Instances):
        before = added.get(field.name, getattr(tracked, field.name))
        assert getattr(found, field.name) is before
