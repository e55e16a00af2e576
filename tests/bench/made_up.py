"""Made-up measurements."""

from __future__ import annotations

from collections.abc import Sequence

from mrcnn_cv.bench.candidate import Measurement, Startup
from mrcnn_cv.bench.results import BenchResults, Entry, Group
from mrcnn_cv.bench.steps import INFERENCE, STEPS


def ours(backend: str, *milliseconds: float, kept: int = 5, place: str = "CPU") -> Entry:
    """A candidate of mrcnn-cv whose steps all take as long."""
    runs = [Measurement(ms, dict.fromkeys(STEPS, ms / len(INFERENCE)), kept) for ms in milliseconds]
    startup = Startup(100.0, 200.0, {"backend": backend, "device": "a chip", "place": place})
    return Entry(f"mrcnn-cv {backend}", kept, startup, runs, 512.0)


def other(name: str, *milliseconds: float) -> Entry:
    """A candidate that tells no steps."""
    return Entry(name, None, Startup(1000.0, 2000.0, {"version": "2"}), [Measurement(ms) for ms in milliseconds])


def results(*entries: Entry, others: Sequence[Entry] = ()) -> BenchResults:
    """Of one group: 2 threads, an image of 600x400."""
    group = Group(2, (400, 600), (800, 1200), list(entries), list(others))
    machine = {"mrcnn_cv": "1", "opencv": "5", "numpy": "2", "python": "3", "processor": "a chip", "processors": 2}
    model = {"file": "m.pb", "bytes": 1, "architecture": "Mask R-CNN", "backbone": "ResNet", "classes": 1}
    return BenchResults(machine, {**model, "proposals": 100}, "a.png", 3, [group])
