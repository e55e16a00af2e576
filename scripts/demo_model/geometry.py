"""Outlines of the six shape classes, in unit coordinates."""

from __future__ import annotations

import cv2
import numpy as np

CLASS_NAMES = ("circle", "triangle", "rectangle", "star", "ring", "cross")
SUPERSAMPLING = 4


def _round(radius: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _triangle(rng: np.random.Generator) -> np.ndarray:
    angles = np.deg2rad(np.array([90, 210, 330]) + rng.uniform(-22, 22, 3))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _rectangle(rng: np.random.Generator) -> np.ndarray:
    half = rng.uniform(0.4, 1.0)
    return np.array([[-1, -half], [1, -half], [1, half], [-1, half]])


def _star(rng: np.random.Generator) -> np.ndarray:
    points = int(rng.choice([5, 5, 5, 6]))
    angles = np.arange(2 * points) * np.pi / points
    radii = np.where(np.arange(2 * points) % 2, rng.uniform(0.42, 0.55), 1.0)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _cross(rng: np.random.Generator) -> np.ndarray:
    w = rng.uniform(0.27, 0.42)
    arm = np.array([[-w, w], [-w, 1], [w, 1]])
    quarter = np.array([[0, -1], [1, 0]])
    return np.concatenate([arm @ np.linalg.matrix_power(quarter, turns) for turns in range(4)])


def unit_outline(class_id: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Closed curves, each (n, 2) float x y around the origin with a reach of about 1; a second curve is a hole."""
    name = CLASS_NAMES[class_id]
    if name == "circle":
        return [_round(1.0)]
    if name == "ring":
        return [_round(1.0), _round(rng.uniform(0.42, 0.66))]
    draw = {"triangle": _triangle, "rectangle": _rectangle, "star": _star, "cross": _cross}[name]
    return [draw(rng)]


def place(outline: list[np.ndarray], centre: np.ndarray, size: float, angle: float, squash: float) -> list[np.ndarray]:
    """Squash along y, rotate by `angle` (radians), scale to a larger side of `size` pixels, move to `centre` (x, y)."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = [(curve * (1.0, squash)) @ turn.T for curve in outline]
    low, high = turned[0].min(axis=0), turned[0].max(axis=0)
    scale = size / (high - low).max()
    return [(curve - (low + high) / 2) * scale + centre for curve in turned]


def rasterise(curves: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Coverage (height, width) uint8, 0 to 255, of the area inside an odd number of `curves` (pixel coordinates)."""
    coverage = np.zeros((height, width), np.uint8)
    left, top = np.clip(np.floor(curves[0].min(axis=0)).astype(int) - 1, 0, (width, height))
    right, bottom = np.clip(np.ceil(curves[0].max(axis=0)).astype(int) + 2, 0, (width, height))
    if right <= left or bottom <= top:
        return coverage
    # OpenCV's own anti-aliasing makes round outlines bumpy: draw larger and average instead.
    large = np.zeros(((bottom - top) * SUPERSAMPLING, (right - left) * SUPERSAMPLING), np.uint8)
    # In both images the middle of a pixel has whole coordinates.
    points = [((curve - (left, top)) + 0.5) * SUPERSAMPLING - 0.5 for curve in curves]
    cv2.fillPoly(large, [np.round(curve).astype(np.int32) for curve in points], 255)
    size = (int(right - left), int(bottom - top))
    coverage[top:bottom, left:right] = cv2.resize(large, size, interpolation=cv2.INTER_AREA)
    return coverage
