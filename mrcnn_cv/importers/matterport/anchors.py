"""The anchors of a matterport model: a grid on each level of its pyramid, one scale for each, the same ratios on all.

Source: matterport's mrcnn/utils.py (generate_pyramid_anchors): cell i of a level has its centre at i times the stride.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.config_schema import Values
from mrcnn_cv.importers.constant_folding import Array
from mrcnn_cv.model.definition import AnchorSpec


def anchor_specs(values: Values, strides: list[int], per_cell: int, in_pixels: bool) -> tuple[AnchorSpec, ...]:
    """One for each level; ModelFileError for scales and ratios that do not fit the layers that predict."""
    scales, ratios = values["RPN_ANCHOR_SCALES"], values["RPN_ANCHOR_RATIOS"]
    for name, given, needed in (("SCALES", len(scales), len(strides)), ("RATIOS", len(ratios), per_cell)):
        if given != needed:
            raise ModelFileError(
                f"predicts from {needed} RPN_ANCHOR_{name}, not from {given}: put those of its Config into a config"
                " beside it"
            )
    # Between pixel centres a side is one less, and a centre half a pixel nearer to the origin.
    less = 0.0 if in_pixels else 1.0
    return tuple(
        AnchorSpec(
            sizes=tuple((scale / sqrt(ratio) - less, scale * sqrt(ratio) - less) for ratio in ratios),
            stride=(float(stride), float(stride)),
            offset=(0.0 - less / 2, 0.0 - less / 2),
            clip_to_image=False,
        )
        for scale, stride in zip(scales, strides, strict=True)
    )


def side_of(count: int, strides: list[int], per_cell: int) -> int | None:
    """The side of the square input that has so many anchors; None: no square has."""
    side = round(sqrt(count / per_cell / sum(1 / stride**2 for stride in strides)))
    return side if count == per_cell * sum((-(-side // stride)) ** 2 for stride in strides) else None


def read_grid(anchors: Array, strides: list[int], per_cell: int, in_pixels: bool) -> Values:
    """The values behind anchors (N, 4) y1 x1 y2 x2 that a graph holds; ModelFileError for those of another grid."""
    other = ModelFileError(
        "holds anchors that are not a grid of matterport's on a square input: they are not supported"
    )
    side = side_of(len(anchors), strides, per_cell)
    if side is None or not np.isfinite(anchors).all():
        raise other
    if not in_pixels:
        # Between pixel centres, as fractions.
        anchors = anchors * (side - 1) + np.array([0, 0, 1, 1])
    scales, ratios, start = [], np.ones(per_cell), 0
    for stride in strides:
        cells = -(-side // stride)
        level = anchors[start : start + per_cell * cells**2].reshape(cells, cells, per_cell, 4)
        start += per_cell * cells**2
        height, width = level[0, 0, :, 2] - level[0, 0, :, 0], level[0, 0, :, 3] - level[0, 0, :, 1]
        if min(height.min(), width.min()) < 1e-3:
            raise other
        scales.append(round(float(sqrt(height[0] * width[0])), 2))
        ratios = width / height
        centres = np.stack(np.meshgrid(*[np.arange(cells) * stride] * 2, indexing="ij"), axis=-1)[:, :, np.newaxis]
        halves = np.stack([scales[-1] / np.sqrt(ratios), scales[-1] * np.sqrt(ratios)], axis=-1) / 2
        if np.abs(level - np.concatenate([centres - halves, centres + halves], axis=-1)).max() > 0.05:
            raise other
    return {
        "IMAGE_RESIZE_MODE": "square",
        "IMAGE_MAX_DIM": side,
        "RPN_ANCHOR_SCALES": tuple(scales),
        "RPN_ANCHOR_RATIOS": tuple(round(float(ratio), 4) for ratio in ratios),
    }
