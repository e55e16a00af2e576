"""Options for video files, cameras and streams, and for tracking: the groups Video, Live and Tracking of --help."""

from __future__ import annotations

from mrcnn_cv.cli.options import Function, option
from mrcnn_cv.cli.param_types import Choice, IntRange
from mrcnn_cv.cli.video_param_types import HostPort, Moment, Rate, Size

VIDEO, LIVE, TRACKING = "Video", "Live", "Tracking"

CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4")
"""Spelled out, so that --help imports nothing heavy; a test compares them with the encoders' own table."""

_VIDEO_OPTIONS = (
    option(
        VIDEO,
        "--start",
        type=Moment(),
        metavar="TIME",
        help="Begin here: seconds or h:mm:ss.",
        default_note="the beginning",
    ),
    option(VIDEO, "--end", type=Moment(), metavar="TIME", help="End here.", default_note="the end"),
    option(
        VIDEO,
        "--stride",
        type=IntRange(1, 1_000_000),
        default="1",
        metavar="N",
        help="Take every Nth frame only.",
    ),
    option(
        VIDEO,
        "--max-fps",
        type=Rate(),
        metavar="RATE",
        help="Take at most this many frames of each second of the video.",
        default_note="all",
    ),
    option(
        VIDEO,
        "--max-frames",
        type=IntRange(1, 1_000_000_000),
        metavar="N",
        help="End after so many frames.",
        default_note="never",
    ),
    option(
        VIDEO,
        "--codec",
        type=Choice(CODECS),
        default=CODECS[0],
        metavar="NAME",
        help=f"Of the painted video: {', '.join(CODECS[:-1])} or {CODECS[-1]}; h264 plays everywhere.",
    ),
    option(
        VIDEO,
        "--crf",
        type=IntRange(0, 63),
        metavar="N",
        help="Quality of the painted video: less is better and larger.",
        default_note="what suits the codec, 23 for h264",
    ),
)

_LIVE_OPTIONS = (
    option(
        LIVE,
        "--camera-size",
        type=Size(),
        metavar="WxH",
        help="Ask the camera for pictures of this size.",
        default_note="the camera's own",
    ),
    option(
        LIVE,
        "--camera-fps",
        type=Rate(),
        metavar="RATE",
        help="Ask the camera for this frame rate.",
        default_note="the camera's own",
    ),
    option(LIVE, "--no-drop", is_flag=True, help="Take every frame, however far that falls behind."),
    option(
        LIVE,
        "--reconnect",
        type=IntRange(0, 1_000_000),
        default="5",
        metavar="N",
        help="Try so often in a row to get back a stream or camera that is lost, after longer and longer waits.",
    ),
    option(
        LIVE,
        "--serve",
        type=HostPort(),
        metavar="[HOST:]PORT",
        help="Show the live view to any browser at this address.",
        default_note="off; HOST is 127.0.0.1, this machine alone",
    ),
)

_TRACKING_OPTIONS = (
    option(TRACKING, "--track", is_flag=True, help="Follow each instance: the same number and colour in all frames."),
    option(TRACKING, "--trail", is_flag=True, help="Draw where each instance came from; follows them too."),
    option(TRACKING, "--counts", is_flag=True, help="Show how many of each class there were; follows them too."),
)


def video_options(function: Function) -> Function:
    """The options of the groups Video, Live and Tracking."""
    for decorate in reversed((*_VIDEO_OPTIONS, *_LIVE_OPTIONS, *_TRACKING_OPTIONS)):
        function = decorate(function)
    return function
