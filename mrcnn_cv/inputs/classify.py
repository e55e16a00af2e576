"""What kind of source a word of the command line is: images, a video file, or something live. No cv2 here."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.images import sniff as content
from mrcnn_cv.inputs.images.sorting import IMAGE_SUFFIXES
from mrcnn_cv.inputs.images.urls import SECONDS, is_url, request_for
from mrcnn_cv.util.redact import redact_url

if TYPE_CHECKING:
    from mrcnn_cv.inputs.base import InputKind

Kind = Literal["pictures", "video", "live"]

VIDEOS = frozenset(
    f".{suffix}"
    for suffix in (
        *("mp4", "m4v", "mov", "qt", "mkv", "webm", "avi", "3gp", "3g2", "ts", "m2ts", "mts", "mpg", "mpeg", "vob"),
        *("flv", "f4v", "wmv", "asf", "ogv", "mxf", "ivf", "h264", "264", "h265", "265", "hevc", "y4m", "dv"),
    )
)
"""Suffixes of video files."""

_STREAMS = frozenset({".m3u8", ".mpd", ".mjpg", ".mjpeg", ".sdp"}) | VIDEOS
_SCHEMES = re.compile(r"(rtsps?|rtmps?|rtmpe|rtp|srt|udp|tcp|mms|mmsh|rist)://", re.IGNORECASE)
_VIDEO4LINUX = 81
_CAMERA = re.compile(r"[0-9]{1,3}")
_VIDEO_CONTENT = re.compile(
    rb"multipart/x-mixed-replace|video/|application/(vnd\.apple\.mpegurl|x-mpegurl|dash\+xml)|audio/(x-)?mpegurl",
    re.IGNORECASE,
)
# MPEG-TS has a sync byte every 188 bytes (after a time stamp of 4 bytes in .m2ts).
_TRANSPORT = re.compile(rb"G.{187}G.{187}G|.{4}G.{191}G.{191}G", re.DOTALL)
_MOVIES = re.compile(
    rb"....(ftyp|moov|mdat|wide|free|skip)|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01[\xba\xb3]|FLV\x01|OggS|DKIF"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|YUV4MPEG2 |\x06\x0e\x2b\x34",
    re.DOTALL,
)


def classify(source: str) -> Kind:
    """The kind of one SOURCE: a file by its content, what cannot be looked into by its name."""
    from mrcnn_cv.inputs.registry import ask_kinds

    kind: Kind | None
    kind, _ = ask_kinds(lambda each: each.classify(source))
    return kind or "pictures"


def live_kind(source: str) -> InputKind:
    """The kind of a source that is live, which opens it."""
    from mrcnn_cv.inputs.registry import INPUT_KINDS, ask_kinds

    if is_url(source):
        # Its server has said already what it is, and a camera may answer one question at a time.
        stream: InputKind = INPUT_KINDS.create("url")
        return stream
    kind, _ = ask_kinds(lambda each: each if each.classify(source) == "live" else None)
    if kind is None:
        raise InputError(f"{redact_url(source)} is not a camera or a stream")
    return kind


def names_a_camera(source: str) -> bool:
    """Whether a source that is no file is a camera by its name."""
    return bool(_CAMERA.fullmatch(source)) or source.startswith(("/dev/video", "/dev/v4l/"))


def is_stream(source: str) -> bool:
    """Whether a source is the address of a stream, by its scheme."""
    return bool(_SCHEMES.match(source))


def is_device(path: Path) -> bool:
    """Whether a path leads to a device of video4linux, under whatever name it lies."""
    try:
        return stat.S_ISCHR(path.stat().st_mode) and _is_camera(path)
    except (OSError, ValueError):
        return False


def is_animation(path: Path) -> bool:
    """Whether a file is a GIF or WebP of more than one image, which may be meant as an image or as a video."""
    try:
        data = path.read_bytes() if path.stat().st_size <= _MAX_ANIMATION_BYTES else b""
    except (OSError, ValueError):
        return False
    kind = content.image_kind(data[: content.HEAD_BYTES])
    return (kind == "GIF" and gif_frames(data, maximum=2) > 1) or (kind == "WebP" and _webp_frames(data) > 1)


_MAX_ANIMATION_BYTES = 1 << 30


def gif_frames(data: bytes, maximum: int) -> int:
    """How many images a GIF holds; counting ends at `maximum`, and where the file does."""
    if len(data) < 13:
        return 0
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    count = 0
    while count < maximum and at < len(data):
        mark = data[at]
        if mark == 0x2C and at + 10 < len(data):
            count += 1
            # The image's own palette, and the size of LZW's first codes.
            at += 10 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0) + 1
        elif mark == 0x21:
            at += 2
        else:
            break
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1
    return count


def _webp_frames(data: bytes) -> int:
    return sum(name == b"ANMF" and start + 16 <= len(data) for name, start, _ in content.webp_chunks(data))


def kind_of_file(path: Path) -> Kind | None:
    """What a file is by its content, or where that says nothing by its name; None where neither says."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return "pictures"
        with path.open("rb") as file:
            head = file.read(content.HEAD_BYTES)
    except (OSError, ValueError):
        head = b""
    image = content.image_kind(head)
    if image in ("GIF", "WebP"):
        return "video" if is_animation(path) else "pictures"
    if image is not None:
        return "pictures"
    if not content.is_heic(head) and (_MOVIES.match(head) or _TRANSPORT.match(head)):
        return "video"
    return "video" if path.suffix.lower() in VIDEOS else None


def _is_camera(path: Path) -> bool:
    """Whether a character device is one of video4linux, wherever and under whatever name it lies."""
    return hasattr(os, "major") and os.major(path.stat().st_rdev) == _VIDEO4LINUX


def kind_of_address(address: str) -> Kind:
    """What an http or https address is: by its suffix, or by what its server says."""
    try:
        suffix = PurePosixPath(unquote(urlsplit(address).path)).suffix.lower()
    except ValueError:
        # It fails when its turn comes.
        return "pictures"
    if suffix in IMAGE_SUFFIXES:
        return "pictures"
    return "live" if suffix in _STREAMS or _VIDEO_CONTENT.match(_content_type(address)) else "pictures"


def _content_type(address: str) -> bytes:
    """What the server says that it sends; nothing where it cannot be asked, which fails again when it is read."""
    from mrcnn_cv.util.http import opener

    try:
        with opener().open(request_for(address), timeout=SECONDS) as answer:
            return str(answer.headers.get("Content-Type", "")).strip().encode("ascii", "replace")
    except Exception:
        return b""
