"""Identities on moving scenes, through the demo model; and the figures by which they are judged."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.hub import demo_model


@pytest.fixture(scope="module")
def demo() -> MaskRCNN:
    return MaskRCNN.load(demo_model(), backend="cpu")


@pytest.mark.long
def test_shapes_keep_their_numbers(evaluate: ModuleType, demo: MaskRCNN) -> None:
    # Crossings and exits; and a curtain behind which shapes pass.
    total = sum((evaluate.score(evaluate.steps(demo, seed, frames=30)) for seed in (3, 5)), evaluate.Score())
    assert total.identities > 100
    assert total.idf1 >= 0.9


@pytest.mark.long
def test_shapes_keep_their_numbers_in_all_sequences(evaluate: ModuleType, demo: MaskRCNN) -> None:
    total = sum((evaluate.score(evaluate.steps(demo, seed)) for seed in range(20)), evaluate.Score())
    assert total.idf1 >= 0.9


def frames(evaluate: ModuleType, tracks: list[list[int]], near: Any = None) -> Any:
    """Frames in which the first identity lies on the first track, the second on the second, ...; 0: no track."""
    for given in tracks:
        there = [track for track in given if track]
        overlap = np.zeros((len(given), len(there)))
        for row, track in enumerate(given):
            if track:
                overlap[row, there.index(track)] = 0.9 if near is None else near
        yield evaluate.Step(list(range(1, len(given) + 1)), there, overlap)


def figures(score: Any) -> tuple[float, float, int]:
    return score.idf1, score.mota, score.switches


def test_perfect_tracks(evaluate: ModuleType) -> None:
    assert figures(evaluate.score(frames(evaluate, [[7, 9]] * 10))) == (1, 1, 0)


def test_a_track_that_is_cut_in_two(evaluate: ModuleType) -> None:
    score = evaluate.score(frames(evaluate, [[1]] * 6 + [[2]] * 4))
    # The longer half is the identity's: 6 frames right of 10 and 10.
    assert figures(score) == pytest.approx((0.6, 0.9, 1))


def test_two_that_swap_their_numbers(evaluate: ModuleType) -> None:
    score = evaluate.score(frames(evaluate, [[1, 2]] * 5 + [[2, 1]] * 5))
    assert figures(score) == pytest.approx((0.5, 0.9, 2))


def test_what_is_missed_and_what_is_not_there(evaluate: ModuleType) -> None:
    missed = evaluate.score(frames(evaluate, [[1]] * 5 + [[0]] * 5))
    assert figures(missed) == pytest.approx((2 * 5 / 15, 0.5, 0))
    apart = evaluate.score(frames(evaluate, [[1]] * 10, near=0.4))
    assert figures(apart) == (0, -1, 0)
