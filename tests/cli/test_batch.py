"""Folders of images: every file is accounted for, whatever happens in between."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, Start, refusal, success
from tests.support.rows import sampled

ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def tree(tmp_path: Path, photo_path: Path) -> Path:
    """Four good images in folders, one that is none, one file that is no image by its name."""
    folder = tmp_path / "in"
    for name in ("a/img2.png", "a/img10.png", "b/img2.png", "top.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo_path, folder / name)
    (folder / "b" / "bad.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("hello")
    return folder


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run.jsonl").read_bytes().splitlines() if line]


def done_places(folder: Path) -> list[str]:
    return [entry["place"] for entry in manifest(folder) if entry.get("status") == "done"]


def files_in(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".mrcnn-cv"))
    return {path.relative_to(folder).as_posix() for path in paths}


BOOKS = {"run.jsonl", "summary.json", "failures.csv"}
OVERLAYS = {"a/img2.png", "a/img10.png", "b/img2.png", "top.png"}


def test_a_folder_becomes_the_same_tree_of_outputs(find: Run, tree: Path, tmp_path: Path) -> None:
    result = find("in", "-o", "out", "--save", "overlay,json", "--workers", "2")
    assert result.returncode == 5
    out = tmp_path / "out"
    assert files_in(out) == OVERLAYS | {f"{name}.json" for name in OVERLAYS} | BOOKS
    assert done_places(out) == ["top.png", "a/img2.png", "a/img10.png", "b/img2.png"]
    head, *pictures, end = manifest(out)
    assert head["kind"] == "run"
    assert head["sources"] == ["in"]
    assert len(head["model"]["sha256"]) == 64
    assert head["versions"]["opencv"]
    assert head["options"]["save"] == ["overlay", "json"]
    assert (end["kind"], end["exit_code"]) == ("end", 5)
    sizes = {path: size for entry in pictures for path, size in entry.get("files", ())}
    assert sizes == {name: (out / name).stat().st_size for name in files_in(out) - BOOKS}
    with (out / "failures.csv").open(encoding="utf-8-sig", newline="") as file:
        (failure,) = csv.DictReader(file)
    assert failure["place"] == "b/bad.jpg"
    assert "is not an image" in failure["reason"]
    summary = json.loads((out / "summary.json").read_bytes())
    assert (summary["pictures"], summary["done"], summary["failed"], summary["exit_code"]) == (5, 4, 1, 5)
    assert summary["instances"] == sum(summary["instances_by_class"].values()) > 0
    assert {"trunk", "box_head", "draw"} <= set(summary["stage_seconds"])
    lines = result.stderr.splitlines()
    assert any("b/bad.jpg is not an image" in line.replace("\\", "/") for line in lines)
    assert "5 images: 4 done, 1 failed (failures.csv says why)" in lines
    assert lines[-1] == "results in out"


def test_outputs_are_those_of_the_images_one_by_one(find: Run, tree: Path, tmp_path: Path) -> None:
    find("in", "-o", "out", "--save", "json", "-q")
    success(find("in/top.png", "-o", "single", "--save", "json"))
    ours, theirs = (json.loads((tmp_path / where / "top.png.json").read_bytes()) for where in ("out", "single"))
    assert ours["instances"] == theirs["instances"]


def test_a_folder_with_a_batch_run_is_not_run_into_again(find: Run, tree: Path) -> None:
    find("in", "-o", "out", "-q")
    message = refusal(find("in", "-o", "out", "-q"), 2)
    assert "--resume" in message
    assert "--overwrite" in message
    refusal(find("in/top.png", "-o", "out", "-q"), 2)


def test_resume_does_what_is_left_and_retries_what_failed(
    find: Run, tree: Path, tmp_path: Path, photo_path: Path
) -> None:
    out = tmp_path / "out"
    find("in", "-o", "out", "-q")
    before = {name: (out / name).stat().st_mtime_ns for name in OVERLAYS}
    (out / "a" / "img2.png").unlink()
    shutil.copy(photo_path, tree / "b" / "bad.jpg")
    (out / "b" / "img2.png").write_bytes(b"somebody's work")
    result = find("in", "-o", "out", "--resume")
    assert result.returncode == 6
    assert "b/img2.png exists and is not an unchanged output" in result.stderr.replace("\\", "/")
    assert "5 images: 2 done, 2 were done before, 1 failed (failures.csv says why)" in result.stderr
    assert (out / "b" / "img2.png").read_bytes() == b"somebody's work"
    result = success(find("in", "-o", "out", "--resume", "--overwrite"))
    assert "5 images: 1 done, 4 were done before" in result.stderr
    after = {name: (out / name).stat().st_mtime_ns for name in OVERLAYS}
    assert {name for name in OVERLAYS if before[name] == after[name]} == {"a/img10.png", "top.png"}
    assert "b/bad.jpg" in files_in(out)
    summary = json.loads((out / "summary.json").read_bytes())
    assert (summary["done"], summary["kept"], summary["failed"], summary["failures"]) == (1, 4, 0, [])
    assert len((out / "failures.csv").read_text("utf-8-sig").splitlines()) == 1


def test_resume_with_nothing_to_resume_is_a_run(find: Run, tree: Path, tmp_path: Path) -> None:
    assert find("in", "-o", "out", "-q", "--resume").returncode == 5
    assert len(done_places(tmp_path / "out")) == 4


@pytest.mark.parametrize(
    ("changed", "said"),
    sampled(
        [
            (["--score", "0.7"], "score was 0.5, is 0.7"),
            (["--save", "json"], 'save was ["overlay"], is ["json"]'),
            (["--model", "{demo}"], "sha256 was"),
        ],
        3,
    ),
)
def test_another_run_is_not_resumed(
    find: Run, tree: Path, tmp_path: Path, graphs: Path, changed: list[str], said: str
) -> None:
    find("in", "-o", "out", "-q")
    arguments = [text.format(demo=graphs / "tiny_faster_rcnn" / "frozen_inference_graph.pb") for text in changed]
    result = find("in", "-o", "out", "-q", "--resume", *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert len(done_places(tmp_path / "out")) == 4


def test_overwrite_starts_anew(find: Run, tree: Path, tmp_path: Path) -> None:
    find("in", "-o", "out", "-q")
    assert find("in", "-o", "out", "-q", "--overwrite", "--score", "0.7").returncode == 5
    entries = manifest(tmp_path / "out")
    assert [entry["kind"] for entry in entries].count("run") == 1
    assert entries[0]["options"]["score"] == 0.7


def test_outputs_among_the_images_are_not_taken_for_images(find: Run, tree: Path, tmp_path: Path) -> None:
    find("in", "-o", "in/found", "-q")
    result = find("in", "-o", "in/found", "--resume")
    assert "5 images: 0 done, 4 were done before, 1 failed" in result.stderr
    # Another output folder, and the first one's images are known as ours.
    result = find("in", "-o", "elsewhere")
    assert "5 images: 4 done, 1 failed" in result.stderr


def test_limits_on_failures(find: Run, tree: Path, tmp_path: Path) -> None:
    for number in range(30):
        (tree / f"bad{number}.jpg").write_bytes(b"no image")
    result = find("in", "-o", "out", "--fail-fast")
    assert result.returncode == 5
    assert "too many images failed" in result.stderr
    assert json.loads((tmp_path / "out" / "summary.json").read_bytes())["failed"] < 12
    result = find("in", "-o", "out2", "--max-failures", "31")
    assert "too many images failed" not in result.stderr
    result = find("in", "-o", "out2", "--resume")
    assert result.stderr.count("is not an image") == 20
    assert "more failures are not shown here; failures.csv lists them all" in result.stderr


def test_a_dry_run_does_nothing(find: Run, tree: Path, tmp_path: Path) -> None:
    result = success(find("in", "-o", "out", "--dry-run"))
    assert "5 images, 5 to do" in result.stderr
    assert "1 other files are skipped" in result.stderr
    assert not (tmp_path / "out").exists()


def test_progress_for_programs(find: Run, tree: Path) -> None:
    result = find("in", "-o", "out", "--progress", "json", "-q")
    events = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert events[-1]["event"] == "end"
    assert (events[-1]["pictures"], events[-1]["done"], events[-1]["failed"]) == (5, 4, 1)


def test_options_from_a_file(find: Run, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "mrcnn-cv.toml").write_text('score = 0.7\nsave = ["json"]\nexclude-files = "b/*"\nquiet = true\n')
    success(find("in", "-o", "out"))
    head = manifest(tmp_path / "out")[0]
    assert (head["options"]["score"], head["options"]["save"]) == (0.7, ["json"])
    assert set(done_places(tmp_path / "out")) == OVERLAYS - {"b/img2.png"}
    # The command line and the environment count more.
    success(find("in", "-o", "out2", "--score", "0.6", env={"MRCNN_CV_SAVE": "overlay"}))
    head = manifest(tmp_path / "out2")[0]
    assert (head["options"]["score"], head["options"]["save"]) == (0.6, ["overlay"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scores = 0.7", "sets 'scores', but there is no option --scores: did you mean score?"),
        ("score = 7", "--score in the configuration file must be a number from 0 to 1"),
        ("score = [", "is not valid TOML"),
        ("score = {a = 1}", "gives 'score' a value"),
    ],
)
def test_a_file_of_options_that_cannot_be_meant(find: Run, tree: Path, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "our.toml").write_text(text)
    assert said in refusal(find("in", "--config", "our.toml"), 2)
    assert "gone.toml cannot be read" in refusal(find("in", "--config", "gone.toml"), 2)


@pytest.mark.skipif(sys.platform == "win32", reason="links need permission there")
def test_a_link_that_cannot_be_followed_is_skipped_and_told(find: Run, tree: Path, tmp_path: Path) -> None:
    (tree / "b" / "bad.jpg").unlink()
    (tree / "b" / "loop").symlink_to("loop")
    assert "2 other files are skipped" in success(find("in", "-o", "out", "--dry-run")).stderr
    assert "4 images: 4 done, 1 skipped (summary.json says why)" in success(find("in", "-o", "out")).stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_bytes())
    assert [entry["name"] for entry in summary["skipped"]] == [os.path.join("in", "b", "loop")]
    (tmp_path / "out" / "b" / "img2.png").unlink()
    result = success(find("in", "-o", "out", "--resume"))
    assert "4 images: 1 done, 3 were done before, 1 skipped" in result.stderr


@pytest.fixture
def long_run(start: Start, tmp_path: Path, photo_path: Path, tiny_graph: Path) -> Any:
    """Starts, in the background, a run over 60 images."""
    folder = tmp_path / "in"
    for number in range(60):
        path = folder / f"{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo_path, path)

    def begin(*more: str) -> Any:
        arguments = ["in", "-o", "out", "--save", "overlay,json", *more]
        return start(
            *arguments, env={"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_BACKEND": "cpu"}, stderr=subprocess.PIPE
        )

    return begin


def wait_for(path: Path, lines: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.exists() and len(path.read_bytes().splitlines()) >= lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} never had {lines} lines")


@pytest.mark.long
@ON_POSIX
def test_killed_at_any_moment_a_run_is_resumed_to_its_end(find: Run, long_run: Any, tmp_path: Path) -> None:
    random_moments = random.Random(5)
    out = tmp_path / "out"
    for _ in range(5):
        process = long_run("--resume", "-q")
        time.sleep(random_moments.uniform(0.3, 1.6))
        process.kill()
        process.communicate()
        for path in out.rglob("*.json") if out.exists() else ():
            json.loads(path.read_bytes())
    process = long_run("--resume", "-q")
    process.communicate()
    assert process.returncode == 0
    places = done_places(out)
    assert len(set(places)) == 60
    assert len(files_in(out)) == 2 * 60 + 2
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["done"] + summary["kept"] == 60
    # The last run has removed what those before it had half written.
    assert not list(out.rglob("*.tmp"))


@ON_POSIX
def test_ctrl_c_finishes_what_is_in_work(find: Run, long_run: Any, tmp_path: Path) -> None:
    process = long_run()
    wait_for(tmp_path / "out" / "run.jsonl", 4)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    text = stderr.decode()
    assert "finishing the images in work; once more stops at once" in text
    assert "the same command with --resume goes on" in text
    assert "Traceback" not in text
    out = tmp_path / "out"
    done = set(done_places(out))
    assert 3 <= len(done) < 60
    assert files_in(out) - {"run.jsonl", "summary.json"} == done | {f"{place}.json" for place in done}
    assert manifest(out)[-1]["exit_code"] == 130


@ON_POSIX
def test_twice_stops_at_once(long_run: Any, tmp_path: Path) -> None:
    process = long_run()
    wait_for(tmp_path / "out" / "run.jsonl", 3)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in stderr
    assert b"terminate" not in stderr


@pytest.mark.skipif(
    sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="needs SIGHUP, not ignored"
)
def test_a_terminal_that_closes_ends_a_run_in_order(long_run: Any, tmp_path: Path) -> None:
    process = long_run()
    wait_for(tmp_path / "out" / "run.jsonl", 3)
    # Shell and terminal say so both.
    process.send_signal(signal.SIGHUP)
    while b"finishing the images in work" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 129
    out = tmp_path / "out"
    assert manifest(out)[-1]["exit_code"] == 129
    done = done_places(out)
    assert 1 <= len(done) < 60
    assert files_in(out) - {"run.jsonl", "summary.json"} == {*done, *(f"{place}.json" for place in done)}


@ON_POSIX
def test_watching_takes_what_arrives(start: Start, tmp_path: Path, photo_path: Path, tiny_graph: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(photo_path, folder / "first.png")
    for name in ("loop", "loop.png"):
        (folder / name).symlink_to(name)
    process = start(
        "in", "-o", "out", "--watch", "-q", env={"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_BACKEND": "cpu"}
    )
    try:
        wait_for(tmp_path / "out" / "run.jsonl", 2)
        data = photo_path.read_bytes()
        with (folder / "slow.png").open("wb", buffering=0) as file:
            for start_at in range(0, len(data), len(data) // 4 + 1):
                file.write(data[start_at : start_at + len(data) // 4 + 1])
                time.sleep(0.4)
        wait_for(tmp_path / "out" / "run.jsonl", 3)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert done_places(tmp_path / "out") == ["first.png", "slow.png"]
    assert [entry.get("status") for entry in manifest(tmp_path / "out")].count("failed") == 0


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs folders that may not be written")
def test_a_folder_that_cannot_be_written(find: Run, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "no permission" in refusal(find("in", "-o", "locked", "-q"), 6)


def test_no_password_goes_into_an_output_and_resume_finds_what_is_done(find: Run, tree: Path, tmp_path: Path) -> None:
    arguments = ["in/top.png", "-o", "out", "--resume", "--json", "all.jsonl", "--save", "overlay,json,csv,coco"]
    result = find("http://me:hunter2@127.0.0.1:1/x.png?token=hunter2", *arguments)
    assert result.returncode == 5
    assert "http://me:***@127.0.0.1:1/x.png?token=*** cannot be fetched" in result.stderr
    # The same image with another signature.
    again = find("http://me:hunter3@127.0.0.1:1/x.png?token=hunter3", *arguments)
    assert "1 failed" in again.stderr
    assert done_places(tmp_path / "out") == ["top.png"]
    written = [path.read_bytes() for path in (tmp_path / "all.jsonl", *(tmp_path / "out").rglob("*")) if path.is_file()]
    assert b"http://me:***@127.0.0.1:1/x.png?token=***" in b"".join(written)
    assert b"hunter" not in b"".join(written) + (result.stderr + again.stderr).encode()


def test_images_from_a_server(find: Run, tmp_path: Path, photo_path: Path) -> None:
    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/ok"):
                self.send_response(200)
                self.send_header("Content-Length", str(photo_path.stat().st_size))
                self.end_headers()
                self.wfile.write(photo_path.read_bytes())
            elif self.path.startswith("/short"):
                self.send_response(200)
                self.send_header("Content-Length", "100000")
                self.end_headers()
                self.wfile.write(photo_path.read_bytes()[:1000])
            else:
                self.send_error(404, "Not Found")

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        result = find(f"{address}/ok/photo.png", f"{address}/gone.png", f"{address}/short.png", env={"no_proxy": "*"})
        server.shutdown()
    assert result.returncode == 5
    assert f"{address}/gone.png cannot be fetched: the server answers 404 Not Found" in result.stderr
    assert f"{address}/short.png" in result.stderr
    assert files_in(tmp_path / "mrcnn-out") == {"photo.png"}


def test_an_image_on_standard_input(find: Run, tmp_path: Path, photo_path: Path) -> None:
    with photo_path.open("rb") as file:
        result = success(find("-", "--json", "-", stdin=file))
    assert json.loads(result.stdout)["source"] == "-"
    assert files_in(tmp_path / "mrcnn-out") == {"stdin.png"}
