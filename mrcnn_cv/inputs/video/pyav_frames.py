"""From a frame as PyAV decodes it to pixels: colors by its own matrix and range, upright."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.structures.video_info import ColorProperties, matrix_for, swscale_matrix

Image = NDArray[np.uint8]

_LIMITED, _FULL = 1, 2


def pixels(decoded: Any) -> Image:
    """(H, W, 3) uint8 BGR of a decoded frame, as it is stored."""
    rgb = decoded.format.is_rgb or decoded.format.has_palette
    colors = colors_of(decoded)
    options = {} if rgb else {"src_colorspace": swscale_matrix(matrix_for(colors.matrix, decoded.height))}
    if not rgb:
        options |= {"src_color_range": _FULL if colors.is_full else _LIMITED, "dst_color_range": _FULL}
    image: Image = decoded.reformat(format="bgr24", threads=1, **options).to_ndarray()
    return image


def colors_of(decoded: Any) -> ColorProperties:
    """What a decoded frame says about its colors."""
    full = int(decoded.color_range) == _FULL or decoded.format.name.startswith("yuvj")
    return ColorProperties(int(decoded.color_primaries), int(decoded.color_trc), int(decoded.colorspace), full)


def upright(decoded: Any, image: Image) -> Image:
    """The image turned and mirrored as the file's display matrix says."""
    matrix = _display_matrix(decoded)
    if matrix is None:
        return image
    across, down = np.sign(np.round(matrix[:2] / 65536)), np.sign(np.round(matrix[2:] / 65536))
    # Each names where a step to the right, and a step down, of the stored image leads on the screen.
    if across[0] == 0 and down[1] == 0:
        image = np.swapaxes(image, 0, 1)
        across, down = np.array([down[0], 0]), np.array([0, across[1]])
    image = image[:: -1 if down[1] < 0 else 1, :: -1 if across[0] < 0 else 1]
    return np.ascontiguousarray(image)


def _display_matrix(decoded: Any) -> NDArray[np.float64] | None:
    """a b c d of FFmpeg's display matrix (x' = a x + c y, y' = b x + d y); None where there is none."""
    from av.sidedata.sidedata import Type

    data = decoded.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    matrix = np.frombuffer(data, np.int32).astype(np.float64)
    return matrix[[0, 1, 3, 4]] if len(matrix) == 9 else None
