"""Moving scenes with known identities: shapes that come in, cross, hide each other, turn and leave.

Everything follows from a seed, as in `scenes.py`. Needs OpenCV and numpy only, no photographs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import paint
from geometry import unit_outline
from scenes import HEIGHT, WIDTH, Shape, random_shape, random_size

RATE = 25
"""Frames per second."""

SIZES = (60.0, 140.0)
SPEEDS = (2.0, 7.0)
"""Pixels per frame."""


@dataclass
class MovingFrame:
    """One frame of a sequence."""

    image: np.ndarray
    """(h, w, 3) uint8 RGB"""
    instance_map: np.ndarray
    """(h, w) uint8: 0 is background, k is what is visible of the shape with identity k"""
    class_ids: list[int]
    """From 0, of the identities from 1 on; see `geometry.CLASS_NAMES`"""
    visible: list[float]
    """Share of each identity that is visible, 0 to 1"""


@dataclass
class _Mover:
    """A shape on its way; its place at frame t follows from where it is at frame `meeting`."""

    shape: Shape
    crossing: np.ndarray
    meeting: float
    velocity: np.ndarray
    bend: float
    spin: float

    def move_to(self, frame: int) -> None:
        """Along an arc: the heading turns by `bend` radians per frame."""
        time = frame - self.meeting
        turn = self.bend * time
        # The integral of a heading that turns evenly; close to a straight line the limit of it.
        along = np.sin(turn) / self.bend if abs(self.bend) > 1e-6 else time
        aside = (1 - np.cos(turn)) / self.bend if abs(self.bend) > 1e-6 else 0.0
        left = np.array([-self.velocity[1], self.velocity[0]])
        self.shape.centre = self.crossing + self.velocity * along + left * aside
        self.shape.angle += self.spin


def _mover(frames: int, crossing: np.ndarray, like: int | None, ground: np.ndarray, rng: np.random.Generator) -> _Mover:
    """A shape that passes near the point `crossing` (x, y) some time; `like`: its class."""
    shape = random_shape(random_size(rng, SIZES), ground, 0.2, rng)
    if like is not None:
        shape.class_id, shape.outline = like, unit_outline(like, rng)
    heading, speed = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(*np.log(SPEEDS)))
    return _Mover(
        shape=shape,
        crossing=crossing + rng.normal(0, 12, 2),
        meeting=rng.uniform(0.1, 0.9) * frames,
        velocity=speed * np.array([np.cos(heading), np.sin(heading)]),
        bend=rng.uniform(-0.012, 0.012),
        spin=rng.uniform(-0.04, 0.04),
    )


def _movers(frames: int, count: int, ground: np.ndarray, rng: np.random.Generator) -> list[_Mover]:
    """Shapes in pairs that meet somewhere; half of the pairs are of one class. The first lies at the bottom."""
    movers: list[_Mover] = []
    while len(movers) < count:
        places = rng.uniform((0.2 * WIDTH, 0.2 * HEIGHT), (0.8 * WIDTH, 0.8 * HEIGHT), (8, 2))
        # Far from where others meet: in heaps of three and more the model, not the tracker, decides what is found.
        crossing = max(places, key=lambda place: min((np.hypot(*(place - m.crossing)) for m in movers), default=0.0))
        first = _mover(frames, crossing, None, ground, rng)
        second = _mover(frames, crossing, first.shape.class_id if rng.random() < 0.5 else None, ground, rng)
        second.meeting = first.meeting + rng.normal(0, 3)
        movers += [first, second]
    rng.shuffle(movers)
    return movers[:count]


def _curtain(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (h, w) uint8 and paint (h, w, 3) of a wavy band from top to bottom, behind which shapes pass unseen."""
    middle, half = rng.uniform(0.25, 0.75) * WIDTH, rng.uniform(25, 60)
    rows = np.arange(HEIGHT)
    wave = 8 * np.sin(rows / rng.uniform(9, 20) + rng.uniform(0, 6.3))
    x = np.arange(WIDTH)[np.newaxis]
    inside = np.abs(x - (middle + wave)[:, np.newaxis]) < half
    colours = paint.fill(HEIGHT, WIDTH, paint.random_colour(rng), 0.6, rng).astype(np.float32)
    return cv2.GaussianBlur(inside.astype(np.uint8) * 255, (0, 0), 1), colours


def _ground(rng: np.random.Generator) -> np.ndarray:
    """(h, w, 3) float32: clouds of two shades of a color, from which every shape differs."""
    colour = paint.random_colour(rng)
    shade = colour + rng.uniform(-25, 25, 3).astype(np.float32)
    return paint.blend(colour, shade, paint.clouds(HEIGHT, WIDTH, int(rng.integers(2, 8)), rng)).astype(np.float32)


def moving_sequence(seed: int, frames: int = 60, split: int = 5) -> Iterator[MovingFrame]:
    """The frames of sequence `seed` of a split: three to six shapes, behind a curtain in every third one."""
    rng = np.random.default_rng([split, seed])
    still = _ground(rng)
    movers = _movers(frames, int(rng.integers(3, 7)), still.mean(axis=(0, 1)), rng)
    curtain = _curtain(rng) if seed % 3 == 2 else None
    strength = rng.uniform(0, 0.3)
    for number in range(frames):
        image = still.copy()
        instance_map = np.zeros((HEIGHT, WIDTH), np.uint8)
        whole = []
        for identity, mover in enumerate(movers, start=1):
            mover.move_to(number)
            coverage = mover.shape.coverage(HEIGHT, WIDTH)
            if coverage.any():
                mover.shape.draw(image, coverage)
            instance_map[coverage > 127] = identity
            whole.append(_area(mover.shape))
        if curtain is not None:
            paint.compose(image, curtain[1], curtain[0])
            instance_map[curtain[0] > 127] = 0
        pixels = np.bincount(instance_map.ravel(), minlength=len(movers) + 1)[1:]
        visible = [float(some / area) for some, area in zip(pixels, whole, strict=True)]
        picture = paint.camera(np.clip(image, 0, 255), strength, rng)
        yield MovingFrame(picture, instance_map, [mover.shape.class_id for mover in movers], visible)


def _area(shape: Shape) -> float:
    """Pixels of the whole shape, wherever it is."""
    outer, *holes = (abs(float(cv2.contourArea(curve.astype(np.float32)))) for curve in shape.curves())
    return outer - sum(holes)
