"""Names, streams, signals, locales and an OpenCV that does not load: the program in the places where it is run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mrcnn_cv import cli
from tests.cli.conftest import Run, Start, execute, names_in, refusal, success
from tests.conftest import read_image
from tests.support.rows import sampled

on_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX names, signals and streams")


@on_posix
def test_file_names_of_every_kind(find: Run, tmp_path: Path, photo_path: Path) -> None:
    names = [
        "two words.png",
        "照片.png",
        "new\nline.png",
        "red\x1b[31m\x07.png",
        "-x.png",
        "--help.png",
        "'quoted\" $HOME.png",
        os.fsdecode(b"caf\xe9.png"),
        ".hidden.png",
        "no-suffix",
    ]
    for name in names:
        shutil.copy(photo_path, tmp_path / name)
    for env in ({}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}):
        result = success(find("--save", "overlay,json", "--json", "-", "--", *names, env=env))
        assert [json.loads(line)["source"] for line in result.stdout.split("\n")[:-1]] == names
        # One line per image whatever its name is, and nothing in it that a terminal would obey.
        lines = result.stderr.split("\n")[:-1]
        assert len(lines) == len(names) + 1
        assert all(line.isprintable() for line in lines)
    written = {path.name for path in (tmp_path / "mrcnn-out").iterdir()}
    assert {*names[:-1], "no-suffix.png", *(f"{name}.json" for name in names)} <= written


def test_a_name_with_escapes_in_an_error(find: Run, photo_path: Path) -> None:
    cases: list[tuple[list[str | Path], int]] = [
        (["no\x1b[31m.png", "-q"], 5),
        ([photo_path, "--model", "no\x1b]0;x\x07.pb"], 3),
        (["--no\x1b[31m"], 2),
    ]
    for arguments, code in cases:
        result = find(*arguments)
        assert result.returncode == code
        assert "\x1b" not in result.stderr
        assert "\x07" not in result.stderr


def test_from_another_folder(find: Run, tmp_path: Path, photo_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    relative = os.path.relpath(photo_path, tmp_path / "elsewhere")
    success(find(relative, "-o", "../results", cwd=tmp_path / "elsewhere"))
    assert names_in(tmp_path / "results") == {"coffee.png"}


@on_posix
def test_from_a_folder_that_is_gone(program: str, tmp_path: Path) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && "$0" photo.png'
    assert "current folder" in refusal(execute(["sh", "-c", script, program], None, cwd=tmp_path), 2)


@on_posix
def test_closed_streams(program: str, tmp_path: Path, tiny_graph: Path, labels_path: Path, photo_path: Path) -> None:
    env = {"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_LABELS": str(labels_path), "MRCNN_CV_BACKEND": "cpu"}

    def shell(arguments: str) -> tuple[int, str]:
        script = f'"$0" "$1" {arguments}'
        result = execute(["sh", "-c", script, program, photo_path], env, cwd=tmp_path)
        return result.returncode, result.stderr

    assert shell("-q <&-") == (0, "")
    assert shell("-q >&-") == (0, "")
    assert shell("2>&-") == (0, "")
    assert shell("--json lines.jsonl <&- >&- 2>&-") == (0, "")
    assert json.loads((tmp_path / "lines.jsonl").read_text(encoding="utf-8"))["width"] == 240
    code, message = shell("--json - >&-")
    assert code == 6
    assert "standard output is closed" in message
    assert message.count("\n") == 1


@on_posix
def test_reader_that_wants_one_line(start: Start, tiny_graph: Path, labels_path: Path, photo_path: Path) -> None:
    env = {"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_LABELS": str(labels_path), "MRCNN_CV_BACKEND": "cpu"}
    command: list[str | Path] = [*[photo_path] * 500, "--save", "none", "--json", "-", "-q"]
    process = start(*command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process.stderr:
        with process.stdout:
            json.loads(process.stdout.readline())
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@on_posix
def test_reader_of_help_and_tables_that_goes_away(program: str, tmp_path: Path) -> None:
    for arguments in ("--help", "backends"):
        script = f'{{ "$0" {arguments}; echo $? >&2; }} | true'
        assert execute(["sh", "-c", script, program], None, cwd=tmp_path).stderr == "0\n"


@pytest.mark.parametrize("as_module", [False, True])
def test_ctrl_c_while_the_program_is_still_starting(program: str, tmp_path: Path, as_module: bool) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    command = [sys.executable, "-m", "mrcnn_cv"] if as_module else [program]
    result = execute([*command, "photo.png"], {"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert result.returncode == 130
    assert result.stderr == "mrcnn-cv: interrupted; what was written so far is complete\n"


@on_posix
@pytest.mark.parametrize(("number", "code"), sampled([(signal.SIGINT, 130), (signal.SIGTERM, 143)], 2))
def test_interrupted(
    start: Start,
    find: Run,
    tmp_path: Path,
    tiny_graph: Path,
    labels_path: Path,
    photo_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    names = [f"{index:03}.png" for index in range(600)]
    for name in names:
        os.link(shutil.copy(photo_path, tmp_path / "first.png"), tmp_path / name)
    arguments = ["--save", "overlay,json", "--json", "all.jsonl"]
    env = {"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_LABELS": str(labels_path), "MRCNN_CV_BACKEND": "cpu"}
    process = start(*names, *arguments, env=env, stderr=subprocess.PIPE)
    with process.stderr:
        for _ in range(5):
            assert b"4 instances" in process.stderr.readline()
        process.send_signal(number)
        rest = process.stderr.read().decode().splitlines()
        assert process.wait(60) == code
    assert rest[-1] == "mrcnn-cv: interrupted; what was written so far is complete"
    assert any("results in mrcnn-out and all.jsonl" in line for line in rest)
    assert "Traceback" not in "".join(rest)
    written = names_in(tmp_path / "mrcnn-out")
    assert 10 <= len(written) < 1200
    assert not list((tmp_path / "mrcnn-out").glob(".*.tmp"))
    for name in written:
        path = tmp_path / "mrcnn-out" / name
        if name.endswith(".json"):
            json.loads(path.read_text(encoding="utf-8"))
        else:
            assert read_image(path).shape == (160, 240, 3)
    for line in (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines():
        json.loads(line)
    # All of it is known as ours: the next run replaces it.
    success(find(names[0], *arguments))


@pytest.fixture
def without_opencv(tmp_path: Path) -> dict[str, str]:
    """An environment in which OpenCV cannot be loaded, as on a server without libGL."""
    (tmp_path / "broken").mkdir()
    reason = "libGL.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "broken" / "cv2.py").write_text(f"raise ImportError('{reason}')\n")
    return {"PYTHONPATH": str(tmp_path / "broken")}


@pytest.mark.parametrize("name", ["tr_TR.UTF-8", pytest.param("az_AZ.UTF-8", marks=pytest.mark.long)])
def test_letters_of_a_locale_decide_nothing(
    program: str, tmp_path: Path, photo_path: Path, tiny_graph: Path, labels_path: Path, name: str
) -> None:
    """OpenVINO knows none of its names where "i" has another capital letter."""
    is_there = f"import locale; locale.setlocale(locale.LC_CTYPE, {name!r}); assert 'I' == 'i'.upper()"
    if execute([sys.executable, "-c", is_there], None, cwd=tmp_path).returncode != 0:
        pytest.skip(f"the locale {name} is not installed")
    lines = {}
    for locale_name in (name, "C.UTF-8"):
        command: list[str | Path] = [program, photo_path, "--model", tiny_graph, "--labels", labels_path]
        command += ["--save", "none", "--json", "-"]
        done = execute(command, {"LC_ALL": locale_name}, cwd=tmp_path)
        lines[locale_name] = json.loads(success(done).stdout)
        del lines[locale_name]["timings_ms"]
    assert lines[name] == lines["C.UTF-8"]
    backends = success(execute([program, "backends", "--json"], {"LC_ALL": name}, cwd=tmp_path)).stdout
    assert backends == success(execute([program, "backends", "--json"], None, cwd=tmp_path)).stdout


def test_opencv_that_cannot_be_imported(find: Run, photo_path: Path, without_opencv: dict[str, str]) -> None:
    for arguments in ([photo_path], ["predict", photo_path, "--json", "-"], ["backends"]):
        message = refusal(find(*arguments, env=without_opencv), 4)
        assert "libGL.so.1" in message
        assert "libgl1" in message
        assert "opencv-python-headless" in message
    assert "--score" in success(find("--help", env=without_opencv)).stdout
    success(find("--version", env=without_opencv))
    refusal(find(photo_path, "--bogus", env=without_opencv), 2)


_REGISTERED = (
    "import atexit, sys; atexit.register(print, 'late'); from mrcnn_cv import cli; sys.argv = ['x', '--version']; "
)


def test_it_ends_without_taking_everything_down() -> None:
    """Nets and libraries go with the process."""
    ended = subprocess.run([sys.executable, "-c", _REGISTERED + "cli.main()"], capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stdout.startswith("mrcnn-cv ")
    assert "late" not in ended.stdout
    # Not where somebody else's program goes on.
    ended = subprocess.run(
        [sys.executable, "-c", _REGISTERED + "cli.main(['--version'])"], capture_output=True, text=True
    )
    assert ended.stdout.endswith("late\n")


def test_a_profiler_sees_the_end(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    command = [sys.executable, "-m", "cProfile", "-o", str(profile), "-m", "mrcnn_cv", "--version"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert profile.stat().st_size > 0


def test_as_a_module(tmp_path: Path) -> None:
    result = execute([sys.executable, "-m", "mrcnn_cv", "photo.jpg", "--bogus"], None, cwd=tmp_path)
    assert "(see mrcnn-cv predict --help)" in refusal(result, 2)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files", "x"),
        ImportError(f"resource.so: {os.strerror(errno.EMFILE)}"),
    ],
)
def test_no_file_left_to_open(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    assert cli._run([]) == 4
    assert capfd.readouterr().err.startswith("mrcnn-cv: error: no more files can be opened")
