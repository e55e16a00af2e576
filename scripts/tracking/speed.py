"""Measure what tracking costs: milliseconds per frame, by how many instances there are.

python scripts/tracking/speed.py [--instances 30] [--frames 1000]

Two scenes: instances spread over the image, and a crowd in which every box overlaps most of the others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from mrcnn_cv import Instances
from mrcnn_cv.tracking import Tracker

WIDTH, HEIGHT = 1280, 720


def scenes(count: int, frames: int, spread: float, seed: int = 1) -> Iterator[Instances]:
    """`count` instances that wander about; one in ten is missed in each frame. spread: 1: all over the image."""
    rng = np.random.default_rng(seed)
    middle = np.array([WIDTH, HEIGHT]) / 2
    centres = middle + (rng.random((count, 2)) - 0.5) * (WIDTH, HEIGHT) * spread
    speeds = rng.normal(0, 3, (count, 2))
    sides = rng.uniform(60, 200, (count, 2))
    rows, columns = np.mgrid[-1:1:28j, -1:1:28j]
    disc = np.clip(1.3 - np.hypot(rows, columns), 0, 1).astype(np.float32)
    for _ in range(frames):
        speeds += rng.normal(0, 0.3, (count, 2)) - (centres - middle) * 0.0005
        centres = centres + speeds
        seen = np.flatnonzero(rng.random(count) > 0.1)
        places = centres + rng.normal(0, 2, (count, 2))
        boxes = np.hstack([places - sides / 2, places + sides / 2])[seen]
        yield Instances(
            boxes=boxes.astype(np.float32),
            scores=np.full(len(seen), 0.9, dtype=np.float32),
            class_ids=(seen % 3 + 1).astype(np.int32),
            labels=[str(each % 3 + 1) for each in seen],
            mask_probabilities=np.repeat(disc[np.newaxis], len(seen), axis=0),
            image_size=(HEIGHT, WIDTH),
        )


def measure(count: int, frames: int, spread: float) -> list[float]:
    """Milliseconds of each update."""
    tracker, costs = Tracker(), []
    for found in scenes(count, frames, spread):
        start = time.perf_counter()
        tracker.update(found)
        costs.append((time.perf_counter() - start) * 1000)
    return costs


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=30)
    parser.add_argument("--frames", type=int, default=1000)
    arguments = parser.parse_args()
    for name, spread in (("spread", 1.0), ("crowd", 0.15)):
        costs = measure(arguments.instances, arguments.frames, spread)
        median, most = np.median(costs), np.percentile(costs, 99)
        print(f"{arguments.instances} instances, {name}: {median:.2f} ms per frame (median), {most:.2f} ms (99 %)")


if __name__ == "__main__":
    main()
