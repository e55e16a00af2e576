"""Outlines of masks, for formats that hold polygons.

By default a corner (x, y) is a corner of pixels: the pixel in row 0, column 0 covers the square from (0, 0) to (1, 1).
Whoever fills such an outline and asks which pixel centres lie inside gets the mask back, pixel for pixel.

"painted" outlines run through the outermost pixels instead, and (x, y) is a pixel's column and row: they are for
rasterisers that take corners for pixels and paint the outline itself too, such as OpenCV's `fillPoly`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.structures.masks import LocalMask

Ring = NDArray[np.float64]
"""(n, 2): corners x, y in pixels of the image, the last one joined to the first."""

_MAX_CANDIDATES = 500

_Ring = NDArray[np.float64]
"""(n, 4): x, y of the corner, and column, row of the mask's pixel at it."""


@dataclass
class Polygon:
    """Pixels of a mask that hang together by their sides.

    area      its pixels
    exterior  its outline, clockwise as one sees it on the image; no three corners on a line
    holes     outlines of what is missing inside, counter-clockwise
    """

    area: int
    exterior: _Ring
    holes: list[_Ring] = field(default_factory=list)

    def rings(self, *, painted: bool = False) -> list[Ring]:
        """The outline, and then those of the holes."""
        return [_points(ring, painted) for ring in (self.exterior, *self.holes)]

    def joined(self, *, painted: bool = False) -> Ring:
        """The outline with its holes in one ring, for formats without holes.

        Each hole is reached by a cut along the middle of a row of the part's own pixels, there and back on the same
        line, so it changes no pixel whether or not the rasteriser paints the line itself.
        """
        return _points(self._joined(), painted)

    def _joined(self) -> _Ring:
        ring = self.exterior
        for hole in self.holes:
            ring = _cut_to(ring, hole)
        return ring


def polygons(local: LocalMask, *, min_area: int = 0) -> list[Polygon]:
    """The parts of a mask, largest first; [] for a mask without pixels.

    min_area: parts with fewer pixels than this are left out, but never the largest.
    """
    found: list[Polygon] = []
    holes: list[tuple[int, _Ring]] = []
    for ring in _rings(local):
        area = _area(ring)
        if area > 0:
            found.append(Polygon(area, _with_pixels(ring)))
        else:
            holes.append((area, _with_pixels(ring)))
    _hand_out(holes, found)
    found.sort(key=lambda part: -part.area)
    return [part for number, part in enumerate(found) if number == 0 or part.area >= min_area]


def joined_ring(found: list[Polygon], *, painted: bool = False) -> Ring:
    """All parts in one ring, for formats with one outline per instance: bridged where they come closest to each other.

    A bridge goes there and back on the same line, so it holds no area; a rasteriser that paints outlines paints it.
    """
    rings = [part._joined() for part in found]
    points = np.concatenate(rings)
    order = list(range(len(rings[0])))
    if len(rings) > 1:
        owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
        for here, there in _bridges(points[:, :2], owner):
            ring = np.flatnonzero(owner == owner[there])
            turned = np.roll(ring, int(ring[0]) - there).tolist()
            at = order.index(here)
            order[at:at] = [here, *turned, there]
    return _points(points[order], painted)


def _points(ring: _Ring, painted: bool) -> Ring:
    if not painted:
        return ring[:, :2]
    pixels = ring[:, 2:]
    moved = (pixels != np.roll(pixels, 1, axis=0)).any(axis=1)
    # A single pixel has all its corners in one place.
    return pixels[moved] if moved.any() else pixels[:1]


def _bridges(points: Ring, owner: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """(from, to): indexes of points by which the rings 1, 2, ... are joined to ring 0, each the closest that is left.

    The minimum spanning tree of the rings (Prim's algorithm).
    """
    # Of long rings some points do: the time grows with the square of their number.
    step = 1 + len(points) // _MAX_CANDIDATES
    first = np.searchsorted(owner, np.arange(owner[-1] + 1))
    chosen = np.union1d(first, np.arange(0, len(points), step))
    points, owner = points[chosen], owner[chosen]
    gap, nearest = np.full(len(points), np.inf), np.zeros(len(points), dtype=np.intp)
    added = 0
    for _ in first[1:]:
        new = np.flatnonzero(owner == added)
        distance = ((points[:, None] - points[None, new]) ** 2).sum(axis=2)
        best = distance.argmin(axis=1)
        lowest = distance[np.arange(len(points)), best]
        closer = lowest < gap
        gap[closer], nearest[closer] = lowest[closer], new[best[closer]]
        gap[owner == added] = np.nan
        there = int(np.nanargmin(gap))
        added = int(owner[there])
        yield int(chosen[nearest[there]]), int(chosen[there])


def _rings(local: LocalMask) -> list[NDArray[np.intp]]:
    """The boundaries of a mask as (n, 2) corners x, y, horizontal side first; pixels that meet at a corner only are
    not joined."""
    framed = np.pad(local.mask.astype(np.int8), 1)
    across, sign = _sides(np.diff(framed, axis=0)[:, 1:-1])
    down, turn = _sides(np.diff(framed, axis=1)[1:-1].T)
    if not len(across):
        return []
    # Every side starts and ends at a corner (x, y), with the mask on its right-hand side: the upper side of a pixel
    # goes right, its right side down.
    stride = local.mask.shape[1] + 1
    rightwards, downwards = sign > 0, turn < 0
    starts_h, ends_h = _ends(across[:, 0] * stride + across[:, 1], across[:, 0] * stride + across[:, 2], rightwards)
    starts_v, ends_v = _ends(down[:, 1] * stride + down[:, 0], down[:, 2] * stride + down[:, 0], downwards)
    # Where two ways go on from a corner, the right turn stays at the same pixel.
    after_h = _following(ends_h, rightwards, starts_v, downwards)
    after_v = _following(ends_v, ~downwards, starts_h, rightwards)
    rings = []
    left_over = np.ones(len(starts_h), dtype=np.bool_).tolist()
    next_v, next_h = after_h.tolist(), after_v.tolist()
    for first in range(len(left_over)):
        order: list[int] = []
        at = first
        while left_over[at]:
            left_over[at] = False
            order.append(at)
            at = next_h[next_v[at]]
        if order:
            chosen = np.array(order)
            corners = np.stack([starts_h[chosen], starts_v[after_h[chosen]]], axis=1).ravel()
            rings.append(np.stack([corners % stride + local.left, corners // stride + local.top], axis=1))
    return rings


def _sides(change: NDArray[np.int8]) -> tuple[NDArray[np.intp], NDArray[np.int8]]:
    """Runs of equal values other than 0 in the rows of `change`: (n, 3) row, start, end; and the value of each."""
    rows, columns = change.shape
    framed = np.zeros((rows, columns + 2), dtype=np.int8)
    framed[:, 1:-1] = change
    before, here = framed[:, :-1], framed[:, 1:]
    row, start = np.nonzero((here != before) & (here != 0))
    _, end = np.nonzero((here != before) & (before != 0))
    return np.stack([row, start, end], axis=1), change[row, start]


def _ends(
    low: NDArray[np.intp], high: NDArray[np.intp], forward: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.where(forward, low, high), np.where(forward, high, low)


def _following(
    ends: NDArray[np.intp], wanted: NDArray[np.bool_], starts: NDArray[np.intp], direction: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """For each side the one that starts where it ends, in the wanted direction where there are two."""
    keys = starts * 2 + direction
    order = np.argsort(keys)
    keys = keys[order]
    want = ends * 2 + wanted
    found = np.searchsorted(keys, want)
    missed = keys[np.minimum(found, len(keys) - 1)] != want
    found[missed] = np.searchsorted(keys, want[missed] ^ 1)
    following: NDArray[np.intp] = order[found]
    return following


def _area(ring: NDArray[np.intp]) -> int:
    """Pixels inside; negative for the outline of a hole."""
    x, y = ring[:, 0], ring[:, 1]
    return int((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) // 2


def _with_pixels(ring: NDArray[np.intp]) -> _Ring:
    way = np.sign(np.roll(ring, -1, axis=0) - ring)
    # Left sides go up and upper sides to the right; at the others the mask's pixel is the one before the corner.
    inward = np.stack([-way[:, 1], way[:, 0]], axis=1)
    inward += np.roll(inward, 1, axis=0)
    return np.concatenate([ring, ring + np.minimum(inward, 0)], axis=1).astype(np.float64)


def _hand_out(holes: list[tuple[int, _Ring]], found: list[Polygon]) -> None:
    """Give every hole to its part: the one whose outline is met first to the left, perhaps by way of other holes.

    The holes of a part come out from left to right, as `joined` needs them.
    """
    if not holes:
        return
    sides = [_upright_sides(part.exterior, number) for number, part in enumerate(found)]
    for area, ring in sorted(holes, key=lambda hole: float(hole[1][:, 0].min())):
        x, y = _leftmost(ring)
        every = np.concatenate(sides)
        met = every[(every[:, 0] < x) & (every[:, 1] < y) & (every[:, 2] > y)]
        owner = int(met[met[:, 0].argmax(), 3])
        sides = [every, _upright_sides(ring, owner)]
        found[owner].holes.append(ring)
        found[owner].area += area


def _upright_sides(ring: _Ring, owner: int) -> NDArray[np.float64]:
    """(n, 4): x, upper y, lower y, owner."""
    after = np.roll(ring, -1, axis=0)
    upright = ring[:, 0] == after[:, 0]
    x, y, end = ring[upright, 0], ring[upright, 1], after[upright, 1]
    return np.stack([x, np.minimum(y, end), np.maximum(y, end), np.full(len(x), owner)], axis=1)


def _leftmost(ring: _Ring) -> tuple[float, float]:
    """A point on the ring's leftmost side, in the middle of the side's upper pixel."""
    x = ring[:, 0].min()
    return float(x), float(ring[ring[:, 0] == x, 1].min()) + 0.5


def _cut_to(ring: _Ring, hole: _Ring) -> _Ring:
    """A ring with a hole joined to it by a cut to the left, along the middle of a row of pixels."""
    x, y = _leftmost(hole)
    here = _side_at(ring, y, x)
    there = _side_at(hole, y, x + 1)
    start = [[ring[here, 0], y, ring[here, 2], y - 0.5]]
    end = [[x, y, hole[there, 2], y - 0.5]]
    turned = np.roll(hole, -(there + 1), axis=0)
    return np.concatenate([ring[: here + 1], start, end, turned, end, start, ring[here + 1 :]])


def _side_at(ring: _Ring, y: float, right: float) -> int:
    """The index at which the last upright side left of `right` begins that crosses the height `y`."""
    after = np.roll(ring, -1, axis=0)
    crosses = (ring[:, 0] == after[:, 0]) & (ring[:, 0] < right) & ((ring[:, 1] < y) != (after[:, 1] < y))
    met = np.flatnonzero(crosses)
    return int(met[ring[met, 0].argmax()])
