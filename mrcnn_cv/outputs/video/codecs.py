"""How videos are coded: the encoders behind the names of --codec, and which files can hold what they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from mrcnn_cv.errors import Remedy, UsageError
from mrcnn_cv.structures.video_info import import_av

Options = dict[str, str]

PLAIN_SUFFIX = ".mp4"
"""Of videos whose own kind of file cannot hold what the codec makes, or their exact times (.avi, .gif, ...)."""


@dataclass(frozen=True)
class Codec:
    """encoders: FFmpeg's names, the first that is there is taken. crf: where the user does not say; up to most_crf.

    options   of the encoder, by crf. No encoder may use B-frames: parts of a video are then joined without a seam
    suffixes  of the files that can hold it
    finest    the smallest tick is one second divided by this
    """

    encoders: tuple[str, ...]
    crf: int
    max_crf: int
    options: Callable[[int], Options]
    suffixes: frozenset[str]
    tag: str | None = None
    finest: int = 1 << 30


def _x264(crf: int) -> Options:
    # Times are kept; the rate that the stream itself claims is the video's, not that of its ticks.
    # The fastest preset with its deblocking takes half the time of the next one, and its files are no larger.
    return {"preset": "ultrafast", "crf": str(crf), "bf": "0", "x264-params": "force-cfr=1:no-deblock=0"}


def _x265(crf: int) -> Options:
    return {"preset": "ultrafast", "crf": str(crf), "x265-params": "bframes=0:log-level=none:pools=1:frame-threads=1"}


def _vpx(crf: int) -> Options:
    realtime = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"}
    return {**realtime, "crf": str(crf), "b": "0"}


def _svt(crf: int) -> Options:
    return {"preset": "10", "crf": str(crf), "svtav1-params": "pred-struct=1:lp=1"}


def _mpeg4(crf: int) -> Options:
    # FFmpeg counts this in lambdas, 118 to a step.
    return {"flags": "+qscale", "global_quality": str(118 * max(1, crf)), "bf": "0"}


_MOVIES = frozenset({".mp4", ".m4v", ".mov", ".mkv"})
CODECS: Mapping[str, Codec] = {
    "h264": Codec(("libx264", "libopenh264"), 23, 51, _x264, _MOVIES),
    "hevc": Codec(("libx265",), 28, 51, _x265, _MOVIES, tag="hvc1"),
    "vp9": Codec(("libvpx-vp9",), 32, 63, _vpx, frozenset({".mp4", ".mkv", ".webm"})),
    "av1": Codec(("libsvtav1",), 35, 63, _svt, frozenset({".mp4", ".mkv", ".webm"})),
    "mpeg4": Codec(("mpeg4",), 4, 31, _mpeg4, _MOVIES, finest=65_535),
}


def suffix_for(name: str, codec: str) -> str | None:
    """The suffix that the painted video takes in place of its input's; None: it keeps its own."""
    return None if PurePath(name).suffix.lower() in CODECS[codec].suffixes else PLAIN_SUFFIX


def check_codec(codec: str, crf: int | None) -> None:
    """UsageError where this PyAV cannot encode with `codec`, or its quality does not go so far."""
    chosen = CODECS[codec]
    if crf is not None and crf > chosen.max_crf:
        raise UsageError(
            f"the quality (crf) of {codec} goes from 0 to {chosen.max_crf}, and {crf} is above: give a smaller number",
            Remedy.CRF,
        )
    if encoder_for(codec) is None:
        there = ", ".join(name for name in CODECS if encoder_for(name) is not None) or "none"
        raise UsageError(f"this PyAV cannot encode {codec}: {Remedy.CODEC}, of {there}", Remedy.CODEC)


def encoder_for(codec: str) -> str | None:
    """FFmpeg's name of the encoder that is taken; None where there is none."""
    av = import_av()
    for name in CODECS[codec].encoders:
        try:
            av.codec.Codec(name, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        return name
    return None
