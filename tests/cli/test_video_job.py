"""Video files from the command line: painted videos, frames in every format, runs that are ended and go on."""

from __future__ import annotations

import csv
import errno
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from pycocotools.coco import COCO

from mrcnn_cv import cli
from tests.cli.conftest import Run, Start, names_in, refusal, success
from tests.cli.fork_server import environment
from tests.conftest import read_image
from tests.support.videos import Image, probed, read_stamp, seen_by_opencv, stamp, times_of, write_video

ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

COUNT = 24
STAMPS = [stamp(number) for number in range(COUNT)]
UNPAINTED = ("--opacity", "0", "--hide", "labels,boxes,scores,contours")
"""Leaves the images as they are, so that their numbers can be read."""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """24 numbered frames of 96 x 64 pixels, 12 a second, with sound."""
    return write_video(tmp_path / "clip.mp4", STAMPS, rate=12, sound="aac")


@pytest.fixture
def photos(tmp_path: Path, photo_path: Path) -> Path:
    """A clip of 12 frames in which the tiny model finds something: the photo, moving."""
    photo = read_image(photo_path)
    images: list[Image] = [np.ascontiguousarray(np.roll(photo, 2 * number, axis=1)) for number in range(12)]
    return write_video(tmp_path / "photos.mp4", images, rate=12)


def numbers(path: Path) -> list[int]:
    return [read_stamp(image) for image in seen_by_opencv(path)]


def test_a_video_becomes_a_painted_video(find: Run, photos: Path, tmp_path: Path) -> None:
    result = success(find("photos.mp4"))
    assert names_in(tmp_path / "mrcnn-out") == {"photos.mp4"}
    painted, plain = seen_by_opencv(tmp_path / "mrcnn-out" / "photos.mp4"), seen_by_opencv(photos)
    assert len(painted) == len(plain) == 12
    assert painted[0].shape == plain[0].shape
    assert max(np.abs(ours.astype(int) - theirs).max() for ours, theirs in zip(painted, plain, strict=True)) > 100
    first, second = result.stderr.splitlines()
    assert first.startswith("photos.mp4  12 frames, ")
    assert "frames per second" in first
    assert first.endswith("-> mrcnn-out/photos.mp4".replace("/", "\\" if sys.platform == "win32" else "/"))
    assert "instances" in second


def test_it_has_the_frames_times_and_sound_of_its_source(find: Run, clip: Path, tmp_path: Path) -> None:
    success(find("clip.mp4", *UNPAINTED))
    out = tmp_path / "mrcnn-out" / "clip.mp4"
    assert numbers(out) == list(range(COUNT))
    assert times_of(out) == pytest.approx(times_of(clip), abs=1e-4)
    with av.open(str(out)) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) / 48_000 == pytest.approx(2, abs=0.1)
    seen = probed(out)
    assert float(seen["video"]["duration"]) == pytest.approx(2, abs=1 / 12)
    assert seen["video"]["codec_name"] == "h264"
    assert seen["video"]["pix_fmt"] == "yuv420p"


def test_every_format_has_the_frames(find: Run, photos: Path, tmp_path: Path) -> None:
    formats = "overlay,frames,json,jsonl,coco,csv,labelme,yolo"
    success(find("photos.mp4", "-o", "out", "--save", formats, "--json", "all.jsonl"))
    out = tmp_path / "out"
    places = [f"photos/{number:06}.jpg" for number in range(12)]
    assert {path.relative_to(out).as_posix() for path in out.glob("photos/*.jpg")} == set(places)
    assert np.abs(read_image(out / places[3]).astype(int) - seen_by_opencv(photos)[3]).mean() < 4
    records = [json.loads(line) for line in (out / "records.jsonl").read_text("utf-8").splitlines()]
    assert [record["place"] for record in records] == places
    assert [record["frame"] for record in records] == list(range(12))
    assert [record["time"] for record in records] == pytest.approx([number / 12 for number in range(12)], abs=1e-3)
    assert {record["source"] for record in records} == {"photos.mp4"}
    single = json.loads((out / f"{places[5]}.json").read_bytes())
    assert single["instances"] == records[5]["instances"]
    assert [json.loads(line)["frame"] for line in (tmp_path / "all.jsonl").read_text().splitlines()] == list(range(12))
    data = COCO(out / "annotations.json")
    assert [image["file_name"] for image in data.dataset["images"]] == places
    with (out / "instances.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(record["instances"]) for record in records) > 0
    assert (out / "labelme" / "photos" / "000004.json").is_file()
    assert (out / "yolo" / "images" / "photos" / "000004.jpg").is_file()
    assert len(seen_by_opencv(out / "photos.mp4")) == 12


def test_without_an_overlay_no_video_is_written(find: Run, clip: Path, tmp_path: Path) -> None:
    success(find("clip.mp4", "-o", "out", "--save", "frames"))
    assert names_in(tmp_path / "out") == {"clip"}
    result = success(find("clip.mp4", "--save", "none", "--json", "-", "-q"))
    assert len(result.stdout.splitlines()) == COUNT
    assert not (tmp_path / "mrcnn-out").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--stride", "5"], [0, 5, 10, 15, 20]),
        (["--start", "0:01", "--end", "1.5"], [12, 13, 14, 15, 16, 17]),
        (["--max-frames", "3"], [0, 1, 2]),
        (["--max-fps", "3"], [0, 4, 8, 12, 16, 20]),
    ],
)
def test_a_choice_of_frames(find: Run, clip: Path, tmp_path: Path, arguments: list[str], expected: list[int]) -> None:
    success(find("clip.mp4", "-o", "out", "--save", "overlay,jsonl", *arguments, *UNPAINTED))
    assert numbers(tmp_path / "out" / "clip.mp4") == expected
    records = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert [record["frame"] for record in records] == expected
    assert [record["time"] for record in records] == pytest.approx([number / 12 for number in expected], abs=1e-3)
    times = times_of(tmp_path / "out" / "clip.mp4")
    shift = expected[0] / 12
    assert times == pytest.approx([number / 12 - shift for number in expected], abs=1e-3)


def test_files_that_cannot_hold_it_become_mp4(find: Run, tmp_path: Path) -> None:
    write_video(tmp_path / "one.webm", STAMPS[:5], codec="libvpx-vp9")
    write_video(tmp_path / "two.gif", STAMPS[:5], codec="gif", pixels="rgb8")
    write_video(tmp_path / "three.mkv", STAMPS[:5])
    write_video(tmp_path / "three.avi", STAMPS[:5], codec="mpeg4")
    pictures = [Pillow.fromarray(image[..., ::-1]) for image in STAMPS[:5]]
    pictures[0].save(tmp_path / "four.webp", save_all=True, append_images=pictures[1:], duration=80)
    success(find("one.webm", "two.gif", "three.mkv", "three.avi", "four.webp", *UNPAINTED))
    out = tmp_path / "mrcnn-out"
    assert names_in(out) == {"one.mp4", "two.mp4", "three.mkv", "three-2.mp4", "four.mp4"}
    assert {name: numbers(out / name) for name in names_in(out)} == {name: [0, 1, 2, 3, 4] for name in names_in(out)}
    success(find("one.webm", "-o", "vp9", "--codec", "vp9"))
    assert names_in(tmp_path / "vp9") == {"one.webm"}


def test_videos_of_one_name_do_not_meet(find: Run, tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "clip.mp4", STAMPS[10 * number : 10 * number + 4])
    success(find("a/clip.mp4", "b/clip.mp4", "--save", "overlay,frames,coco", *UNPAINTED))
    out = tmp_path / "mrcnn-out"
    assert [numbers(out / name) for name in ("clip.mp4", "clip-2.mp4")] == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert [len(list((out / name).iterdir())) for name in ("clip", "clip-2")] == [4, 4]
    images = json.loads((out / "annotations.json").read_bytes())["images"]
    assert [image["file_name"] for image in images] == [
        f"{folder}/{number:06}.jpg" for folder in ("clip", "clip-2") for number in range(4)
    ]
    assert len({image["id"] for image in images}) == 8


def test_a_video_replaces_its_own_output_and_nobody_elses(find: Run, clip: Path, tmp_path: Path) -> None:
    success(find("clip.mp4", "--max-frames", "5", "-q"))
    success(find("clip.mp4", "--max-frames", "3", "-q"))
    out = tmp_path / "mrcnn-out" / "clip.mp4"
    assert len(seen_by_opencv(out)) == 3
    out.write_bytes(b"somebody's film")
    assert "is not an unchanged output of mrcnn-cv" in refusal(find("clip.mp4", "-q"), 6)
    assert out.read_bytes() == b"somebody's film"
    before = clip.read_bytes()
    success(find("clip.mp4", "-o", ".", "--overwrite", "-q"))
    assert clip.read_bytes() == before
    assert (tmp_path / "clip-masks.mp4").is_file()


def test_one_bad_video_does_not_cost_the_others(find: Run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"garbage")
    result = find("bad.mp4", "gone.mov", "clip.mp4", "--max-frames", "2")
    assert result.returncode == 5
    assert "mrcnn-cv: error: bad.mp4 cannot be read as a video" in result.stderr
    assert "mrcnn-cv: error: gone.mov does not exist" in result.stderr
    assert len(seen_by_opencv(tmp_path / "mrcnn-out" / "clip.mp4")) == 2


def test_damage_is_counted_and_the_rest_is_done(find: Run, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", STAMPS, options={"g": "4", "bf": "0"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        packet = [bytes(packet) for packet in file.demux(video=0) if packet.size][8]
    at = data.index(packet)
    data[at + 8 : at + len(packet)] = b"\xa5" * (len(packet) - 8)
    path.write_bytes(data)
    result = find("clip.mkv", *UNPAINTED)
    assert result.returncode == 0
    assert "damaged and skipped" in result.stderr
    there = numbers(tmp_path / "mrcnn-out" / "clip.mkv")
    assert set(range(COUNT)) - set(there) <= {8, 9, 10, 11}
    assert len(there) < COUNT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clip.mp4", "photo.png"], "clip.mp4 is a video, and does not go with images"),
        (["clip.mp4", "0"], "0 is a camera or a stream, and goes alone"),
        (["rtsp://127.0.0.1/a", "rtsp://127.0.0.1/b"], "goes alone"),
        (["clip.mp4", "--watch"], "does not go with images"),
        (["photo.png", "--save", "frames"], "the format frames is for videos"),
        (["clip.mp4", "--crf", "60"], "the quality (crf) of h264 goes from 0 to 51"),
        (["clip.mp4", "--crf", "-1"], "--crf must be a whole number"),
        (["clip.mp4", "--codec", "h266"], "--codec does not know 'h266': did you mean 'h264'?"),
        (["clip.mp4", "--start", "soon"], "--start must be seconds or h:mm:ss"),
        (["clip.mp4", "--start", "1:75"], "--start must be seconds or h:mm:ss"),
        (["clip.mp4", "--start", "5", "--end", "0:05"], "--end must come after --start"),
        (["clip.mp4", "--max-fps", "0"], "--max-fps must be a number of frames per second above 0"),
        (["clip.mp4", "--stride", "0"], "--stride must be a whole number from 1"),
    ],
)
def test_what_cannot_be_meant(
    find: Run, clip: Path, photo_path: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "photo.png").write_bytes(photo_path.read_bytes())
    assert said in refusal(find(*arguments), 2)
    assert not (tmp_path / "mrcnn-out").exists()


def test_lines_do_not_go_where_the_painted_video_goes(find: Run, clip: Path, tmp_path: Path) -> None:
    message = refusal(find("clip.mp4", "-o", "out", "--json", "out/clip.mp4"), 2)
    assert message.endswith("is a file that this run writes itself: choose another file for the records (--json)")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_does_nothing(find: Run, clip: Path, tmp_path: Path) -> None:
    result = success(find("clip.mp4", "--dry-run"))
    assert "1 video" in result.stderr
    assert "clip.mp4 -> mrcnn-out" in result.stderr
    assert not (tmp_path / "mrcnn-out").exists()


def test_progress_for_programs(find: Run, clip: Path) -> None:
    result = find("clip.mp4", "--progress", "json", "-q")
    end = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")][-1]
    assert (end["event"], end["video"], end["frames"], end["done"]) == ("end", "clip.mp4", COUNT, COUNT)
    assert end["frames_per_second"] > 0


def test_tracks_go_into_the_records(find: Run, photos: Path, tmp_path: Path) -> None:
    arguments = ("--track", "--trail", "--counts", "--stats", "--save", "overlay,csv,jsonl")
    success(find("photos.mp4", "-o", "out", *arguments))
    with (tmp_path / "out" / "instances.csv").open(encoding="utf-8", newline="") as file:
        ids = [row["track_id"] for row in csv.DictReader(file)]
    assert any(ids)
    assert len(seen_by_opencv(tmp_path / "out" / "photos.mp4")) == 12


LONG = 160


@pytest.fixture
def long_run(start: Start, tmp_path: Path, tiny_graph: Path) -> Callable[..., Any]:
    """Starts, in the background, a run over a clip of 160 frames, of which 10 seconds are 20."""
    frames = [np.asarray(cv2.resize(stamp(number), (240, 160)), np.uint8) for number in range(LONG)]
    write_video(tmp_path / "long.mp4", frames, rate=2, sound="aac", options={"g": "10"})

    def begin(*arguments: str) -> Any:
        command = ["long.mp4", "-o", "out", "--save", "overlay,frames,csv,jsonl", *UNPAINTED, *arguments]
        return start(
            *command, env={"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_BACKEND": "cpu"}, stderr=subprocess.PIPE
        )

    return begin


def wait_for(condition: Callable[[], Any], process: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "the run was over before it could be ended"
        assert time.monotonic() < end
        time.sleep(0.01)


def parts(folder: Path) -> list[Path]:
    return sorted((folder / "out" / "long.mp4.parts").glob("0*.mp4"))


def has_more_parts(folder: Path, before: int) -> bool:
    return len(parts(folder)) > before


def check_complete(folder: Path) -> None:
    """No frame is lost, and none is there twice."""
    out = folder / "out"
    assert numbers(out / "long.mp4") == list(range(LONG))
    assert times_of(out / "long.mp4") == pytest.approx([number / 2 for number in range(LONG)], abs=1e-3)
    assert len(list((out / "long").glob("*.jpg"))) == LONG
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert [record["frame"] for record in records] == list(range(LONG))
    assert not (out / "long.mp4.parts").exists()
    assert not list(out.rglob("*.tmp"))
    with av.open(str(out / "long.mp4")) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) / 48_000 == pytest.approx(LONG / 2, abs=0.2)


@ON_POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.long
def test_ended_by_the_user_it_leaves_a_video_and_goes_on_later(
    long_run: Any, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = long_run()
    wait_for(lambda: len(parts(tmp_path)) >= 1, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert b"Traceback" not in stderr
    assert b"the same command with --resume goes on" in stderr
    there = numbers(tmp_path / "out" / "long.mp4")
    assert 20 <= len(there) < LONG
    assert there == list(range(len(there)))
    with av.open(str(tmp_path / "out" / "long.mp4")) as file:
        sound = sum(frame.samples for frame in file.decode(audio=0)) / 48_000
    assert sound == pytest.approx(len(there) / 2, abs=0.2)
    process = long_run("--resume")
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == 0, stderr
    assert f"{LONG} frames, {len(there)} of them done before".encode() in stderr
    check_complete(tmp_path)


@pytest.mark.long
@ON_POSIX
def test_killed_at_any_moment_all_finished_parts_play_and_resume_ends_the_work(long_run: Any, tmp_path: Path) -> None:
    moments = random.Random(7)
    for _ in range(2):
        before = len(parts(tmp_path))
        process = long_run("--resume", "-q")
        wait_for(partial(has_more_parts, tmp_path, before), process)
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.communicate()
        there = [number for path in parts(tmp_path) for number in numbers(path)]
        assert there == list(range(len(there)))
        assert len(there) >= 20 * (before + 1)
    process = long_run("--resume", "-q")
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == 0, stderr
    check_complete(tmp_path)


@pytest.mark.long
@ON_POSIX
def test_a_second_signal_ends_it_at_once_and_keeps_what_is_done(long_run: Any, tmp_path: Path) -> None:
    process = long_run()
    wait_for(lambda: len(parts(tmp_path)) >= 1, process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in stderr
    assert all(numbers(path) for path in parts(tmp_path))


def test_what_is_done_is_not_done_again_and_other_options_are_refused(find: Run, clip: Path, tmp_path: Path) -> None:
    success(find("clip.mp4", "-q", "--resume"))
    out = tmp_path / "mrcnn-out" / "clip.mp4"
    before = out.stat().st_mtime_ns
    result = success(find("clip.mp4", "--resume"))
    assert "clip.mp4 was done before" in result.stderr
    assert out.stat().st_mtime_ns == before
    for changed, said in (
        (["--score", "0.7"], "score was 0.5, is 0.7"),
        (["--stride", "2"], "stride was 1, is 2"),
        (["--codec", "mpeg4"], 'codec was "h264", is "mpeg4"'),
    ):
        assert said in refusal(find("clip.mp4", "--resume", "-q", *changed), 2)
    write_video(clip, STAMPS[:5], rate=12)
    assert "the run in mrcnn-out was another one (sources" in refusal(find("clip.mp4", "--resume", "-q"), 2)
    assert out.stat().st_mtime_ns == before


def test_a_result_that_is_gone_is_made_again(find: Run, clip: Path, tmp_path: Path) -> None:
    success(find("clip.mp4", "-q", "--resume", *UNPAINTED))
    (tmp_path / "mrcnn-out" / "clip.mp4").unlink()
    success(find("clip.mp4", "-q", "--resume", *UNPAINTED))
    assert numbers(tmp_path / "mrcnn-out" / "clip.mp4") == list(range(COUNT))


def test_a_journal_of_nonsense_is_no_harm(find: Run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "mrcnn-out"
    out.mkdir()
    nonsense = ["{", "[]", "null", '{"kind":"video"}', '{"kind":"stretch","place":"clip.mp4","last":[]}', "\x00"]
    (out / ".mrcnn-cv-videos.jsonl").write_text("\n".join(nonsense))
    success(find("clip.mp4", "-q", "--resume", *UNPAINTED))
    assert numbers(out / "clip.mp4") == list(range(COUNT))


@pytest.mark.long
def test_where_the_parts_could_not_be_joined_resume_joins_them(
    clip: Path, tmp_path: Path, tiny_graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    arguments = ["clip.mp4", "--model", str(tiny_graph), "--resume", "-q", *UNPAINTED]
    with monkeypatch.context() as patch:
        patch.setattr("mrcnn_cv.outputs.video.writer.concat", full)
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
    assert ended.value.code == 6
    assert names_in(tmp_path / "mrcnn-out") == {"clip.mp4.parts"}
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 0
    assert names_in(tmp_path / "mrcnn-out") == {"clip.mp4"}
    assert numbers(tmp_path / "mrcnn-out" / "clip.mp4") == list(range(COUNT))


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_over_ten_thousand_frames(program: str, tmp_path: Path, tiny_graph: Path) -> None:
    write_video(tmp_path / "long.mp4", [stamp(number % 256) for number in range(10_000)])
    sizes = []
    arguments = [program, "long.mp4", "-q", "--model", str(tiny_graph), "--track", "--trail"]
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL)
    while process.poll() is None:
        time.sleep(0.2)
        status = Path(f"/proc/{process.pid}/statm")
        sizes.append(int(status.read_text().split()[1]) if status.exists() else 0)
    assert process.returncode == 0
    early, late = (max(sizes[len(sizes) * start // 10 : len(sizes) * end // 10]) for start, end in ((1, 3), (7, 9)))
    assert late < 1.1 * early
    assert len(seen_by_opencv(tmp_path / "mrcnn-out" / "long.mp4")) == 10_000
