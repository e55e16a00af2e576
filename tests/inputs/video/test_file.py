"""Video files: every frame once, in order, upright, at its time; and what is said of files that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.video.base import FrameSampling, StreamPosition
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.structures import video_info
from mrcnn_cv.structures.frame import Frame
from tests.support.videos import Image, read_stamp, stamp, turned, write_video

COUNT = 40
STAMPS = [stamp(number) for number in range(COUNT)]


def frames(path: Path, choice: FrameSampling | None = None, after: StreamPosition | None = None) -> list[Frame]:
    with open_video(path, sampling=choice, after=after) as source:
        return [frame for frame in source if isinstance(frame, Frame)]


def numbers(found: list[Frame]) -> list[int]:
    return [read_stamp(frame.image) for frame in found]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames, a key frame every 10, with B-frames, and sound."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_video(path, STAMPS, sound="aac", options={"g": "10", "bf": "2"})


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("clip.mp4", "libx264", "yuv420p", {"bf": "3"}),
        ("clip.mkv", "libx264", "yuv420p", {"bf": "3"}),
        ("clip.mov", "libx264", "yuv444p", {}),
        ("clip.webm", "libvpx-vp9", "yuv420p", {}),
        ("clip.avi", "mpeg4", "yuv420p", {"bf": "2"}),
        ("clip.avi", "libx264", "yuv420p", {"bf": "3"}),
        ("clip.ts", "libx264", "yuv420p", {}),
        ("clip.gif", "gif", "rgb8", {}),
        ("deep.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
        ("grey.mkv", "ffv1", "gray", {}),
        ("alpha.mov", "qtrle", "argb", {}),
        ("full.avi", "mjpeg", "yuvj420p", {}),
    ],
)
def test_every_container_gives_every_frame_once(
    tmp_path: Path, name: str, codec: str, pixels: str, options: dict[str, str]
) -> None:
    path = write_video(tmp_path / name, STAMPS, codec=codec, pixels=pixels, options=options)
    found = frames(path)
    assert numbers(found) == list(range(COUNT))
    assert [frame.index for frame in found] == list(range(COUNT))
    start = found[0].time
    assert start is not None
    assert [frame.time for frame in found] == pytest.approx([start + number / 25 for number in range(COUNT)], abs=1e-3)
    assert found[0].image.shape == (64, 96, 3)
    assert {frame.image.dtype for frame in found} == {np.dtype(np.uint8)}
    assert str(found[7].output_path) == f"{path.stem}/000007.jpg"
    with open_video(path) as source:
        assert (source.info.width, source.info.height) == (96, 64)
        assert source.info.frame_rate == pytest.approx(25, rel=0.05)
        assert not source.info.has_audio
    assert source.damaged == 0


def test_an_animated_webp_gives_what_pillow_sees(tmp_path: Path) -> None:
    pictures = [Pillow.fromarray(stamp(number)[..., ::-1]) for number in range(12)]
    path = tmp_path / "clip.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[40, 80] * 6, lossless=True)
    found = frames(path)
    assert numbers(found) == list(range(12))
    assert [frame.time for frame in found] == pytest.approx([0.06 * n - 0.02 * (n % 2) for n in range(12)])
    with Pillow.open(path) as theirs:
        for number, frame in enumerate(found):
            theirs.seek(number)
            assert np.array_equal(frame.image, np.asarray(theirs.convert("RGB"))[..., ::-1])
    assert [frame.index for frame in frames(path, after=StreamPosition(4, 0.24, 5))] == list(range(5, 12))


def test_the_times_of_a_variable_frame_rate_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.05, 0.25, 0.255, 1.0, 1.5, 1.54]
    path = write_video(tmp_path / "clip.mp4", STAMPS[:8], times=times)
    assert [frame.time for frame in frames(path)] == pytest.approx(times, abs=1e-4)


ROTATIONS: list[tuple[tuple[int, int, int, int], Callable[[Image], Any]]] = [
    ((0, 1, -1, 0), lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)),
    ((0, -1, 1, 0), lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)),
    ((-1, 0, 0, -1), lambda image: cv2.rotate(image, cv2.ROTATE_180)),
    ((-1, 0, 0, 1), lambda image: cv2.flip(image, 1)),
    ((1, 0, 0, -1), lambda image: cv2.flip(image, 0)),
    ((0, 1, 1, 0), lambda image: cv2.transpose(image)),
]


@pytest.mark.parametrize(("matrix", "expected"), ROTATIONS)
def test_pictures_are_turned_as_a_player_turns_them(
    tmp_path: Path, matrix: tuple[int, int, int, int], expected: Callable[[Image], Any]
) -> None:
    path = write_video(tmp_path / "clip.mp4", STAMPS[:3])
    upright = frames(path)[2].image
    turned(path, matrix)
    assert np.array_equal(frames(path)[2].image, expected(upright))
    with open_video(path) as source:
        assert (source.info.height, source.info.width) == np.shape(expected(upright))[:2]


def test_colours_are_those_that_were_encoded(tmp_path: Path) -> None:
    """BT.601 for small images that say nothing, BT.709 for large ones, as players have it."""
    for size, matrix in (((64, 64), 5), ((1280, 720), 1)):
        colour = np.full((size[1], size[0], 3), (40, 90, 200), np.uint8)
        frame = av.VideoFrame.from_ndarray(colour, format="bgr24")
        coded = frame.reformat(format="yuv444p", dst_colorspace=matrix, src_color_range=2, dst_color_range=1)
        path = tmp_path / f"{matrix}.mkv"
        with av.open(str(path), "w") as file:
            stream: Any = file.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv444p"
            file.mux(stream.encode(coded))
            file.mux(stream.encode(None))
        assert np.abs(frames(path)[0].image[5, 5].astype(int) - (40, 90, 200)).max() <= 2


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (FrameSampling(stride=7), list(range(0, COUNT, 7))),
        (FrameSampling(max_frames=5), [0, 1, 2, 3, 4]),
        (FrameSampling(start=0.72), list(range(18, COUNT))),
        (FrameSampling(start=0.72, stride=5), [20, 25, 30, 35]),
        (FrameSampling(start=0.39, end=0.81), list(range(10, 21))),
        (FrameSampling(end=0.2), [0, 1, 2, 3, 4]),
        (FrameSampling(max_fps=5), [0, 5, 10, 15, 20, 25, 30, 35]),
        (FrameSampling(max_fps=1000), list(range(COUNT))),
        (FrameSampling(start=0.4, max_fps=5, max_frames=3), [10, 15, 20]),
    ],
)
def test_the_frames_that_were_chosen(clip: Path, choice: FrameSampling, expected: list[int]) -> None:
    found = frames(clip, choice)
    assert numbers(found) == expected
    assert [frame.index for frame in found] == expected
    with open_video(clip, sampling=choice) as source:
        assert choice.expected(source.info) == pytest.approx(len(expected), abs=1)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mkv", "clip.gif", "clip.ts"])
@pytest.mark.parametrize(
    "choice",
    [FrameSampling(), FrameSampling(stride=3), FrameSampling(max_fps=10, max_frames=14), FrameSampling(start=0.2)],
)
def test_going_on_behind_a_frame_loses_none_and_repeats_none(tmp_path: Path, name: str, choice: FrameSampling) -> None:
    codecs = {".avi": "mpeg4", ".gif": "gif"}
    codec = codecs.get(Path(name).suffix, "libx264")
    pixels = "rgb8" if codec == "gif" else "yuv420p"
    path = write_video(tmp_path / name, STAMPS, codec=codec, pixels=pixels, options={"g": "10"})
    whole = frames(path, choice)
    for count in (1, 6, len(whole) - 1):
        last = whole[count - 1]
        assert last.time is not None
        rest = frames(path, choice, StreamPosition(last.index, last.time, count))
        both = [(frame.index, frame.time) for frame in [*whole[:count], *rest]]
        assert both == [(frame.index, frame.time) for frame in whole]
        assert numbers(rest) == numbers(whole[count:])


def test_damaged_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", STAMPS, codec="libx264", options={"g": "5", "bf": "0"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    # The slices of two key frames are overwritten; what refers to them may be damaged as well.
    for number in (10, 25):
        at = data.index(packets[number])
        start, end = at + len(packets[number]) // 3, at + len(packets[number])
        data[start:end] = b"\xa5" * (end - start)
    path.write_bytes(data)
    with open_video(path) as source:
        found = [frame for frame in source if isinstance(frame, Frame)]
    assert 0 < source.damaged <= 10
    assert len(found) + source.damaged == COUNT
    whole = [frame for frame in found if not 10 <= frame.index < 15 and not 25 <= frame.index < 30]
    assert numbers(whole) == [frame.index for frame in whole]
    assert len(whole) == 30


def test_a_size_that_changes_on_the_way_is_scaled_and_said_once(tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.h264", STAMPS[:5], form="h264", options={"bf": "0"})
    large = [np.asarray(cv2.resize(image, (192, 128)), np.uint8) for image in STAMPS[5:10]]
    other = write_video(tmp_path / "b.h264", large, form="h264", options={"bf": "0"})
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + other.read_bytes())
    with open_video(path) as source:
        found = [frame for frame in source if isinstance(frame, Frame)]
    assert numbers(found) == list(range(10))
    assert {frame.image.shape for frame in found} == {(64, 96, 3)}
    assert len(source.warnings) == 1
    assert "changes from 96 x 64 to 192 x 128" in source.warnings[0]


def test_a_file_that_was_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", STAMPS, options={"g": "10", "bf": "0"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found = frames(path)
    assert 10 < len(found) < COUNT
    assert numbers(found) == list(range(len(found)))


def _no_video(folder: Path) -> Path:
    path = folder / "clip.m4a"
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("aac", rate=48_000)
        noise = np.zeros((1, 9600), np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate = 48_000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def _with(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def _without_index(folder: Path) -> Path:
    path = write_video(folder / "clip.mp4", STAMPS)
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def _no_frames(folder: Path) -> Path:
    path = write_video(folder / "clip.mkv", STAMPS[:1])
    data = path.read_bytes()
    with av.open(str(path)) as file:
        packet = next(bytes(packet) for packet in file.demux(video=0) if packet.size)
    path.write_bytes(data.replace(packet, b"\0" * len(packet)))
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_no_video, "holds no video, only sound"),
        (_with("clip.mp4", b""), "is empty"),
        (_with("clip.mp4", b"garbage" * 1000), "cannot be read as a video"),
        (_with("clip.mkv", b"\x1a\x45\xdf\xa3" + bytes(1000)), "cannot be read as a video"),
        (_with("clip.avi", b"RIFF" + b"\xff" * 4 + b"AVI LIST" + bytes(200)), "clip.avi"),
        (_without_index, "cannot be read as a video"),
        (_no_frames, "no frame that can be decoded"),
        (_with("list.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n"), "cannot be read as a video"),
        (_with("list.mp4", b"#EXTM3U\n#EXTINF:10,\n/etc/hosts\n#EXT-X-ENDLIST\n"), "cannot be read as a video"),
        (_with("clip.webp", b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x0f\0\0\x0f\0\0ANMF\xff\xff\0\0"), "no frame"),
        (lambda folder: folder / "gone.mp4", "does not exist"),
        (lambda folder: folder, "is a folder|Is a directory|permission"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(
    tmp_path: Path, make: Callable[[Path], Path], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError, match=said) as raised:
        open_video(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)
    # FFmpeg keeps quiet.
    assert capfd.readouterr() == ("", "")


def test_frames_beyond_any_reason_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "clip.mp4", STAMPS[:2])
    monkeypatch.setattr("mrcnn_cv.inputs.video.file.MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(InputError, match="frames of 96 x 64 pixels"):
        open_video(path)


def test_a_start_behind_the_end_is_said(clip: Path) -> None:
    with pytest.raises(InputError, match="no frame after 100 seconds: choose an earlier start"):
        open_video(clip, sampling=FrameSampling(start=100))


def test_without_pyav_the_remedy_is_told(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'mrcnn-cv\[video\]'"):
        video_info.import_av()
