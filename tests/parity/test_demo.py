"""The bundled demo model, as a newcomer meets it, and held against TensorFlow's answers on the same graph."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.hub import demo_model
from tests.cli.conftest import Run
from tests.conftest import DATA, ROOT, read_image
from tests.support.engine import ENGINE
from tests.support.parity import EXCEPTIONS, Golden, ends_at_border, outliers

EXAMPLES = ROOT / "examples"
PICTURES = ("shapes", "plain", "photo")


@cache
def model() -> MaskRCNN:
    return MaskRCNN.load(demo_model(), backend=ENGINE)


def test_first_command(run: Run, tmp_path: Path) -> None:
    done = run(EXAMPLES / "shapes.jpg")
    assert done.returncode == 0, done.stderr
    assert read_image(tmp_path / "mrcnn-out" / "shapes.jpg").shape == read_image(EXAMPLES / "shapes.jpg").shape
    notes = [line for line in done.stderr.splitlines() if "demo model" in line]
    assert len(notes) == 1
    assert "circle, triangle, rectangle, star, ring, cross" in notes[0]


def test_no_note_when_a_model_is_named(run: Run, tiny_graph: Path, photo_path: Path) -> None:
    done = run(photo_path, "--model", tiny_graph)
    assert done.returncode == 0, done.stderr
    assert "demo model" not in done.stderr


@pytest.mark.parametrize("picture", PICTURES)
def test_parity_with_tensorflow(picture: str) -> None:
    with np.load(DATA / "demo" / f"{picture}.npz") as arrays:
        golden = Golden(read_image(EXAMPLES / f"{picture}.jpg"), dict(arrays))
    found = model().predict(golden.image, score_threshold=None)
    assert len(found) == len(golden.boxes) > 0
    different = outliers(found, golden)
    assert [each for each in different if not ends_at_border(each, golden, model().definition)] == []
    assert len(different) <= max(1, EXCEPTIONS * len(golden.boxes))


def test_a_cup_and_a_saucer_are_no_rings() -> None:
    assert model().predict(read_image(DATA / "images" / "coffee.png")).labels == []


def test_a_portrait_holds_no_shapes_but_a_stripe_of_a_flag() -> None:
    """The model card names this one; a stripe is a rectangle after all."""
    assert model().predict(read_image(DATA / "images" / "astronaut.png")).labels == ["rectangle"]


@pytest.mark.parametrize("brightness", [0, 128, 255])
def test_nothing_is_found_in_an_empty_picture(brightness: int) -> None:
    assert model().predict(np.full((240, 320, 3), brightness, dtype=np.uint8)).labels == []


def test_every_class_is_known_by_name() -> None:
    assert model().labels == dict(enumerate(("circle", "triangle", "rectangle", "star", "ring", "cross"), start=1))
    assert model().warnings == ()


def test_the_card_describes_this_very_graph() -> None:
    graph = demo_model() / "frozen_inference_graph.pb"
    assert graph.stat().st_size <= 8_000_000
    card = (demo_model() / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert re.findall(r"\| sha256 \| `(\w+)` \|", card) == [hashlib.sha256(graph.read_bytes()).hexdigest()]
