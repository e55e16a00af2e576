"""`mrcnn-cv models export`: what a user sees of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_everyday_path(run: Run, tmp_path: Path, photo_path: Path, tiny_graph: Path) -> None:
    done = run("models", "export", tiny_graph, "-o", "out")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stderr.splitlines() if "warning" not in line] == [
        os.path.join("out", name)
        for name in ("backbone.onnx", "box_head.onnx", "mask_head.onnx", "README.md", "model.json")
    ]
    assert done.stdout == ""
    found = [
        run(photo_path, "--model", model, "--backend", "cpu", "--json", "-", "-q", "-o", f"of {number}")
        for number, model in enumerate((tiny_graph, Path("out"), Path("out") / "model.json"))
    ]
    assert [each.returncode for each in found] == [0, 0, 0], found
    assert len({each.stdout.count('"class_id"') for each in found}) == 1
    assert '"class_id"' in found[0].stdout


def test_a_name_will_do_and_quiet_is_quiet(run: Run, tmp_path: Path) -> None:
    done = run("models", "export", "demo", "-o", "out", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out" / "model.json").is_file()


def test_exit_codes(run: Run, tmp_path: Path) -> None:
    assert run("models", "export", "demo", "-o", "out").returncode == 0
    again = run("models", "export", "demo", "-o", "out")
    assert again.returncode == 6
    assert "choose another output folder, or allow overwriting (-o or --overwrite)" in again.stderr
    assert run("models", "export", "demo", "-o", "out", "--overwrite").returncode == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert run("models", "export", "demo", "-o", "mine", "--overwrite").returncode == 6
    (tmp_path / "file").touch()
    assert run("models", "export", "demo", "-o", "file").returncode == 6
    assert run("models", "export", "demo", "-o", Path("file") / "out").returncode == 6
    missing = run("models", "export", "demo")
    assert missing.returncode == 2
    assert "give -o DIR" in missing.stderr
    assert run("models", "export", "nothing.pb", "-o", "new").returncode == 3
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="folders are not read-only for everybody")
def test_a_folder_that_is_read_only(run: Run, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = run("models", "export", "demo", "-o", Path("locked") / "out")
    assert done.returncode == 6
    assert "permission denied" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_full_disk(run: Run, tmp_path: Path) -> None:
    """As a limit on the size of files, which ends a write in the middle of a net."""
    import resource
    import signal

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = run("models", "export", "demo", "-o", "out", preexec_fn=limited)
    assert done.returncode == 6, done.stderr
    assert "out" in done.stderr
    assert not (tmp_path / "out").exists()


def test_help_is_quick() -> None:
    """Neither numpy nor OpenCV is loaded for it."""
    code = (
        "import sys; from mrcnn_cv import cli; cli._run(['models', 'export', '--help']); "
        "sys.exit(bool({'numpy', 'cv2', 'google.protobuf'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
