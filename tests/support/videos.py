"""Video files for tests, made with PyAV, and looked at with other tools."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

Image = NDArray[np.uint8]

TICK = Fraction(1, 12_800)


def stamp(number: int, width: int = 96, height: int = 64) -> Image:
    """(height, width, 3) uint8: an image that says its number, 0 to 255, in eight bars, black or white."""
    image = np.full((height, width, 3), 128, np.uint8)
    for bit in range(8):
        left, right = bit * width // 8, (bit + 1) * width // 8
        image[: height // 2, left:right] = 255 if number >> bit & 1 else 0
    image[height // 2 :, : width // 2] = (200, 60, 30)
    return image


def read_stamp(image: Image) -> int:
    """The number of an image that `stamp` made, whatever became of it since."""
    height, width = image.shape[:2]
    row = image[height // 4, :, 1]
    return sum(int(row[(2 * bit + 1) * width // 16] > 128) << bit for bit in range(8))


def write_video(
    path: Path,
    images: Sequence[Image],
    *,
    codec: str = "libx264",
    rate: int = 25,
    times: Sequence[float] | None = None,
    pixels: str = "yuv420p",
    sound: str | None = None,
    options: dict[str, str] | None = None,
    form: str | None = None,
) -> Path:
    """Write a video; times: in seconds, instead of those of the frame rate; sound: a codec, for a tone as long."""
    height, width = images[0].shape[:2]
    with av.open(str(path), "w", format=form) as file:
        video: Any = file.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = width, height, pixels
        if times is not None:
            video.codec_context.time_base = TICK
        audio: Any = None if sound is None else file.add_stream(sound, rate=48_000)
        if audio is not None:
            audio.codec_context.layout = "mono"
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] / TICK), TICK
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        if audio is not None:
            file.mux([packet for tone in tones(len(images) / rate) for packet in audio.encode(tone)])
            file.mux(audio.encode(None))
    return path


def tones(seconds: float) -> list[Any]:
    """A tone of 440 Hz, in frames of 960 samples."""
    frames = []
    for start in range(0, round(48_000 * seconds), 960):
        wave = np.sin(2 * np.pi * 440 * np.arange(start, start + 960) / 48_000)
        frame = av.AudioFrame.from_ndarray((wave * 0.3).astype(np.float32)[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        frames.append(frame)
    return frames


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """The same MP4 with a b c d of its display matrix (1, 0 or -1): (x, y) is shown at (a x + c y, b x + d y)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    for place, value in zip((0, 1, 3, 4), matrix, strict=True):
        data[at + 4 * place : at + 4 * place + 4] = (value * 65_536).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    return path


def seen_by_opencv(path: Path) -> list[Image]:
    """All frames, read by OpenCV's own FFmpeg."""
    capture = cv2.VideoCapture(str(path))
    found = []
    while True:
        there, image = capture.read()
        if not there:
            break
        found.append(np.asarray(image, np.uint8))
    capture.release()
    return found


def probed(path: Path) -> dict[str, dict[str, Any]]:
    """What ffprobe says about the streams, by kind ("video", "audio"); skips the test where there is none."""
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    result = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert not result.stderr, result.stderr
    return {stream["codec_type"]: stream for stream in json.loads(result.stdout)["streams"]}


def times_of(path: Path) -> list[float]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as file:
        return [frame.time for frame in file.decode(video=0)]
