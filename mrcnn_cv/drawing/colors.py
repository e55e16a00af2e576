"""Colours that tell instances apart: always the same ones, however many there are."""

from __future__ import annotations

import math
from functools import lru_cache

Bgr = tuple[int, int, int]

UNTRACKED: Bgr = (170, 170, 170)
"""The color of an instance that no track has taken up (yet)."""

_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
_FIRST_HUE = math.radians(15)
_LIGHTNESSES = (0.68, 0.80, 0.56)
_CHROMA = 0.22


@lru_cache(maxsize=1024)
def color(index: int) -> Bgr:
    """The color (blue, green, red), 0 to 255, of an instance's place or of a class id.

    Each hue turns from the last by the golden angle, which leaves the largest gaps however many colors are taken; the
    lightness alternates between three steps, so that hues that do come close still differ. Space: Oklab
    (B. Ottosson, "A perceptual color space for image processing", 2020).
    """
    hue = (_FIRST_HUE + index * _GOLDEN_ANGLE) % (2 * math.pi)
    lightness, chroma = _LIGHTNESSES[index % len(_LIGHTNESSES)], _CHROMA
    linear = _linear_rgb(lightness, chroma, hue)
    while not all(0 <= value <= 1 for value in linear):  # no screen shows it: take the most vivid one that it shows
        chroma -= 0.004
        linear = _linear_rgb(lightness, chroma, hue)
    red, green, blue = (round(255 * _gamma(value)) for value in linear)
    return blue, green, red


def ink_on(background: Bgr) -> Bgr:
    """Black or white, whichever reads better on `background`; their contrast is at least 4 (WCAG 2.1).

    By its relative luminance. White is taken up to 0.21 and not 0.18, where the two contrasts are equal: that measure
    is known to overrate black on saturated colors of medium lightness.
    """
    blue, green, red = (_linear(value / 255) for value in background)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (255, 255, 255) if luminance < 0.21 else (0, 0, 0)


def _linear_rgb(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _gamma(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
