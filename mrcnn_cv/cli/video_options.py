"""Options of `predict` for video files, cameras and streams, and for tracking."""

from __future__ import annotations

import click

from mrcnn_cv.cli.options import CODECS, flag, group, option
from mrcnn_cv.cli.param_types import FrameRate, HostPort, Seconds, Size

VIDEO, LIVE, TRACKING = "Video", "Live", "Tracking"

_VIDEO_OPTIONS = (
    option(
        VIDEO,
        "--start",
        type=Seconds(),
        metavar="TIME",
        help="Begin here: seconds or h:mm:ss.",
        default_note="the beginning",
    ),
    option(VIDEO, "--end", type=Seconds(), metavar="TIME", help="End here.", default_note="the end"),
    option(
        VIDEO,
        "--stride",
        type=click.IntRange(1, 1_000_000),
        default="1",
        metavar="N",
        help="Take every Nth frame only.",
    ),
    option(
        VIDEO,
        "--max-fps",
        type=FrameRate(),
        metavar="RATE",
        help="Take at most this many frames of each second of the video.",
        default_note="all",
    ),
    option(
        VIDEO,
        "--max-frames",
        type=click.IntRange(1, 1_000_000_000),
        metavar="N",
        help="End after so many frames.",
        default_note="never",
    ),
    option(
        VIDEO,
        "--codec",
        type=click.Choice(CODECS, case_sensitive=False),
        default=CODECS[0],
        metavar="NAME",
        help=f"Of the annotated video: {', '.join(CODECS[:-1])} or {CODECS[-1]}; h264 plays everywhere.",
    ),
    option(
        VIDEO,
        "--crf",
        type=click.IntRange(0, 63),
        metavar="N",
        help="Quality of the annotated video: less is better and larger.",
        default_note="what suits the codec, 23 for h264",
    ),
)

_LIVE_OPTIONS = (
    option(
        LIVE,
        "--camera-size",
        type=Size(),
        metavar="WxH",
        help="Ask the camera for images of this size.",
        default_note="the camera's own",
    ),
    option(
        LIVE,
        "--camera-fps",
        type=FrameRate(),
        metavar="RATE",
        help="Ask the camera for this frame rate.",
        default_note="the camera's own",
    ),
    flag(LIVE, "--no-drop", "keep_all", help="Take every frame, however far that falls behind."),
    option(
        LIVE,
        "--reconnect",
        type=click.IntRange(0, 1_000_000),
        default="5",
        metavar="N",
        help="Try so often in a row to get a lost stream or camera back, after longer and longer waits.",
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
    flag(TRACKING, "--track", help="Follow each instance: the same number and color in all frames."),
    flag(TRACKING, "--trail", help="Draw where each instance came from; follows them too."),
    flag(TRACKING, "--counts", help="Show how many of each class there were; follows them too."),
)


video_options = group(*_VIDEO_OPTIONS, *_LIVE_OPTIONS, *_TRACKING_OPTIONS)
"""The options of the groups Video, Live and Tracking."""
