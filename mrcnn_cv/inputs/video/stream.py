"""Streams from the network (RTSP, RTMP, HTTP, UDP, MJPEG), through PyAV."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.video.base import MAX_PIXELS, OpenSource
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.video_info import VideoInfo, failures, import_av
from mrcnn_cv.util.redact import redact_url
from mrcnn_cv.util.version import __version__

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

SECONDS = 10.0
"""How long to wait for an answer, and for each image."""

# No `file`: what comes from the network must not name files of this machine.
_PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,udplite,rtp,rtsp,rtmp,rtmps,rtmpt,rtmpe,srt,rist,mmsh,mmst,crypto,data"

_OPTIONS = {
    "rtsp": {"rtsp_flags": "prefer_tcp"},
    "rtsps": {"rtsp_flags": "prefer_tcp"},
    # Its head does not say which streams there are, and FFmpeg would wait five seconds for more of them.
    "rtmp": {"analyzeduration": "1000000"},
    "rtmps": {"analyzeduration": "1000000"},
    # More than comes while an image is decoded; what is lost beyond that is damage, not the end.
    "udp": {"fifo_size": "100000", "overrun_nonfatal": "1"},
    "http": {"user_agent": f"mrcnn-cv/{__version__}"},
    "https": {"user_agent": f"mrcnn-cv/{__version__}"},
}
_WITHOUT_TIME = frozenset(("mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe", "h264", "hevc"))
"""Formats that say nothing about time; FFmpeg makes up 25 frames per second."""

_MAX_JUMP_SECONDS = 10.0


class Stream(OpenSource):
    """A stream at an address. It ends where the server says so, and is given up where nothing comes for `seconds`.

    Opening raises InputError, one sentence, for an address that cannot be reached, that is no stream of images, or
    that sends nothing for `seconds`. `damaged` counts frames that could not be decoded, or only in part.
    """

    dropped = 0

    def __init__(self, address: str, seconds: float = SECONDS) -> None:
        self.name = redact_url(address)
        self.damaged = 0
        self.warnings: list[str] = []
        self._seconds = seconds
        self._closed = False
        self._iterating = False
        self._container = _open(address, self.name, seconds)
        try:
            self._stream = _video_stream(self._container, self.name)
            self._is_without_time = not _WITHOUT_TIME.isdisjoint(self._container.format.name.split(","))
            self.info = self._look()
        except BaseException:
            self._container.close()
            raise

    def __iter__(self) -> Iterator[Frame | FrameError | None]:
        self._iterating = True
        try:
            yield from self._frames()
        finally:
            self._iterating = False
            if self._closed:
                self._container.close()

    def close(self) -> None:
        """End; may be called while another thread iterates, whose iteration then ends at its next step."""
        self._closed = True
        if not self._iterating:
            self._container.close()

    def _look(self) -> VideoInfo:
        stream, codec = self._stream, self._stream.codec_context
        duration = self._container.duration
        rate = None if self._is_without_time else stream.average_rate or stream.guessed_rate
        return VideoInfo(
            width=codec.width,
            height=codec.height,
            frame_rate=float(rate) if rate and 0 < rate < 1000 else None,
            frame_count=stream.frames or None,
            # Only what has an end has a length: a recording on a server.
            seconds=duration / 1_000_000 if duration and duration > 0 else None,
            is_live=True,
            has_audio=bool(self._container.streams.audio),
            codec=codec.name,
        )

    def _frames(self) -> Iterator[Frame | FrameError | None]:
        clock, index, last = _StreamClock(), 0, time.monotonic()
        for decoded in self._decoded():
            now = time.monotonic()
            if self._closed:
                return
            if isinstance(decoded, InputError):
                yield FrameError(self.name, index, decoded)
                return
            if decoded is None:
                if now - last > self._seconds:
                    why = f"{self.name} sends data, but no image came for {now - last:.0f} s: check the camera"
                    yield FrameError(self.name, index, InputError(why))
                    return
                yield None
                continue
            if decoded.width * decoded.height > MAX_PIXELS:
                yield FrameError(self.name, index, _too_large(self.name, decoded.width, decoded.height))
                return
            image = np.asarray(decoded.to_ndarray(format="bgr24"), dtype=np.uint8)
            seconds = clock.seconds(None if self._is_without_time else decoded.time, now)
            yield Frame(image, self.name, index, time=seconds, read_ms=(time.monotonic() - now) * 1000, arrived=now)
            index, last = index + 1, now

    def _decoded(self) -> Iterator[VideoFrame | InputError | None]:
        """Whole frames; None for a packet without one; an InputError where it is lost."""
        import av

        packets = self._container.demux(self._stream)
        broken: tuple[type[Exception], ...] = (*failures(), MemoryError)
        while not self._closed:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except failures() as error:
                yield InputError(_why_lost(error, self.name, self._seconds))
                return
            try:
                frames: list[Any] = packet.decode()
            except av.error.EOFError:
                return
            except broken:
                self.damaged += 1
                frames = []
            whole = [frame for frame in frames if not frame.is_corrupt]
            self.damaged += len(frames) - len(whole)
            yield from whole or [None]


class _StreamClock:
    """Seconds since the first image, by the stream's own time stamps where they make sense, else by the clock."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0
        self._shift: float | None = None

    def seconds(self, stamp: float | None, now: float) -> float:
        """stamp: of the stream, in seconds from anywhere; None where it has none. now: time.monotonic()."""
        if self._first is None:
            self._first = now
        elapsed = now - self._first
        if stamp is not None and self._shift is None:
            self._shift = elapsed - stamp
        time_of_stream = None if stamp is None or self._shift is None else stamp + self._shift
        if time_of_stream is None or not 0 <= time_of_stream - self._last <= _MAX_JUMP_SECONDS:
            # A clock of the camera that was set, or that went round.
            time_of_stream = max(elapsed, self._last)
            self._shift = None if stamp is None else time_of_stream - stamp
        self._last = time_of_stream
        return time_of_stream


def _open(address: str, name: str, seconds: float) -> InputContainer:
    av = import_av()
    options = {"protocol_whitelist": _PROTOCOLS, **_OPTIONS.get(_scheme(address), {})}
    try:
        container: InputContainer = av.open(address, options=options, timeout=(seconds, seconds))
        return container
    except failures() as error:
        raise InputError(_why_closed(error, name, seconds)) from error


def _scheme(address: str) -> str:
    try:
        return urlsplit(address).scheme.lower()
    except ValueError:
        return ""


def _video_stream(container: InputContainer, name: str) -> Any:
    """The stream of images, set up for little delay."""
    if not container.streams.video:
        what = "only sound" if container.streams.audio else "nothing that is known here"
        raise InputError(f"{name} holds no images ({what}): check the address")
    stream = container.streams.video[0]
    codec = stream.codec_context
    if codec is None:
        raise InputError(f"{name} is coded in a way that this PyAV cannot decode: set the camera to H.264")
    if codec.width * codec.height > MAX_PIXELS:
        raise _too_large(name, codec.width, codec.height)
    # Threads that decode a frame each keep back as many frames as there are threads.
    stream.thread_type = "SLICE"
    codec.options = {"flags": "low_delay"}
    return stream


def _too_large(name: str, width: int, height: int) -> InputError:
    return InputError(f"{name} sends images of {width}x{height}, more than is taken: set the camera to a smaller size")


def _why_closed(error: Exception, name: str, seconds: float) -> str:
    """One sentence for a stream that could not be opened."""
    import av

    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return f"{name} sends nothing, after {seconds:.0f} s of waiting: check the address and that the camera is on"
    if isinstance(error, ConnectionRefusedError):
        return f"{name} cannot be reached, the connection was refused: check the address and that the camera is on"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return f"{name} begins with a protocol that this PyAV does not know: use rtsp, rtmp, http, https or udp"
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return f"{name} asks for a user name and a password: write them into the address (//USER:PASSWORD@HOST/...)"
    if isinstance(error, (av.error.HTTPError, av.error.HTTPClientError, av.error.HTTPServerError)):
        reason = str(error.strerror or error).removeprefix("Server returned ")
        return f"{name} cannot be opened, the server answers {reason}: check the address"
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return f"{name} cannot be opened, there is no such host or it sends no images: check the address"
    if isinstance(error, (av.error.InvalidDataError, av.error.DecoderNotFoundError, av.error.DemuxerNotFoundError)):
        return f"{name} is not a stream of images: check the address"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{name} cannot be opened ({reason}): check the address and the network"


def _why_lost(error: Exception, name: str, seconds: float) -> str:
    """One sentence for a stream that was open and broke off."""
    import av

    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return f"{name} has sent nothing for {seconds:.0f} s: check the camera and the network"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{name} broke off ({reason}): check the camera and the network"
