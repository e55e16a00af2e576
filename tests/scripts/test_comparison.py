"""mrcnn-cv against baselines: ratios and shares of the peak rate, in the table, the record and the chart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.bench.candidate import Measurement, Startup
from mrcnn_cv.bench.results import BenchResults, Entry
from mrcnn_cv.hub import demo_model
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.inference.proposals import with_fewer_proposals
from mrcnn_cv.util.opencv import cv2
from scripts.benchmarks.comparison import PEAK_GEMM, Comparison, lines, png, record
from scripts.benchmarks.peak_gemm import GFLOP
from scripts.benchmarks.roofline import gflop_of, peak_for
from tests.bench.made_up import other, ours, results

RATES = {"numpy": 200.0, "OpenVINO": 400.0, "OpenVINO bf16": 800.0}


def peak_gemm(**rates: float) -> Entry:
    """Measurements of matrix products at so many GFLOP/s, by library."""
    milliseconds = {name: GFLOP / rate * 1000 for name, rate in rates.items()}
    return Entry(PEAK_GEMM, None, Startup(1.0, 2.0), [Measurement(1.0, milliseconds)])


def compared(tiny_graph: Path, *entries: Entry, baselines: tuple[Entry, ...]) -> tuple[BenchResults, list[Comparison]]:
    found = results(*entries, others=[peak_gemm(**RATES), *baselines])
    return found, [Comparison.of(group, open_model(tiny_graph).definition) for group in found.groups]


def test_the_share_is_that_of_the_fastest_matrices_of_the_same_precision(tiny_graph: Path) -> None:
    entries = [ours("cpu", 100), ours("openvino-bf16", 50), ours("cuda", 10), ours("openvino", 10, place="GPU.1")]
    peaks = [("OpenVINO", 400.0), ("OpenVINO bf16", 800.0), None, None]
    assert [peak_for(entry, RATES) for entry in entries] == peaks
    gflop = sum(gflop_of(open_model(tiny_graph).definition, (400, 600), 5).values())
    found, comparisons = compared(tiny_graph, *entries, baselines=())
    told = record(found, comparisons, {})["groups"][0]["candidates"]
    shares = [gflop / 0.1 / 400, gflop / 0.05 / 800, None, None]
    assert [each["share_of_peak_gemm"] for each in told] == [
        share if share is None else pytest.approx(share, abs=1e-3) for share in shares
    ]


def test_fewer_proposals_need_less_arithmetic() -> None:
    model = demo_model()
    usual, fast = ours("cpu", 100), replace(ours("cpu-fast", 100), fast=True)
    _, (comparison,) = compared(model, usual, fast, baselines=())
    most, least = (roofline.gflop for roofline in comparison.rooflines)
    spec = open_model(model).definition
    share = with_fewer_proposals(spec).proposal_nms.max_total / spec.proposal_nms.max_total
    assert share < 1
    assert least["trunk"] == most["trunk"]
    assert least["box_head"] == pytest.approx(share * most["box_head"])


def test_table(tiny_graph: Path) -> None:
    entries = [ours("cpu", 100, 110, 90), ours("cpu", 200, 210, 190, kept=20)]
    found, comparisons = compared(tiny_graph, *entries, baselines=(other("TensorFlow", 300, 300, 300),))
    text = [" ".join(line.split()) for line in lines(found, comparisons, {"ONNX Runtime": "it is not installed"})]
    assert "times as fast as TensorFlow" in text
    assert "mrcnn-cv cpu, 20 kept 1.50 (1.46 to 1.54)" in text
    assert any(line.startswith("TensorFlow 300 ms 300 to 300 1,000 ms") for line in text)
    assert any("of OpenVINO's matrices, at whose rate it would take" in line for line in text)
    assert "left out: ONNX Runtime: it is not installed" in text


def test_record_is_json_with_every_run_and_ratio(tiny_graph: Path) -> None:
    baseline = other("TensorFlow", 300, 330, 270)
    found, comparisons = compared(tiny_graph, ours("cpu", 100, 110, 90), baselines=(baseline,))
    told = json.loads(json.dumps(record(found, comparisons, {"OpenVINO f32": "why"})))
    (group,) = told["groups"]
    assert [each["runs_ms"] for each in (*group["candidates"], *group["baselines"])] == [
        [100, 110, 90],
        [300, 330, 270],
    ]
    assert group["ratios"] == [
        {"baseline": "TensorFlow", "candidate": "mrcnn-cv cpu, 5 kept", "median": 3.0, "low": 3.0, "high": 3.0}
    ]
    assert group["peak_gemm_gflop_per_second"] == RATES
    assert told["left_out"] == {"OpenVINO f32": "why"}


def test_a_baseline_has_a_grey_bar_as_long_as_its_time(tiny_graph: Path) -> None:
    found, comparisons = compared(tiny_graph, ours("cpu", 50, 50, 50), baselines=(other("TensorFlow", 200, 200, 200),))
    image = cv2.imdecode(np.frombuffer(png(found, comparisons), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    grey = (np.asarray(image) == (190, 184, 178)).all(axis=2).sum(axis=1)
    trunk = (np.asarray(image) == (196, 112, 46)).all(axis=2).sum(axis=1)
    # The trunk is an eighth of a bar that is a quarter as long.
    assert grey.max() == pytest.approx(32 * np.sort(trunk)[-20], rel=0.06)
