"""Joining the parts of a video without coding them again, and putting the source's sound beside them."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import brief
from mrcnn_cv.structures.video_info import failures, import_av, is_of_the_disk

_OF_SEGMENTS = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska"}
"""Nothing else is read as a part: a playlist could name other files."""
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
# What may be copied as it is, and what everything else becomes.
_MOVIE_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac"})
_COPIED = {
    ".mp4": _MOVIE_SOUND,
    ".m4v": _MOVIE_SOUND,
    ".mov": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"}),
    ".mkv": None,
    ".webm": frozenset({"opus", "vorbis"}),
}
_CODED = {".webm": "libopus"}
_BIT_RATE = 160_000
_GAP = Fraction(1, 10)

Timed = tuple[Fraction, int, Any]


@dataclass(frozen=True)
class Sound:
    """The sound of a file, from `start` to `end` seconds of it; end: None for all."""

    path: Path
    start: float = 0.0
    end: float | None = None


def concat(
    parts: Sequence[tuple[Path, int]],
    tick: Fraction,
    target: Path,
    suffix: str,
    sound: Sound | None = None,
    last_seconds: float = 0.0,
) -> list[str]:
    """Write the file `target` from parts, each with its start in ticks; what went wrong with the sound, as sentences.

    OSError, or one of PyAV's errors, where it cannot be written.
    """
    av = import_av()
    suffix = suffix.lower()
    try:
        _concat(av, parts, tick, target, suffix, sound, last_seconds)
    except failures() as error:
        # A muxer does not say which of its streams it refuses: without the sound it is plain.
        if sound is None or is_of_the_disk(error):
            raise
        _concat(av, parts, tick, target, suffix, None, last_seconds)
        reason = brief(error) if os.path.exists(sound.path) else "the file is not there any more"
        return [f"{sound.path} has sound that cannot be copied ({reason}): the painted video has none"]
    return []


class _SoundError(ValueError):
    """The sound cannot be read."""


def _concat(
    av: Any,
    parts: Sequence[tuple[Path, int]],
    tick: Fraction,
    target: Path,
    suffix: str,
    sound: Sound | None,
    last_seconds: float,
) -> None:
    movie = {} if suffix in (".mkv", ".webm") else {"movflags": "faststart"}
    with av.open(str(target), "w", format=_FORMATS[suffix], options=movie) as file:
        with av.open(str(parts[0][0]), options=_OF_SEGMENTS) as first:
            # Opaque: as it is, also where there is no encoder under the decoder's name.
            video = file.add_stream_from_template(first.streams.video[0], opaque=True)
            video.time_base = tick
            if movie:
                # Apple's players know HEVC by one of its two tags alone.
                video.codec_context.codec_tag = first.streams.video[0].codec_context.codec_tag
        streams = [_video_packets(av, parts, tick, video, last_seconds)]
        if sound is not None:
            streams.append(_sound_packets(av, file, sound, suffix))
        for _, _, packet in heapq.merge(*streams, key=lambda timed: timed[:2]):
            file.mux(packet)


def _video_packets(
    av: Any, parts: Sequence[tuple[Path, int]], tick: Fraction, video: Any, last_seconds: float
) -> Iterator[Timed]:
    """The packets of all parts, with the times of the whole video."""
    waiting: Any = None
    for path, start in parts:
        with av.open(str(path), options=_OF_SEGMENTS) as part:
            stream = part.streams.video[0]
            for packet in part.demux(stream):
                if packet.pts is None or not packet.size:
                    continue
                at = start + round(packet.pts * stream.time_base / tick)
                at = at if waiting is None else max(at, waiting.pts + 1)
                # Without B-frames both times of a packet are the same.
                packet.pts = packet.dts = at
                packet.time_base, packet.stream = tick, video
                if waiting is not None:
                    waiting.duration = max(1, at - waiting.pts)
                    yield waiting.pts * tick, 0, waiting
                waiting = packet
    if waiting is not None:
        waiting.duration = max(1, round(Fraction(last_seconds) / tick))
        yield waiting.pts * tick, 0, waiting


def _sound_packets(av: Any, file: Any, sound: Sound, suffix: str) -> Iterator[Timed]:
    """The packets of the sound, copied where the file can hold them, else coded anew. _SoundError where that fails."""
    # The stream must be there before the first packet of any is written, so this is no generator itself.
    try:
        source = av.open(os.path.abspath(sound.path), options={"protocol_whitelist": "file"})
        stream = source.streams.audio[0]
        if stream.codec_context is None:
            raise _SoundError("nobody here knows its codec")
        name = stream.codec_context.codec.canonical_name
        allowed = _COPIED[suffix]
        if allowed is None or name in allowed:
            out = file.add_stream_from_template(stream, opaque=True)
            return _guarded(av, sound, source, _copied(source, stream, out, sound))
        out = file.add_stream(_CODED.get(suffix, "aac"), rate=_rate(stream, suffix))
        out.codec_context.layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
        out.codec_context.bit_rate = _BIT_RATE
        return _guarded(av, sound, source, _coded(av, source, stream, out, sound))
    except failures() as error:
        raise _SoundError(error) from error


def _rate(stream: Any, suffix: str) -> int:
    rate = int(stream.codec_context.sample_rate or 48_000)
    return 48_000 if suffix == ".webm" or rate not in (8000, 16_000, 22_050, 32_000, 44_100, 48_000) else rate


def _guarded(av: Any, sound: Sound, source: Any, packets: Iterator[Timed]) -> Iterator[Timed]:
    try:
        with source:
            yield from packets
    except failures() as error:
        raise _SoundError(error) from error


def _zero(source: Any) -> Fraction:
    """Time zero of a file, as VideoFile has it."""
    starts = [
        stream.start_time * stream.time_base for stream in source.streams.video[:1] if stream.start_time is not None
    ]
    if source.start_time is not None:
        starts.append(Fraction(source.start_time, 1_000_000))
    return min(starts, default=Fraction(0))


def _copied(source: Any, stream: Any, out: Any, sound: Sound) -> Iterator[Timed]:
    tick = stream.time_base
    shift = round((_zero(source) + Fraction(sound.start)) / tick)
    last = None
    for packet in source.demux(stream):
        if packet.pts is None or packet.dts is None or not packet.size:
            continue
        length = packet.duration or 0
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        if sound.start and packet.pts < 0:
            continue
        if sound.end is not None and float((packet.pts + length) * tick) > sound.end - sound.start + float(
            length * tick
        ):
            return
        if last is not None and packet.dts <= last:
            continue
        last = packet.dts
        packet.stream = out
        yield packet.dts * tick, 1, packet


def _coded(av: Any, source: Any, stream: Any, out: Any, sound: Sound) -> Iterator[Timed]:
    begin = _zero(source) + Fraction(sound.start)
    expected: Fraction | None = None
    for decoded in source.decode(stream):
        if decoded.pts is None:
            continue
        at = decoded.pts * decoded.time_base - begin
        if at < 0:
            continue
        if sound.end is not None and at >= Fraction(sound.end) - Fraction(sound.start):
            break
        # Times of some files are rounded: samples follow each other without a gap unless there plainly is one.
        if expected is not None and abs(at - expected) < _GAP:
            at = expected
        expected = at + Fraction(decoded.samples, decoded.sample_rate)
        decoded.time_base = Fraction(1, decoded.sample_rate)
        decoded.pts = round(at * decoded.sample_rate)
        for packet in out.encode(decoded):
            yield packet.dts * packet.time_base, 1, packet
    for packet in out.encode(None):
        yield packet.dts * packet.time_base, 1, packet
