"""Synthetic scenes: shapes on a background, with the mask of what is visible of each.

Everything follows from a seed: `make_scene("test", 7)` is the same image on every machine with the same packages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import paint
from backgrounds import add_clutter, background, photograph
from geometry import CLASS_NAMES, place, rasterise, unit_outline

HEIGHT, WIDTH = 360, 480
SIZE_RANGE = (40.0, 200.0)
# A shape that is more hidden than this cannot be told apart from another any more.
LEAST_VISIBLE = 0.5
SPLITS = {"train": 1, "val": 2, "test": 3, "empty": 4}


@dataclass
class Scene:
    """One image and its instances, numbered from 1 in the order in which they were laid down."""

    image: np.ndarray
    """(h, w, 3) uint8 RGB"""
    instance_map: np.ndarray
    """(h, w) uint8: 0 is background, k is the k-th instance"""
    class_ids: list[int]
    """From 0, one per instance; see `geometry.CLASS_NAMES`"""

    def boxes(self) -> np.ndarray:
        """(instances, 4) float32: ymin, xmin, ymax, xmax of the visible parts, in pixels, ends exclusive."""
        boxes = np.zeros((len(self.class_ids), 4), np.float32)
        for index in range(len(boxes)):
            mask = self.instance_map == index + 1
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            boxes[index] = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
        return boxes


@dataclass
class Shape:
    """A shape to draw; the outline is in unit coordinates so that it can move."""

    class_id: int
    outline: list[np.ndarray]
    size: float
    angle: float
    squash: float
    texture: np.ndarray
    edge: np.ndarray | None
    shadow: bool
    centre: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def curves(self) -> list[np.ndarray]:
        """The outline in pixels."""
        return place(self.outline, self.centre, self.size, self.angle, self.squash)

    def coverage(self, height: int, width: int) -> np.ndarray:
        """(height, width) uint8 of the whole shape, 0 to 255."""
        return rasterise(self.curves(), height, width)

    def draw(self, image: np.ndarray, coverage: np.ndarray) -> None:
        """Paint onto the float32 image in place, its shadow first."""
        height, width = coverage.shape
        if self.shadow:
            offset = np.float32([[1, 0, 5], [0, 1, 6]])
            soft = cv2.GaussianBlur(cv2.warpAffine(coverage, offset, (width, height)), (0, 0), 4)
            paint.compose(image, np.zeros(3, np.float32), (soft * 0.45).astype(np.uint8))
        y, x = np.round(self.centre[::-1] - np.array(self.texture.shape[:2]) / 2).astype(int)
        move = np.float32([[1, 0, x], [0, 1, y]])
        moved = cv2.warpAffine(self.texture, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
        paint.compose(image, moved, coverage)
        if self.edge is not None:
            inner = cv2.erode(coverage, np.ones((5, 5), np.uint8), borderValue=255)
            paint.compose(image, self.edge, coverage - inner)


def random_shape(size: float, ground: np.ndarray, difficulty: float, rng: np.random.Generator) -> Shape:
    """A shape whose larger side is `size` pixels and whose color differs from `ground` (3,)."""
    class_id = int(rng.integers(len(CLASS_NAMES)))
    colour = paint.colour_unlike(ground, rng)
    side = int(size * 1.1) + 8
    texture = paint.fill(side, side, colour, 0.3 + 0.4 * difficulty, rng).astype(np.float32)
    return Shape(
        class_id=class_id,
        outline=unit_outline(class_id, rng),
        size=size,
        angle=rng.uniform(0, 2 * np.pi),
        squash=rng.uniform(0.92, 1.0),
        texture=texture,
        edge=colour * rng.uniform(0.3, 0.6) if rng.random() < 0.25 else None,
        shadow=bool(rng.random() < 0.2),
    )


def random_size(rng: np.random.Generator, sizes: tuple[float, float] = SIZE_RANGE) -> float:
    """Pixels; every octave between the two `sizes` is equally frequent."""
    return float(np.exp(rng.uniform(*np.log(sizes))))


def random_centre(size: float, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(x, y) such that at most a quarter of the size hangs over the border."""
    margin = size * (0.25 if rng.random() < 0.25 else 0.52)
    return np.array([rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)])


def stack(
    image: np.ndarray,
    count: int,
    difficulty: float,
    rng: np.random.Generator,
    least_visible: float = LEAST_VISIBLE,
    sizes: tuple[float, float] = SIZE_RANGE,
) -> Scene:
    """Lay about `count` shapes over the float32 image; one that would hide too much of another is tried elsewhere."""
    height, width = image.shape[:2]
    instance_map = np.zeros((height, width), np.uint8)
    areas: list[int] = []
    class_ids: list[int] = []
    wanted = sorted((random_size(rng, sizes) for _ in range(count)), reverse=bool(rng.random() < 0.7))
    for size in wanted:
        for _ in range(12):
            centre = random_centre(size, rng, height, width)
            ground = image[int(centre[1]), int(centre[0])]
            shape = random_shape(size, ground, difficulty, rng)
            shape.centre = centre
            coverage = shape.coverage(height, width)
            covered = coverage > 127
            left = np.bincount(instance_map[~covered], minlength=len(areas) + 1)[1:]
            if all(now >= least_visible * area for now, area in zip(left, areas, strict=True)):
                shape.draw(image, coverage)
                instance_map[covered] = len(areas) + 1
                areas.append(int(covered.sum()))
                class_ids.append(shape.class_id)
                break
    return Scene(image, instance_map, class_ids)


def compose_scene(rng: np.random.Generator, empty: bool, objects: float = 0.7) -> Scene:
    """One scene of random difficulty with about `objects` round ones; an empty one has no shapes."""
    difficulty = rng.random()
    image = np.ascontiguousarray(background(HEIGHT, WIDTH, difficulty, rng), dtype=np.float32)
    add_clutter(image, difficulty, rng, objects)
    count = 0 if empty else int(rng.integers(1, 6 + int(7 * difficulty)))
    scene = stack(image, count, difficulty, rng, least_visible=1.0 - (1.0 - LEAST_VISIBLE) * difficulty)
    scene.image = paint.camera(np.clip(scene.image, 0, 255), difficulty, rng)
    return scene


def unseen_photograph(rng: np.random.Generator) -> Scene:
    """A crop of a photograph that is kept for evaluation, without any shapes."""
    image = paint.camera(np.clip(photograph(HEIGHT, WIDTH, rng, evaluation=True), 0, 255), 0.3, rng)
    return Scene(image, np.zeros((HEIGHT, WIDTH), np.uint8), [])


def make_scene(split: str, index: int, empty_share: float = 0.0) -> Scene:
    """Scene `index` of a split; `empty_share` of the scenes have no shapes.

    No scene of the split "empty" has any, and every fourth of them is a photograph that training never sees.
    """
    rng = np.random.default_rng([SPLITS[split], index])
    if split == "empty" and index % 4 == 0:
        return unseen_photograph(rng)
    empty = split == "empty" or rng.random() < empty_share
    # What is not a shape is learned fastest where there is much of it and nothing else.
    return compose_scene(rng, empty, objects=2.0 if empty and split == "train" else 0.7)
