"""The painted video: written by us, looked at with OpenCV's FFmpeg and with ffprobe."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from mrcnn_cv.cli.options import CODECS as NAMES
from mrcnn_cv.errors import OutputError, UsageError
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.outputs.video import writer as video_module
from mrcnn_cv.outputs.video.codecs import CODECS, check_codec, suffix_for
from mrcnn_cv.outputs.video.concat import Sound
from mrcnn_cv.outputs.video.segment import SegmentWriter
from mrcnn_cv.outputs.video.writer import VideoWriter
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.structures.video_info import ColorProperties, VideoInfo
from tests.support.videos import Image, probed, read_stamp, seen_by_opencv, stamp, times_of, write_video

COUNT = 40
WIDE, HIGH = 96, 64


def info(width: int = WIDE, height: int = HIGH, **more: Any) -> VideoInfo:
    given = {"frame_rate": 25.0, "time_base": Fraction(1, 12_800), **more}
    return VideoInfo(width, height, frame_count=None, seconds=None, is_live=False, has_audio=False, codec="", **given)


def found(width: int = WIDE, height: int = HIGH) -> Instances:
    none = np.zeros(0, np.float32)
    return Instances(none.reshape(0, 4), none, none.astype(np.int32), [], None, (height, width))


def unpainted(frame: Frame, found: Instances) -> Image:
    return frame.image


def put(sink: VideoWriter, images: list[Image], times: list[float]) -> None:
    for number, (image, time) in enumerate(zip(images, times, strict=True)):
        sink.write(Frame(image, "clip", number, time), found())
        if sink.is_segment_due:
            sink.end_segment()


def make(folder: Path, path: Path, images: list[Image], times: list[float] | None = None, **more: Any) -> VideoWriter:
    height, width = images[0].shape[:2]
    sound, about = more.pop("sound", None), more.pop("about", {})
    sink = VideoWriter(OutputDirectory(folder), path, info(width, height, **about), unpainted, **more)
    with sink:
        put(sink, images, times or [number / 25 for number in range(len(images))])
    assert sink.concat(sound, 0.04) == []
    return sink


STAMPS = [stamp(number) for number in range(COUNT)]


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "SEGMENT_SECONDS", 0.4)


@pytest.mark.parametrize(
    ("codec", "suffix", "theirs"),
    [
        ("h264", ".mp4", "h264"),
        ("h264", ".mkv", "h264"),
        ("h264", ".mov", "h264"),
        ("hevc", ".mp4", "hevc"),
        ("vp9", ".webm", "vp9"),
        ("vp9", ".mp4", "vp9"),
        ("av1", ".mkv", "av1"),
        ("mpeg4", ".mp4", "mpeg4"),
    ],
)
def test_every_codec_gives_a_video_that_others_read(
    tmp_path: Path, codec: str, suffix: str, theirs: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"clip{suffix}"
    sink = make(tmp_path, path, STAMPS, codec=codec)
    assert len(sink.segments) == 4
    if codec != "av1":
        # OpenCV's packages of some versions have no decoder for it.
        images = seen_by_opencv(path)
        assert [read_stamp(image) for image in images] == list(range(COUNT))
        assert images[0].shape == (HIGH, WIDE, 3)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.codec.canonical_name == theirs
        assert (stream.width, stream.height, stream.pix_fmt) == (WIDE, HIGH, "yuv420p")
        pictures = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in file.decode(stream)]
        assert [read_stamp(picture) for picture in pictures] == list(range(COUNT))
    assert times_of(path) == pytest.approx([number / 25 for number in range(COUNT)], abs=1e-3)
    for part in sink.segments:
        assert times_of(sink.segments_path / part.name)[0] == 0
    sink.discard()
    assert not sink.segments_path.exists()
    assert capfd.readouterr() == ("", "")


def test_ffprobe_sees_what_players_need(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", STAMPS, sound="aac")
    make(tmp_path, tmp_path / "clip.mp4", STAMPS, sound=Sound(source))
    seen = probed(tmp_path / "clip.mp4")
    video, audio = seen["video"], seen["audio"]
    assert (video["codec_name"], video["codec_tag_string"], video["pix_fmt"]) == ("h264", "avc1", "yuv420p")
    assert (int(video["nb_read_frames"]), video["avg_frame_rate"]) == (COUNT, "25/1")
    assert (video["color_range"], video["color_space"]) == ("tv", "smpte170m")
    assert float(video["duration"]) == pytest.approx(COUNT / 25, abs=0.04)
    assert audio["codec_name"] == "aac"
    assert float(audio["duration"]) == pytest.approx(COUNT / 25, abs=0.04)
    data = (tmp_path / "clip.mp4").read_bytes()
    # The index comes first, so that a browser can begin before all is there.
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("source", "codec", "target", "expected"),
    [
        ("clip.mkv", "libopus", "out.mp4", "opus"),
        ("clip.mkv", "pcm_s16le", "out.mp4", "aac"),
        ("clip.mkv", "aac", "out.webm", "opus"),
        ("clip.mkv", "pcm_s16le", "out.mkv", "pcm_s16le"),
        ("clip.mov", "pcm_s16le", "out.mov", "pcm_s16le"),
        ("clip.avi", "libmp3lame", "out.mp4", "mp3"),
    ],
)
def test_sound_is_copied_or_becomes_what_the_file_can_hold(
    tmp_path: Path, source: str, codec: str, target: str, expected: str
) -> None:
    video = "mpeg4" if source.endswith(".avi") else "libx264"
    path = write_video(tmp_path / source, STAMPS, codec=video, sound=codec)
    make(
        tmp_path,
        tmp_path / target,
        STAMPS,
        codec="vp9" if target.endswith(".webm") else "h264",
        sound=Sound(path),
    )
    with av.open(str(tmp_path / target)) as file:
        stream = file.streams.audio[0]
        assert stream.codec_context.codec.canonical_name == expected
        samples = [frame.to_ndarray().astype(np.float64).ravel() for frame in file.decode(stream)]
    wave = np.concatenate(samples)
    assert len(wave) / 48_000 == pytest.approx(COUNT / 25, abs=0.1)
    # Still the same tone, 440 Hz.
    crossings = np.count_nonzero(np.diff(np.signbit(wave[4800:-4800])))
    assert crossings / ((len(wave) - 9600) / 48_000) / 2 == pytest.approx(440, rel=0.05)


def test_sound_of_a_stretch(tmp_path: Path) -> None:
    path = write_video(tmp_path / "source.mp4", STAMPS, sound="aac")
    make(tmp_path, tmp_path / "clip.mp4", STAMPS[10:30], sound=Sound(path, 0.4, 1.2))
    with av.open(str(tmp_path / "clip.mp4")) as file:
        samples = sum(frame.samples for frame in file.decode(audio=0))
    assert samples / 48_000 == pytest.approx(0.8, abs=0.07)


def test_sound_that_is_broken_costs_the_sound_and_not_the_video(tmp_path: Path) -> None:
    (tmp_path / "source.mp4").write_bytes(b"nothing of the kind")
    sink = VideoWriter(OutputDirectory(tmp_path), tmp_path / "clip.mp4", info(), unpainted)
    with sink:
        put(sink, STAMPS, [number / 25 for number in range(COUNT)])
    (note,) = sink.concat(Sound(tmp_path / "source.mp4"), 0.04)
    assert "the painted video has none" in note
    assert len(seen_by_opencv(tmp_path / "clip.mp4")) == COUNT


def test_a_variable_frame_rate_is_kept_across_parts(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.05, 0.5, 0.505, 1.0, 1.01, 3.0, 3.5]
    sink = make(tmp_path, tmp_path / "clip.mp4", STAMPS[:9], times)
    assert len(sink.segments) > 2
    assert times_of(tmp_path / "clip.mp4") == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize(
    "tick", [Fraction(1, 25), Fraction(1001, 30_000), Fraction(1, 1000), Fraction(1, 90_000), None]
)
def test_ticks_of_every_source_keep_their_times(tmp_path: Path, tick: Fraction | None) -> None:
    step = 1 if tick is None or tick > Fraction(1, 100) else round(Fraction(1, 25) / tick)
    times = [float((tick or Fraction(1, 25)) * step * number) for number in range(COUNT)]
    for codec in ("h264", "mpeg4"):
        path = tmp_path / f"{codec}.mp4"
        make(tmp_path, path, STAMPS, times, codec=codec, about={"time_base": tick})
        assert times_of(path) == pytest.approx(times, abs=2e-5)


def test_frames_that_come_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    make(tmp_path, tmp_path / "clip.mp4", STAMPS[:4], [0.0, 0.5, 0.5, 0.1])
    assert [read_stamp(image) for image in seen_by_opencv(tmp_path / "clip.mp4")] == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [(97, 65), (96, 65), (33, 64), (1, 1)])
def test_odd_sizes_get_a_row_or_a_column_more(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    images = [np.full((height, width, 3), (20, 90, 200), np.uint8)] * 3
    make(tmp_path, tmp_path / "clip.mp4", images)
    seen = seen_by_opencv(tmp_path / "clip.mp4")
    assert seen[0].shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(seen[0].astype(int) - (20, 90, 200)).max() <= 6


@pytest.mark.parametrize(
    ("size", "colours"),
    [
        ((64, 64), ColorProperties()),
        ((1280, 720), ColorProperties()),
        ((64, 64), ColorProperties(1, 1, 1)),
        ((64, 64), ColorProperties(9, 16, 9)),
    ],
)
def test_colours_are_those_that_were_painted(tmp_path: Path, size: tuple[int, int], colours: ColorProperties) -> None:
    images = [np.full((size[1], size[0], 3), (40, 90, 200), np.uint8)] * 3
    make(tmp_path, tmp_path / "clip.mp4", images, about={"colors": colours}, crf=5)
    with open_video(tmp_path / "clip.mp4") as source:
        frame = next(iter(source))
        assert isinstance(frame, Frame)
        assert np.abs(frame.image[10, 10].astype(int) - (40, 90, 200)).max() <= 4
        assert source.info.colors.primaries == colours.primaries
        assert source.info.colors.transfer == colours.transfer


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    make(tmp_path, tmp_path / "clip.mp4", STAMPS[:3], about={"pixel_aspect": Fraction(4, 3)})
    with open_video(tmp_path / "clip.mp4") as source:
        assert source.info.pixel_aspect == Fraction(4, 3)


def test_a_lower_crf_is_larger(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    images = [noise.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(5)]
    sizes = []
    for crf in (10, 40):
        make(tmp_path, tmp_path / f"{crf}.mp4", images, crf=crf)
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes[0] > 2 * sizes[1]


def test_parts_of_an_earlier_run_are_gone_on_behind(tmp_path: Path) -> None:
    path, times = tmp_path / "clip.mp4", [number / 25 for number in range(COUNT)]
    with VideoWriter(OutputDirectory(tmp_path), path, info(), unpainted) as first:
        put(first, STAMPS[:25], times[:25])
    # The last part was not entered into any books: it is made again.
    kept = first.segments[:2]
    begin = sum(len(times_of(first.segments_path / part.name)) for part in kept)
    with VideoWriter(OutputDirectory(tmp_path), path, info(), unpainted, parts=kept) as second:
        assert {each.name for each in second.segments_path.iterdir()} == {"00001.mp4", "00002.mp4"}
        put(second, STAMPS[begin:], times[begin:])
    second.concat(last_seconds=0.04)
    assert [read_stamp(image) for image in seen_by_opencv(path)] == list(range(COUNT))
    assert times_of(path) == pytest.approx(times, abs=1e-4)


def test_what_the_user_put_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"somebody's film")
    with pytest.raises(OutputError, match="is not an unchanged output"):
        make(tmp_path, path, STAMPS)
    path.unlink()
    parts = tmp_path / "clip.mp4.parts"
    parts.mkdir()
    (parts / "holiday.mp4").write_bytes(b"somebody's film")
    sink = make(tmp_path, path, STAMPS)
    sink.discard()
    assert [each.name for each in parts.iterdir()] == ["holiday.mp4"]


def test_a_video_replaces_its_own_earlier_output(tmp_path: Path) -> None:
    for count in (COUNT, 7):
        make(tmp_path, tmp_path / "clip.mp4", STAMPS[:count])
        assert len(seen_by_opencv(tmp_path / "clip.mp4")) == count


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_is_said_and_finished_parts_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = VideoWriter(OutputDirectory(tmp_path), tmp_path / "clip.mp4", info(), unpainted)
    with pytest.raises(OutputError, match="the disk is full"), sink:  # noqa: PT012
        put(sink, STAMPS[:15], [number / 25 for number in range(15)])
        sink.end_segment()
        monkeypatch.setattr(video_module, "SegmentWriter", lambda path, *rest: SegmentWriter(Path("/dev/full"), *rest))
        put(sink, STAMPS[15:], [number / 25 for number in range(15, COUNT)])
        sink.end_segment()
    assert [len(seen_by_opencv(sink.segments_path / part.name)) for part in sink.segments] == [11, 4]


def test_a_size_that_no_encoder_takes_is_said(tmp_path: Path) -> None:
    image = np.zeros((2, 40_000, 3), np.uint8)
    with pytest.raises(OutputError, match="frames of 40000 x 2 pixels are refused"):
        make(tmp_path, tmp_path / "clip.mp4", [image], codec="mpeg4")


def test_names_and_limits_of_codecs() -> None:
    assert tuple(CODECS) == NAMES
    assert suffix_for("clip.MP4", "h264") is None
    assert suffix_for("clip.webm", "h264") == ".mp4"
    assert suffix_for("clip.webm", "vp9") is None
    assert suffix_for("clip.mov", "vp9") == ".mp4"
    assert suffix_for("clip.gif", "h264") == ".mp4"
    for codec in CODECS:
        check_codec(codec, None)
    with pytest.raises(UsageError, match=r"the quality \(crf\) of h264 goes from 0 to 51, and 60 is above"):
        check_codec("h264", 60)


def test_a_codec_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mrcnn_cv.outputs.video.codecs.encoder_for", lambda codec: None if codec == "av1" else codec)
    with pytest.raises(UsageError, match="cannot encode av1: choose another codec, of h264, hevc, vp9, mpeg4"):
        check_codec("av1", None)


def test_frames_of_another_size_are_scaled(tmp_path: Path) -> None:
    images = [*STAMPS[:3], np.asarray(cv2.resize(STAMPS[3], (192, 128)), np.uint8)]
    make(tmp_path, tmp_path / "clip.mp4", images)
    assert [read_stamp(image) for image in seen_by_opencv(tmp_path / "clip.mp4")] == [0, 1, 2, 3]
