"""What an image costs in arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrcnn_cv.importers.load import open_model
from mrcnn_cv.jobs import inspect
from scripts.benchmarks.roofline import gflop_of


def test_it_is_what_inspect_counts(tiny_graph: Path) -> None:
    nets = {net.name: net for net in inspect(tiny_graph, image_size=(160, 240)).nets}
    found = gflop_of(open_model(tiny_graph).definition, (160, 240), masks=1)
    assert found["trunk"] == pytest.approx(nets["trunk"].gflops, abs=1e-3)
    assert found["box_head"] == pytest.approx(nets["box head"].gflops, abs=1e-3)
    assert found["mask_head"] == pytest.approx(nets["mask head"].gflops, abs=1e-3)


def test_masks_cost_by_the_piece_and_none_cost_nothing(tiny_graph: Path) -> None:
    spec = open_model(tiny_graph).definition
    one, four, none = (gflop_of(spec, (160, 240), count) for count in (1, 4, 0))
    assert four["mask_head"] == pytest.approx(4 * one["mask_head"])
    assert "mask_head" not in none
    assert none["trunk"] == one["trunk"]
