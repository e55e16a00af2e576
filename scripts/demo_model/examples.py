"""Write the example images and the example video, with the generator of the data sets and seeds of its test split."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import paint
from backgrounds import add_clutter, background, package_file
from scenes import SIZE_RANGE, SPLITS, Scene, Shape, random_centre, random_shape, random_size, stack

HEIGHT, WIDTH = 480, 640
# The shapes grow with the image, so that the network, which shrinks it, sees them at the sizes it was trained on.
SIZES = (SIZE_RANGE[0] * 4 / 3, SIZE_RANGE[1] * 4 / 3)
# Indices of the test split that no evaluation reaches.
FIRST_INDEX = 1_000_000


def _rng(offset: int) -> np.random.Generator:
    return np.random.default_rng([SPLITS["test"], FIRST_INDEX + offset])


def crowded(seed: int = 4) -> Scene:
    """Many overlapping shapes on a busy background."""
    rng = _rng(seed)
    image = np.array(background(HEIGHT, WIDTH, 0.4, rng), np.float32, order="C")
    add_clutter(image, 0.6, rng)
    scene = stack(image, 14, 0.6, rng, least_visible=0.8, sizes=(SIZES[0], 180.0))
    scene.image = paint.camera(np.clip(scene.image, 0, 255), 0.2, rng)
    return scene


def plain(seed: int = 100) -> Scene:
    """A few shapes that do not touch, on a flat background."""
    rng = _rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), (236, 232, 224), np.float32)
    scene = stack(image, 6, 0.2, rng, least_visible=1.0, sizes=(90.0, 190.0))
    scene.image = np.clip(scene.image, 0, 255).astype(np.uint8)
    return scene


def photograph(name: str = "coffee", seed: int = 200) -> Scene:
    """Shapes laid over a photograph that no training image contains."""
    rng = _rng(seed)
    pixels = cv2.imread(str(package_file("skimage", "data", f"{name}.png")), cv2.IMREAD_COLOR)[..., ::-1]
    scene = stack(pixels.astype(np.float32), 6, 0.4, rng, least_visible=0.8, sizes=(50.0, 160.0))
    scene.image = np.clip(scene.image, 0, 255).astype(np.uint8)
    return scene


def _bounce(position: np.ndarray, velocity: np.ndarray, reach: float) -> None:
    """Move one frame in place; turn around where the shape would leave the image."""
    position += velocity
    for axis, limit in enumerate((WIDTH, HEIGHT)):
        if not reach <= position[axis] <= limit - reach:
            velocity[axis] *= -1
            position[axis] = np.clip(position[axis], reach, limit - reach)


def _moving_shapes(count: int, ground: np.ndarray, rng: np.random.Generator) -> list[tuple[Shape, np.ndarray, float]]:
    """Shapes with their velocities (pixels per frame) and turning speeds (radians per frame), the largest first."""
    shapes = []
    for size in sorted((random_size(rng, (70.0, 190.0)) for _ in range(count)), reverse=True):
        shape = random_shape(size, ground, 0.2, rng)
        shape.centre = random_centre(size, rng, HEIGHT, WIDTH)
        heading = rng.uniform(0, 2 * np.pi)
        velocity = rng.uniform(1.5, 4.0) * np.array([np.cos(heading), np.sin(heading)])
        shapes.append((shape, velocity, rng.uniform(-0.04, 0.04)))
    return shapes


def moving_scene(frames: int, count: int = 6, seed: int = 300) -> Iterator[Scene]:
    """A scene in motion. Instance k is the same shape in every frame, even where another hides it."""
    rng = _rng(seed)
    still = paint.blend(paint.random_colour(rng), paint.random_colour(rng), paint.clouds(HEIGHT, WIDTH, 3, rng))
    shapes = _moving_shapes(count, still.mean(axis=(0, 1)), rng)
    for _ in range(frames):
        image = still.copy()
        instance_map = np.zeros((HEIGHT, WIDTH), np.uint8)
        for number, (shape, velocity, turn) in enumerate(shapes, start=1):
            _bounce(shape.centre, velocity, shape.size * 0.45)
            shape.angle += turn
            coverage = shape.coverage(HEIGHT, WIDTH)
            shape.draw(image, coverage)
            instance_map[coverage > 127] = number
        pixels = np.clip(image, 0, 255).astype(np.uint8)
        yield Scene(pixels, instance_map, [shape.class_id for shape, _, _ in shapes])


def write_video(path: Path, scenes: Iterator[Scene], rate: int = 25) -> None:
    """H.264 in MP4."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate), options={"crf": "23", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for scene in scenes:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene.image, format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--frames", type=int, default=100, help="length of the video, at 25 frames per second")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for name, scene in {"shapes": crowded(), "plain": plain(), "photo": photograph()}.items():
        path = str(arguments.directory / f"{name}.jpg")
        cv2.imwrite(path, scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    write_video(arguments.directory / "moving.mp4", moving_scene(arguments.frames))


if __name__ == "__main__":
    main()
