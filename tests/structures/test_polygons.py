"""Outlines: filled again by three rasterisers, they are the mask they were made of, pixel for pixel."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from mrcnn_cv.structures.masks import LocalMask
from mrcnn_cv.structures.polygons import Ring, joined_ring, polygons

Mask = NDArray[np.bool_]
TOP, LEFT = 2, 3


def local(rows: list[str]) -> LocalMask:
    return LocalMask(TOP, LEFT, np.array([[letter == "#" for letter in row] for row in rows]))


def on_image(mask: LocalMask) -> Mask:
    return np.pad(mask.mask, ((TOP, 2), (LEFT, 1)))


def with_pycocotools(rings: list[Ring], shape: tuple[int, ...]) -> Mask:
    if not rings:
        return np.zeros(shape, dtype=np.bool_)
    runs = coco.frPyObjects([ring.ravel().tolist() for ring in rings], *shape)
    return np.asarray(coco.decode(coco.merge(runs))).astype(np.bool_)


def with_opencv(rings: list[Ring], shape: tuple[int, ...]) -> Mask:
    canvas = np.zeros(shape, dtype=np.uint8)
    for ring in rings:
        cv2.fillPoly(canvas, [ring.astype(np.int32)], [1])
    return canvas.astype(np.bool_)


def with_pillow(rings: list[Ring], shape: tuple[int, ...]) -> Mask:
    canvas = Image.new("L", (shape[1], shape[0]))
    for ring in rings:
        corners = [tuple(corner) for corner in ring.tolist()]
        ImageDraw.Draw(canvas).polygon(corners + corners[:1] * max(0, 3 - len(corners)), outline=1, fill=1)
    return np.asarray(canvas).astype(np.bool_)


def by_pixel_centres(rings: list[Ring], shape: tuple[int, ...]) -> Mask:
    """Even-odd, over all rings at once."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.zeros(shape, dtype=np.bool_)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if y0 != y1:
                inside ^= ((y0 <= rows) != (y1 <= rows)) & (columns < x0 + (rows - y0) / (y1 - y0) * (x1 - x0))
    return inside


masks = st.builds(
    lambda shape, seed, share, smooth: smoothed(np.asarray(np.random.default_rng(seed).random(shape)), share, smooth),
    st.tuples(st.integers(0, 14), st.integers(0, 14)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.1, 0.4, 0.6, 0.9]),
    st.booleans(),
)


def smoothed(values: NDArray[np.float64], share: float, smooth: bool) -> LocalMask:
    if smooth and values.size:
        values = np.asarray(cv2.blur(values, (3, 3)), dtype=np.float64)
    return LocalMask(TOP, LEFT, values < share)


@settings(deadline=None, max_examples=300)
@given(masks)
def test_any_mask_comes_back_from_every_rasteriser(mask: LocalMask) -> None:
    full = on_image(mask)
    found = polygons(mask)
    assert sum(part.area for part in found) == np.count_nonzero(full)
    assert [part.area for part in found] == sorted((part.area for part in found), reverse=True)
    rings = [ring for part in found for ring in part.rings()]
    assert np.array_equal(by_pixel_centres(rings, full.shape), full)
    joined = [part.joined() for part in found]
    assert np.array_equal(by_pixel_centres(joined, full.shape), full)
    assert np.array_equal(with_pycocotools(joined, full.shape), full)
    painted = [part.joined(painted=True) for part in found]
    assert np.array_equal(with_opencv(painted, full.shape), full)
    assert np.array_equal(with_pillow(painted, full.shape), full)
    assert np.array_equal(with_pillow([ring + 0.25 for ring in painted], full.shape), full)
    if found:
        assert np.array_equal(by_pixel_centres([joined_ring(found)], full.shape), full)


@settings(deadline=None, max_examples=100)
@given(masks)
def test_rings_are_tight(mask: LocalMask) -> None:
    """Right angles only: no corner could be left out. The number of parts is that of components by side."""
    found = polygons(mask)
    for part in found:
        outer, *holes = part.rings()
        assert area(outer) > 0
        assert all(area(hole) < 0 for hole in holes)
        for ring in (outer, *holes):
            side = np.roll(ring, -1, axis=0) - ring
            assert ((side == 0).sum(axis=1) == 1).all()
            assert ((side == 0).any(axis=1) & ((side[:, 0] == 0) != (np.roll(side, 1, axis=0)[:, 0] == 0))).all()
    if mask.mask.size:
        number, _ = cv2.connectedComponents(mask.mask.astype(np.uint8), connectivity=4)
        assert len(found) == number - 1


def area(ring: Ring) -> float:
    x, y = ring.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def test_a_pixel_is_a_square() -> None:
    (part,) = polygons(local(["#"]))
    assert part.rings()[0].tolist() == [[3, 2], [4, 2], [4, 3], [3, 3]]
    assert part.rings(painted=True)[0].tolist() == [[3, 2]]
    assert part.area == 1


def test_pixels_that_meet_at_a_corner_are_two_parts() -> None:
    assert [part.area for part in polygons(local(["#.", ".#"]))] == [1, 1]


def test_holes_belong_to_the_part_around_them() -> None:
    mask = local(["#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######"])
    outer, inner = polygons(mask)
    assert (outer.area, inner.area) == (24, 8)
    assert [len(part.holes) for part in (outer, inner)] == [1, 1]
    assert abs(area(outer.rings()[1])) == 25
    assert abs(area(inner.rings()[1])) == 1


@pytest.mark.parametrize(("min_area", "areas"), [(0, [6, 4, 2, 1]), (2, [6, 4, 2]), (5, [6]), (100, [6])])
def test_small_parts_go_but_the_largest_stays(min_area: int, areas: list[int]) -> None:
    mask = local(["##.##.##.#", "##.##.....", "##........"])
    assert [part.area for part in polygons(mask, min_area=min_area)] == areas


def test_one_ring_goes_the_short_way() -> None:
    """From left to right by way of the middle, over the two gaps of two pixels and no others."""
    mask = local(["##..##..##"])
    ring = joined_ring(polygons(mask), painted=True)
    assert np.array_equal(with_opencv([ring], (5, 20)), with_opencv([np.array([[3.0, 2], [12, 2]])], (5, 20)))


@pytest.mark.long
def test_a_mask_of_thousands_of_specks_takes_no_minute() -> None:
    mask = LocalMask(0, 0, np.random.default_rng(0).random((130, 130)) < 0.3)
    start = time.perf_counter()
    ring = joined_ring(polygons(mask))
    assert time.perf_counter() - start < 15
    assert area(ring) == np.count_nonzero(mask.mask)
