"""Jobs called from Python: typed results, observers, cancellation; nothing is printed, no signal taken over."""

from __future__ import annotations

import shutil
import signal
import threading
from pathlib import Path

import pytest

from mrcnn_cv import MrcnnCvError
from mrcnn_cv.errors import UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.jobs import (
    CancellationToken,
    DetectionOptions,
    ImageSelection,
    JobObserver,
    ModelOptions,
    OutputOptions,
    RunOptions,
    Severity,
    Style,
    annotate_images,
    compare,
    inspect,
    plan_images,
)
from mrcnn_cv.pipeline import FrameResult
from mrcnn_cv.structures.frame import FrameError


class Notes(JobObserver):
    """Writes down what happens."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def message(self, severity: Severity, text: str) -> None:
        self.events.append(f"{severity.value}: {text}")

    def model_loaded(self, model: MaskRCNN) -> None:
        self.events.append(f"model {model.path.name}")

    def run_started(self) -> None:
        self.events.append("started")

    def done(self, done: FrameResult) -> None:
        self.events.append(f"done {Path(done.frame.name).name}")

    def failed(self, failed: FrameError) -> None:
        self.events.append(f"failed {Path(failed.name).name}")

    def run_ended(self, outputs: object) -> None:
        self.events.append("ended")


@pytest.fixture
def folder(tmp_path: Path, photo_path: Path) -> Path:
    """Three images and a file that is none."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        shutil.copy(photo_path, folder / f"{number}.png")
    (folder / "bad.png").write_text("no image")
    return folder


def test_a_batch(folder: Path, tiny_graph: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    notes = Notes()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    output = OutputOptions(tmp_path / "out", formats=("overlay", "coco"))
    result = annotate_images(folder, tiny_graph, output=output, run=RunOptions(workers=1), observer=notes)
    assert (result.statistics.done_count, result.statistics.failed_count, result.exit_code) == (3, 1, 5)
    assert result.can_resume
    assert not result.is_cancelled
    assert result.outputs == (str(tmp_path / "out"),)
    assert (tmp_path / "out" / "annotations.json").is_file()
    assert notes.events == [
        *("model frozen_inference_graph.pb", "started", "done 0.png", "done 1.png", "done 2.png", "failed bad.png"),
        "ended",
    ]
    assert capfd.readouterr() == ("", "")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_it_is_cancelled_and_goes_on(folder: Path, tiny_graph: Path, tmp_path: Path) -> None:
    token = CancellationToken()

    class Impatient(JobObserver):
        def done(self, done: FrameResult) -> None:
            # From another thread, as a window would.
            thread = threading.Thread(target=token.cancel, args=(7,))
            thread.start()
            thread.join()

    output = OutputOptions(tmp_path / "out", formats=("json",))
    options = ModelOptions(tiny_graph, backend="cpu")
    first = annotate_images(
        folder, options, output=output, run=RunOptions(workers=1), observer=Impatient(), cancellation=token
    )
    assert (first.is_cancelled, first.exit_code) == (True, 7)
    assert 1 <= first.statistics.done_count < 4
    plan = plan_images(folder, options, output=output, run=RunOptions(resume=True))
    assert (plan.images, len(plan.remaining)) == (4, 4 - first.statistics.done_count)
    rest = annotate_images(folder, options, output=output, run=RunOptions(resume=True))
    assert (rest.statistics.kept, rest.statistics.failed_count) == (first.statistics.done_count, 1)


def test_one_that_is_cancelled_before_it_begins_does_nothing(folder: Path, tiny_graph: Path, tmp_path: Path) -> None:
    token = CancellationToken()
    token.cancel()
    output = OutputOptions(tmp_path / "out")
    result = annotate_images(folder, tiny_graph, output=output, cancellation=token)
    assert (result.statistics.done_count, result.exit_code) == (0, 130)


def test_an_observer_that_raises_ends_the_run_and_state_is_closed(
    folder: Path, tiny_graph: Path, tmp_path: Path
) -> None:
    class Broken(Notes):
        def done(self, done: FrameResult) -> None:
            raise ZeroDivisionError

    broken = Broken()
    output = OutputOptions(tmp_path / "out", formats=("json",))
    with pytest.raises(ZeroDivisionError):
        annotate_images(folder, tiny_graph, output=output, observer=broken)
    assert broken.events[-1] == "ended"
    # Neither locked nor lost.
    rest = annotate_images(folder, tiny_graph, output=output, run=RunOptions(resume=True))
    assert rest.statistics.done_count + rest.statistics.kept == 3


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"output": OutputOptions(formats=("frames",))}, UsageError, "the format frames is for videos"),
        ({"detection": DetectionOptions(exclude=("1", "2", "3"))}, UsageError, "every class is excluded"),
        ({"selection": ImageSelection(lists=("gone.txt",))}, UsageError, "gone.txt cannot be read"),
    ],
)
def test_what_does_not_fit_is_an_error_of_one_sentence(
    folder: Path,
    tiny_graph: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, object],
    error: type[MrcnnCvError],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=says):
        annotate_images(folder, tiny_graph, **options)  # type: ignore[arg-type]


def test_options_are_values() -> None:
    assert OutputOptions() == OutputOptions()
    assert hash(DetectionOptions(classes=("cup",))) == hash(DetectionOptions(classes=("cup",)))
    with pytest.raises(AttributeError):
        Style().opacity = 1  # type: ignore[misc]


def test_compare_and_inspect(folder: Path, tiny_graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notes = Notes()
    result = compare(tiny_graph, ModelOptions(tiny_graph, fast=True), folder, observer=notes)
    assert 0 <= result.agreement <= 1
    assert len(result.comparison.images) == 3
    assert any(event.startswith("error: ") and "bad.png" in event for event in notes.events)
    report = inspect(tiny_graph, image_size=(160, 240))
    assert report.image_size == (160, 240)
    assert [net.name for net in report.nets] == ["trunk", "box head", "mask head"]
    assert report.to_dict()["parameters"] == report.parameters


@pytest.mark.long
def test_a_run_is_the_same_with_its_names_in_another_order(folder: Path, tiny_graph: Path, tmp_path: Path) -> None:
    (folder / "bad.png").unlink()
    output = OutputOptions(tmp_path / "out", formats=("json", "overlay"))
    annotate_images(folder, tiny_graph, output=output, detection=DetectionOptions(classes=("1", "2")))
    again = OutputOptions(tmp_path / "out", formats=("overlay", "json"))
    resumed = RunOptions(resume=True)
    other = DetectionOptions(classes=("2", "1"))
    assert annotate_images(folder, tiny_graph, output=again, detection=other, run=resumed).statistics.kept == 3
    with pytest.raises(UsageError, match="classes was"):
        annotate_images(folder, tiny_graph, output=again, detection=DetectionOptions(classes=("2",)), run=resumed)
