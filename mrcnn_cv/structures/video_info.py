"""What sources and sinks of videos both know: size, rate, ticks and colors, and the library that codes them."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from mrcnn_cv.errors import InputError
from mrcnn_cv.util.packages import cannot_import

if TYPE_CHECKING:
    from types import ModuleType

UNKNOWN = 2
"""What ISO/IEC 23091-2 calls colors of which nothing is known."""


@dataclass(frozen=True)
class ColorProperties:
    """How the samples of a video mean colors, as numbers of ISO/IEC 23091-2; 2: not known.

    is_full  the luma range is 0 to 255 rather than 16 to 235
    """

    primaries: int = UNKNOWN
    transfer: int = UNKNOWN
    matrix: int = UNKNOWN
    is_full: bool = False


@dataclass(frozen=True)
class VideoInfo:
    """What is known about a moving source.

    width, height  in pixels as displayed, after rotation
    frame_rate     frames per second, on average; None where nobody knows
    frame_count    None where nobody knows; a file's header may be wrong about it
    seconds        how long it is; None for a live source
    codec          FFmpeg's name of it ("h264"), "raw" for a camera
    pixel_aspect   width of a pixel over its height
    time_base      of which Frame.time is a whole multiple; None where there is no such number
    """

    width: int
    height: int
    frame_rate: float | None
    frame_count: int | None
    seconds: float | None
    is_live: bool
    has_audio: bool
    codec: str
    pixel_aspect: Fraction = Fraction(1)
    time_base: Fraction | None = None
    colors: ColorProperties = field(default_factory=ColorProperties)


def import_av() -> ModuleType:
    """PyAV. InputError, one sentence, where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise InputError(f"videos need the package {cannot_import(error, 'video', 'av')}") from error
    # What FFmpeg has to say about damage, we say ourselves, and once.
    av.logging.set_level(None)
    module: ModuleType = av
    return module


def failures() -> tuple[type[Exception], ...]:
    """What PyAV raises where a file is broken or cannot be written; an IndexError for streams that begin on the way."""
    return (import_av().error.FFmpegError, OSError, ValueError, IndexError)


# Other errors of FFmpeg that have a number of the system's mean a file that is broken.
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS})


def is_of_the_disk(error: Exception) -> bool:
    """Whether one of `failures` says that there is no room, or no permission to write."""
    return isinstance(error, OSError) and error.errno in _OF_THE_DISK


# ISO/IEC 23091-2's numbers of color matrices, and swscale's; 5 and 6 are the same one.
_SWSCALE = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_BT709, _BT601 = 1, 6
_HD_HEIGHT = 720


def matrix_for(matrix: int, height: int) -> int:
    """A color matrix that can be computed with: the given one, or what players take: BT.709 for HD, else BT.601."""
    from av.video.reformatter import Colorspace

    # Older PyAVs lack BT.2020, and would take BT.601 for it without a word.
    if _SWSCALE.get(matrix) in {int(each) for each in Colorspace}:
        return matrix
    return _BT709 if matrix in _SWSCALE or height >= _HD_HEIGHT else _BT601


def swscale_matrix(matrix: int) -> int:
    """swscale's number of a matrix that `matrix_for` gave."""
    return _SWSCALE[matrix]
