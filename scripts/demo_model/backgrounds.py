"""Everything in a scene that is not a shape: backgrounds, clutter and round everyday objects."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import paint
from geometry import rasterise

# Photographs that the packages ship, all free to use; the others below are kept for evaluation.
SKIMAGE_PHOTOS = (
    "brick.png", "camera.png", "cell.png", "clock_motion.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png",
    "rocket.jpg", "text.png",
)  # fmt: skip
SKLEARN_PHOTOS = ("china.jpg", "flower.jpg")
EVALUATION_PHOTOS = ("coffee.png", "astronaut.png", "chelsea.png")


def package_file(package: str, *parts: str) -> Path:
    """A file inside an installed package, which need not be importable."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{package} is not installed: pip install -r requirements.txt")
    return Path(spec.origin).parent.joinpath(*parts)


@lru_cache(maxsize=2)
def photos(evaluation: bool) -> list[np.ndarray]:
    """All photographs for training, or those kept for evaluation; (h, w, 3) uint8 RGB."""
    if evaluation:
        paths = [package_file("skimage", "data", name) for name in EVALUATION_PHOTOS]
    else:
        paths = [package_file("skimage", "data", name) for name in SKIMAGE_PHOTOS]
        paths += [package_file("sklearn", "datasets", "images", name) for name in SKLEARN_PHOTOS]
    images = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths]
    missing = [path.name for path, image in zip(paths, images, strict=True) if image is None]
    if missing:
        raise FileNotFoundError(f"photographs not found in their packages: {', '.join(missing)}")
    return [image[..., ::-1] for image in images]


def photograph(height: int, width: int, rng: np.random.Generator, evaluation: bool = False) -> np.ndarray:
    """(height, width, 3) float32: a random crop of a random photograph, mirrored, tinted and brightened at random."""
    choice = photos(evaluation)
    source = choice[rng.integers(len(choice))]
    share = rng.uniform(0.35, 1.0)
    rows = int(min(source.shape[0], source.shape[1] * height / width) * share)
    columns = int(rows * width / height)
    top = rng.integers(source.shape[0] - rows + 1)
    left = rng.integers(source.shape[1] - columns + 1)
    crop = source[top : top + rows, left : left + columns, :: rng.choice([-1, 1])][:, :: rng.choice([-1, 1])]
    image = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    tint = rng.uniform(0.6, 1.2, 3) if rng.random() < 0.5 else rng.uniform(0.6, 1.2)
    return image * np.float32(tint) + np.float32(rng.uniform(-25, 40))


def collage(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) float32: one photograph over another, in soft patches."""
    first, second = (photograph(height, width, rng) for _ in range(2))
    patches = paint.clouds(height, width, int(rng.integers(2, 10)), rng)
    return paint.blend(first, second, np.clip((patches - 0.5) * rng.uniform(2, 12) + 0.5, 0, 1))


def background(height: int, width: int, difficulty: float, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) float32: flat, patterned or a photograph; the harder, the busier."""
    if rng.random() < 0.15 + 0.4 * difficulty:
        return photograph(height, width, rng) if rng.random() < 0.7 else collage(height, width, rng)
    if rng.random() < 0.3:
        first, second = paint.random_colour(rng), paint.random_colour(rng)
        if rng.random() < 0.5:
            return paint.blend(first, second, paint.clouds(height, width, int(rng.integers(2, 12)), rng))
        angle, period = rng.uniform(0, np.pi), rng.uniform(16, 90)
        one = paint.waves(height, width, angle, period, True)
        two = paint.waves(height, width, angle + np.pi / 2, period, True)
        return paint.blend(first, first + (second - first) * 0.5, np.abs(one - two))
    return paint.fill(height, width, paint.random_colour(rng), difficulty, rng)


def _scribble(image: np.ndarray, rng: np.random.Generator) -> None:
    """A thin line, an arc, a word or a few dots."""
    height, width = image.shape[:2]
    colour = paint.random_colour(rng).tolist()
    at = (int(rng.integers(width)), int(rng.integers(height)))
    kind = rng.integers(4)
    if kind == 0:
        to = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.line(image, at, to, colour, int(rng.integers(1, 5)), cv2.LINE_AA)
    elif kind == 1:
        axes = (int(rng.integers(20, 120)), int(rng.integers(20, 120)))
        start = rng.uniform(0, 360)
        end = start + rng.uniform(30, 150)
        cv2.ellipse(image, at, axes, rng.uniform(0, 180), start, end, colour, int(rng.integers(1, 5)), cv2.LINE_AA)
    elif kind == 2:
        word = "".join(rng.choice(list("abcdefghijkmnprstuvwxyzABDEFGHKLMNPRS"), rng.integers(2, 8)))
        font, scale, weight = int(rng.integers(8)), rng.uniform(0.5, 2), int(rng.integers(1, 4))
        cv2.putText(image, word, at, font, scale, colour, weight, cv2.LINE_AA)
    else:
        for _ in range(int(rng.integers(3, 12))):
            near = (at[0] + int(rng.integers(-60, 61)), at[1] + int(rng.integers(-60, 61)))
            cv2.circle(image, near, int(rng.integers(1, 6)), colour, -1, cv2.LINE_AA)


def _ellipse(
    shape: tuple[int, int], centre: tuple[float, float], axes: tuple[float, float], angle: float
) -> np.ndarray:
    """Coverage (h, w) uint8 of an ellipse; `angle` in degrees."""
    coverage = np.zeros(shape, np.uint8)
    fixed = [(round(8 * a), round(8 * b)) for a, b in (centre, axes)]
    cv2.ellipse(coverage, fixed[0], fixed[1], angle, 0, 360, 255, -1, cv2.LINE_AA, 3)
    return coverage


def _shade(shape: tuple[int, int], centre: tuple[float, float], radius: float, colour: np.ndarray) -> np.ndarray:
    """Paint (h, w, 3) of something round in the light: bright at `centre`, dark `radius` pixels away."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2).astype(np.float32) / radius
    return colour * np.clip(1.25 - 0.75 * distance, 0.2, 1.3)[..., None]


def _ball(image: np.ndarray, at: tuple[float, float], radius: float, rng: np.random.Generator) -> None:
    """A shaded sphere and its shadow on the ground."""
    shape, (x, y) = image.shape[:2], at
    ground = _ellipse(shape, (x, y + radius * 0.8), (radius, radius * 0.35), 0)
    paint.compose(image, np.zeros(3, np.float32), ground // 3)
    light = (x - radius * 0.35, y - radius * 0.4)
    sphere = _shade(shape, light, radius * 1.5, paint.random_colour(rng))
    paint.compose(image, sphere, _ellipse(shape, at, (radius, radius), 0))


def _plate(image: np.ndarray, at: tuple[float, float], radius: float, rng: np.random.Generator) -> None:
    """Concentric ellipses, seen from the side."""
    colour, flat, angle = paint.random_colour(rng), rng.uniform(0.35, 0.72), rng.uniform(0, 180)
    for share, light in ((1.0, 0.85), (0.94, 1.1), (0.66, 0.92), (0.62, 1.0)):
        axes = (radius * share, radius * share * flat)
        paint.compose(image, colour * light, _ellipse(image.shape[:2], at, axes, angle))


def _mug(image: np.ndarray, at: tuple[float, float], radius: float, rng: np.random.Generator) -> None:
    """A mug and the drink in it, seen from above at an angle, with a handle."""
    shape, (x, y) = image.shape[:2], at
    colour, flat, angle = paint.random_colour(rng), rng.uniform(0.45, 0.85), rng.uniform(0, 180)
    handle = np.deg2rad(angle)
    tip = (x + 1.25 * radius * np.cos(handle), y + 1.25 * radius * np.sin(handle))
    paint.compose(image, colour * 0.8, _ellipse(shape, tip, (radius * 0.4, radius * 0.16), angle))
    light = (x - radius * 0.5, y - radius * 0.5)
    outside = _ellipse(shape, at, (radius, radius * flat), angle)
    paint.compose(image, _shade(shape, light, radius * 2, colour), outside)
    inner = radius * rng.uniform(0.8, 0.93)
    drink = _shade(shape, light, radius * 1.7, paint.random_colour(rng) * 0.6)
    paint.compose(image, drink, _ellipse(shape, at, (inner, inner * flat), angle))


def _eye(image: np.ndarray, at: tuple[float, float], radius: float, rng: np.random.Generator) -> None:
    """Nested discs with soft borders, a dark middle and a glint: an eye, a lens, a button or a badge."""
    shape, (x, y) = image.shape[:2], at
    picture = image.copy()
    angle, flat = rng.uniform(0, 180), rng.uniform(0.75, 1.0)
    for share in np.sort(rng.uniform(0.2, 1.0, int(rng.integers(2, 5))))[::-1]:
        axes = (radius * share, radius * share * flat)
        light = (x + rng.uniform(-1, 1) * radius, y + rng.uniform(-1, 1) * radius)
        layer = _shade(shape, light, radius * rng.uniform(1.2, 3), paint.random_colour(rng))
        paint.compose(picture, layer, _ellipse(shape, at, axes, angle))
    slit = rng.uniform(0.15, 0.45) * radius
    paint.compose(picture, np.full(3, 15, np.float32), _ellipse(shape, at, (slit * rng.uniform(0.4, 1), slit), angle))
    glint = (x + rng.uniform(-0.3, 0.3) * radius, y - rng.uniform(0, 0.4) * radius)
    paint.compose(picture, np.full(3, 245, np.float32), _ellipse(shape, glint, (radius * 0.1, radius * 0.14), angle))
    window = _ellipse(shape, at, (radius * 1.15, radius * 1.15), 0)
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 1 + radius * 0.05))
    paint.compose(image, soft, cv2.GaussianBlur(window, (0, 0), 3))


def _blob(image: np.ndarray, at: tuple[float, float], radius: float, rng: np.random.Generator) -> None:
    """A wobbly closed outline with any fill."""
    shape = image.shape[:2]
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    wobble = sum(rng.uniform(0.08, 0.3) * np.sin(k * angles + rng.uniform(0, 6.3)) for k in (2, 3, 5))
    # A small blob would be a star or a circle to anyone.
    curve = (1 + wobble)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1) * max(radius, 35.0) + at
    coverage = rasterise([curve], *shape)
    paint.compose(image, paint.fill(*shape, paint.random_colour(rng), 0.5, rng), coverage)


def _round_object(image: np.ndarray, rng: np.random.Generator) -> None:
    """A round thing that is neither a circle nor a ring."""
    height, width = image.shape[:2]
    draw = (_ball, _plate, _mug, _eye, _blob)[rng.integers(5)]
    draw(image, (rng.uniform(0, width), rng.uniform(0, height)), rng.uniform(16, 110), rng)


def add_clutter(image: np.ndarray, difficulty: float, rng: np.random.Generator, objects: float = 0.5) -> None:
    """Draw things that are not shapes onto the float32 image in place; `objects`: how many round ones to expect."""
    for _ in range(rng.poisson(2.5 * difficulty)):
        _scribble(image, rng)
    for _ in range(rng.poisson(objects * (0.6 + 0.8 * difficulty))):
        _round_object(image, rng)
