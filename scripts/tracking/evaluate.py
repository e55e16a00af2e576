"""Measure tracking on the moving scenes of the demo model's generator.

    python scripts/tracking/evaluate.py [--sequences 20] [--frames 60] [--stride 1] [--boxes] [--least-visible 0.667]

Runs the demo model on each frame, follows what it found and compares with who is who. Needs mrcnn-cv only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from metrics import LEAST_IOU, Score, Step, score  # type: ignore[import-not-found]
from numpy.typing import NDArray

from mrcnn_cv import Instances, MaskRCNN
from mrcnn_cv.hub import demo_model
from mrcnn_cv.tracking import Tracker

sys.path.insert(0, str(Path(__file__).parent.parent / "demo_model"))
from moving import RATE, moving_sequence  # type: ignore[import-not-found]

LEAST_VISIBLE = 2 / 3
"""Of a shape of which more is visible the model has to have a track; what is less may be found or not. (Of shapes that
are two thirds visible this model finds half.)"""

SCORE = 0.5


def steps(
    model: MaskRCNN,
    seed: int,
    frames: int = 60,
    stride: int = 1,
    least_visible: float = LEAST_VISIBLE,
    boxes: bool = False,
) -> Iterator[Step]:
    """A sequence of the generator, found by the model and followed; `boxes`: without the masks."""
    tracker = Tracker()
    for number, frame in enumerate(moving_sequence(seed, frames)):
        if number % stride:
            continue
        found = model.predict(np.ascontiguousarray(frame.image[..., ::-1]), score_threshold=SCORE)
        seen = replace(found, mask_probabilities=None) if boxes else found
        tracked = tracker.update(seen, number / RATE)
        assert tracked.track_ids is not None
        yield compare(frame, found, tracked.track_ids, least_visible)


def compare(frame: Any, found: Instances, track_ids: NDArray[np.int32], least_visible: float) -> Step:
    """One frame (a MovingFrame) against what was found in it. Tracks on shapes that need not be found do not count."""
    truth = np.stack([(frame.instance_map == k).ravel() for k in range(1, len(frame.visible) + 1)]).astype(np.float32)
    masks = np.zeros((len(found), truth.shape[1]), dtype=np.float32)
    for index in range(len(found)):
        masks[index] = found.full_mask(index).ravel()
    shared = (truth @ masks.T).astype(np.float64)
    areas = masks.sum(axis=1)
    overlap = shared / np.maximum(truth.sum(axis=1)[:, np.newaxis] + areas - shared, 1)
    certain = np.array(frame.visible) >= least_visible
    hits = (overlap[certain] >= LEAST_IOU).any(axis=0)
    on_others = (shared[~certain] / np.maximum(areas, 1) >= LEAST_IOU).any(axis=0)
    counted = np.flatnonzero((hits | ~on_others) & (track_ids > 0))
    whos = np.flatnonzero(certain)
    return Step((whos + 1).tolist(), track_ids[counted].tolist(), overlap[np.ix_(whos, counted)])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=20)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--stride", type=int, default=1, help="take every Nth frame only")
    parser.add_argument("--boxes", action="store_true", help="follow boxes, as of a model without masks")
    parser.add_argument("--least-visible", type=float, default=LEAST_VISIBLE, help="of a shape that has to be found")
    arguments = parser.parse_args()
    model = MaskRCNN.load(demo_model(), backend="cpu")
    total = Score()
    for seed in range(arguments.sequences):
        options = (arguments.frames, arguments.stride, arguments.least_visible, arguments.boxes)
        one = score(steps(model, seed, *options))
        print(f"sequence {seed:3d}: {line(one)}")
        total += one
    print(f"all         : {line(total)}")


def line(one: Score) -> str:
    """The figures in a line."""
    lost, false = one.missed / max(1, one.identities), one.false / max(1, one.identities)
    return (
        f"IDF1 {one.idf1:.4f}  MOTA {one.mota:.4f}  switches {one.switches:3d}  missed {lost:.3f}  false {false:.3f}"
        f"  instances {one.identities}"
    )


if __name__ == "__main__":
    main()
