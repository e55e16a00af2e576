"""What is said of a run, and what of it stays with -q: that something is missing from the result."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mrcnn_cv.cli.console.reporter import ConsoleReporter
from mrcnn_cv.inputs.video.file import VideoFile
from mrcnn_cv.jobs import ModelOptions, OutputOptions, annotate_video
from mrcnn_cv.pipeline import FrameResult
from tests.support.videos import stamp, write_video


class Removing(ConsoleReporter):
    """Takes the source away at the first frame."""

    def __init__(self, path: Path, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._path = path

    def done(self, done: FrameResult) -> None:
        self._path.unlink(missing_ok=True)
        super().done(done)


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed there")
@pytest.mark.parametrize("quiet", [False, True])
def test_sound_that_is_missing_is_told(
    tmp_path: Path, tiny_graph: Path, capfd: pytest.CaptureFixture[str], quiet: bool
) -> None:
    path = write_video(tmp_path / "clip.mp4", [stamp(number) for number in range(6)], sound="aac")
    output = OutputOptions(tmp_path / "out")
    result = annotate_video(
        path, ModelOptions(tiny_graph, backend="cpu"), output=output, observer=Removing(path, quiet)
    )
    assert result.exit_code == 0
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("mrcnn-cv: error")]
    assert said == [
        f"mrcnn-cv: error: {path} has sound that cannot be copied (the file is not there any more): the painted video"
        " has none"
    ]
    with VideoFile(os.fspath(tmp_path / "out" / "clip.mp4")) as written:
        assert not written.info.has_audio
