"""Fills, patterns and camera effects. Images are (h, w, 3) float32 or uint8 RGB, 0 to 255."""

from __future__ import annotations

import cv2
import numpy as np


def random_colour(rng: np.random.Generator) -> np.ndarray:
    """(3,) float32: half of them vivid, half anywhere."""
    if rng.random() < 0.5:
        hsv = np.uint8([[[rng.integers(180), rng.integers(120, 256), rng.integers(90, 256)]]])
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)
    return rng.uniform(0, 255, 3).astype(np.float32)


def colour_unlike(other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A color (3,) that a person tells apart from `other` (3,) at a glance."""
    best, reach = random_colour(rng), -1.0
    for _ in range(8):
        colour = random_colour(rng)
        distance = float(np.abs(colour - other).mean())
        if distance > 60:
            return colour
        if distance > reach:
            best, reach = colour, distance
    return best


def ramp(height: int, width: int, angle: float) -> np.ndarray:
    """(height, width) float32 from 0 to 1 along the direction `angle` (radians)."""
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32)
    return (slope - slope.min()) / max(float(np.ptp(slope)), 1e-6)


def waves(height: int, width: int, angle: float, period: float, hard: bool) -> np.ndarray:
    """(height, width) float32 stripes from 0 to 1, `period` pixels apart."""
    y, x = np.ogrid[:height, :width]
    phase = (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32) / period
    return (phase % 1.0 < 0.5).astype(np.float32) if hard else 0.5 + 0.5 * np.sin(2 * np.pi * phase)


def clouds(height: int, width: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width) float32 smooth noise from 0 to 1 with about `cells` bumps per side."""
    grid = rng.random((cells + 2, cells + 2), dtype=np.float32)
    return np.clip(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def blend(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`first` where the (h, w) weight is 0, `second` where it is 1; either may be a color or an image."""
    return first + (second - first) * weight[..., None]


def fill(height: int, width: int, base: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) float32 of a random style around the color `base`; `strength` 0 to 1 allows bolder ones."""
    other = base + rng.uniform(-1, 1, 3).astype(np.float32) * (30 + 80 * strength)
    style = rng.choice(["solid", "ramp", "stripes", "clouds", "grain"], p=[0.4, 0.25, 0.13, 0.12, 0.10])
    if style == "ramp":
        return blend(base, other, ramp(height, width, rng.uniform(0, 2 * np.pi)))
    if style == "stripes":
        pattern = waves(height, width, rng.uniform(0, np.pi), rng.uniform(6, 24), bool(rng.random() < 0.5))
        return blend(base, other, pattern)
    if style == "clouds":
        return blend(base, other, clouds(height, width, int(rng.integers(2, 7)), rng))
    image = np.broadcast_to(base, (height, width, 3)).astype(np.float32)
    if style == "grain":
        image = image + rng.normal(0, 10 + 20 * strength, (height, width, 1)).astype(np.float32)
    return image


def compose(image: np.ndarray, paint: np.ndarray, coverage: np.ndarray) -> None:
    """Lay `paint` (h, w, 3) or (3,) over `image` in place, where the (h, w) uint8 `coverage` says so."""
    rows, columns = np.flatnonzero(coverage.any(axis=1)), np.flatnonzero(coverage.any(axis=0))
    if not len(rows):
        return
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if paint.ndim == 3:
        paint = paint[window]
    image[window] = blend(image[window], paint, coverage[window].astype(np.float32) / 255)


def camera(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Blur, noise and JPEG artefacts up to `strength` (0 to 1); float32 in, uint8 out."""
    if rng.random() < 0.5:
        sigma = rng.uniform(0.2, 0.4 + 0.9 * strength)
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if rng.random() < 0.5:
        noise = np.empty(image.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 31)))
        cv2.randn(noise, 0, rng.uniform(1, 2 + 10 * strength))
        image = image + noise
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = int(rng.integers(int(90 - 50 * strength), 96))
        _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(pixels)
