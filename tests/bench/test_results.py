"""Medians, ratios and steps; the table, the record and the chart that say them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mrcnn_cv.bench.plot import COLORS, png
from mrcnn_cv.bench.results import Quartiles
from mrcnn_cv.bench.steps import STEPS
from mrcnn_cv.bench.table import lines
from mrcnn_cv.util.opencv import cv2
from tests.bench.made_up import other, ours, results


def test_median_and_quartiles() -> None:
    assert Quartiles.of([4.0, 1.0, 2.0, 3.0, 100.0]) == Quartiles(3.0, 2.0, 4.0)


def test_a_ratio_is_that_of_each_round_not_of_the_medians() -> None:
    # A machine that slows down by half in the middle slows both.
    entry, slower = ours("cpu", 100, 200, 100), other("TensorFlow", 150, 300, 150)
    assert entry.times_as_fast_as(slower) == Quartiles(1.5, 1.5, 1.5)


def test_table() -> None:
    text = list(lines(results(ours("cpu", 100, 110, 90), ours("cpu", 200, 210, 190, kept=20))))
    assert "2 threads, image 600x400, which enters the model as 1200x800" in text
    (row,) = [line for line in text if line.startswith("mrcnn-cv cpu, 5 kept  ") and " ms" in line]
    assert " ".join(row.split()) == "mrcnn-cv cpu, 5 kept 5 100 ms 95 to 105 100 ms 200 ms 512 MiB"
    assert [line.split()[0] for line in text if line.startswith(("trunk", "write"))] == ["trunk", "write"]
    assert all(line == line.rstrip() for line in text)


def test_record_is_json_with_every_run() -> None:
    record = json.loads(json.dumps(results(ours("cpu", 100, 110, 90), ours("openvino", 50, 60, 40)).to_dict()))
    (group,) = record["groups"]
    assert [each["runs_ms"] for each in group["candidates"]] == [[100, 110, 90], [50, 60, 40]]
    assert group["candidates"][0]["ms"] == {"median": 100, "low": 95, "high": 105}
    assert list(group["candidates"][0]["steps_ms"]) == list(STEPS)


def test_chart_has_a_bar_as_long_as_the_time_with_every_step_in_its_color() -> None:
    data = png(results(ours("cpu", 100, 100, 100), ours("openvino", 50, 50, 50)))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    bars = {name: (np.asarray(image) == color).all(axis=2) for name, color in COLORS.items()}
    assert all(found.any() for found in bars.values())
    # The trunk is an eighth of either bar, and of one twice as long as of the other.
    columns = bars["trunk"].sum(axis=1)
    longest = columns[columns > columns.max() // 4]
    assert longest.max() == pytest.approx(2 * longest[longest < 0.75 * longest.max()].max(), abs=2)


@pytest.mark.parametrize("milliseconds", [0.4, 3.0, 9.7, 1000.0, 123456.0])
def test_a_chart_of_times_of_any_length(milliseconds: float) -> None:
    assert png(results(ours("cpu", milliseconds))).startswith(b"\x89PNG")
