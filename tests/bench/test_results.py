"""Medians, ratios and shares; the table, the record and the picture that say them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mrcnn_cv.bench.contestant import Start, Turn
from mrcnn_cv.bench.ours import INFERENCE, STEPS
from mrcnn_cv.bench.plot import COLOURS, png
from mrcnn_cv.bench.results import Entry, Group, Report, Spread
from mrcnn_cv.bench.table import lines
from mrcnn_cv.util.opencv import cv2


def ours(backend: str, *milliseconds: float, kept: int = 5, gflop: float = 10.0, place: str = "CPU") -> Entry:
    """A contestant of ours whose steps all take as long."""
    turns = [Turn(ms, dict.fromkeys(STEPS, ms / len(INFERENCE)), kept) for ms in milliseconds]
    start = Start(100.0, 200.0, {"backend": backend, "device": "a chip", "place": place})
    return Entry(f"mrcnn-cv {backend}", False, kept, start, turns, 512.0, {"trunk": gflop})


def peer(*milliseconds: float) -> Entry:
    return Entry("TensorFlow", True, None, Start(1000.0, 2000.0, {"version": "2"}), [Turn(ms) for ms in milliseconds])


def report(*entries: Entry, rates: dict[str, float] | None = None) -> Report:
    group = Group(2, (400, 600), (800, 1200), list(entries), rates or {"numpy": 200.0, "OpenCV": 100.0})
    machine = {"mrcnn_cv": "1", "opencv": "5", "numpy": "2", "python": "3", "processor": "a chip", "processors": 2}
    model = {"file": "m.pb", "bytes": 1, "architecture": "Mask R-CNN", "backbone": "ResNet", "classes": 1}
    return Report(machine, {**model, "proposals": 100}, "a.png", 3, [group], {"ONNX Runtime": "it is not installed"})


def test_median_and_quartiles() -> None:
    assert Spread.of([4.0, 1.0, 2.0, 3.0, 100.0]) == Spread(3.0, 2.0, 4.0)


def test_a_ratio_is_that_of_each_round_not_of_the_medians() -> None:
    # A machine that slows down by half in the middle slows both.
    entry, other = ours("cpu", 100, 200, 100), peer(150, 300, 150)
    assert entry.times_as_fast_as(other) == Spread(1.5, 1.5, 1.5)


def test_the_share_is_that_of_the_fastest_matrices_of_the_same_precision() -> None:
    rates = {"numpy": 200.0, "OpenVINO": 400.0, "OpenVINO bf16": 800.0}
    full, half, card = ours("cpu", 100), ours("openvino-bf16", 50), ours("cuda", 10)
    (group,) = report(full, half, card, rates=rates).groups
    assert full.rate() == pytest.approx(100.0)
    assert group.limit(full) == ("OpenVINO", 400.0)
    assert group.limit(half) == ("OpenVINO bf16", 800.0)
    assert group.limit(card) is None
    assert group.limit(ours("openvino", 10, place="GPU.1")) is None
    first, second, third = report(full, half, card, rates=rates).to_dict()["groups"][0]["contestants"]
    assert (first["share_of_matrices"], second["share_of_matrices"], third["share_of_matrices"]) == (0.25, 0.25, None)


def test_table() -> None:
    text = list(lines(report(ours("cpu", 100, 110, 90), ours("cpu", 200, 210, 190, kept=20), peer(300, 300, 300))))
    assert "2 threads, picture 600x400, which enters the model as 1200x800" in text
    (row,) = [line for line in text if line.startswith("mrcnn-cv cpu, 5 kept  ") and " ms" in line]
    assert " ".join(row.split()) == "mrcnn-cv cpu, 5 kept 5 100 ms 95 to 105 100 ms 200 ms 512 MiB"
    assert "mrcnn-cv cpu, 20 kept 1.50 (1.46 to 1.54)" in [" ".join(line.split()) for line in text]
    assert [line.split()[0] for line in text if line.startswith(("trunk", "write"))] == ["trunk", "write"]
    assert "left out: ONNX Runtime: it is not installed" in text
    assert all(line == line.rstrip() for line in text)


def test_record_is_json_with_every_run() -> None:
    record = json.loads(json.dumps(report(ours("cpu", 100, 110, 90), peer(300, 330, 270)).to_dict()))
    (group,) = record["groups"]
    assert [each["runs_ms"] for each in group["contestants"]] == [[100, 110, 90], [300, 330, 270]]
    assert group["ratios"] == [
        {"peer": "TensorFlow", "contestant": "mrcnn-cv cpu, 5 kept", "median": 3.0, "low": 3.0, "high": 3.0}
    ]
    assert list(group["contestants"][0]["steps_ms"]) == list(STEPS)


def test_picture_has_a_bar_as_long_as_the_time_with_every_step_in_its_colour() -> None:
    data = png(report(ours("cpu", 100, 100, 100), ours("openvino", 50, 50, 50), peer(200, 200, 200)))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    bars = {name: (np.asarray(image) == colour).all(axis=2) for name, colour in COLOURS.items()}
    assert all(found.any() for found in bars.values())
    # The trunk is an eighth of either bar, and of one twice as long as of the other.
    columns = bars["trunk"].sum(axis=1)
    longest = columns[columns > columns.max() // 4]
    assert longest.max() == pytest.approx(2 * longest[longest < 0.75 * longest.max()].max(), abs=2)


@pytest.mark.parametrize("milliseconds", [0.4, 3.0, 9.7, 1000.0, 123456.0])
def test_a_picture_of_times_of_any_length(milliseconds: float) -> None:
    assert png(report(ours("cpu", milliseconds))).startswith(b"\x89PNG")
