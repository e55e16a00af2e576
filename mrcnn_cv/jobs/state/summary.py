"""What a run amounts to: counts while it goes on, failures.csv and summary.json in its output folder."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mrcnn_cv.outputs.formats.table import inert
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.pipeline.runner import FrameResult, RunObserver
from mrcnn_cv.structures.frame import FrameError

SUMMARY, FAILURES = "summary.json", "failures.csv"


@dataclass
class RunStatistics(RunObserver):
    """Counts of a run.

    images      how many there are in all; None where nobody knows yet
    done, failed  of this run; `kept`: done by an earlier one, and left alone
    instances     by label, those of `kept` included
    failures      (name, reason) by output path; an image that is watched may have been half written, and be done later
    unfollowed    links that cannot be followed and were skipped, with the reason
    stages        seconds by stage, over all workers
    """

    images: int | None = None
    done_count: int = 0
    failed_count: int = 0
    kept: int = 0
    instances: Counter[str] = field(default_factory=Counter)
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    unfollowed: Mapping[str, str] = field(default_factory=dict)
    stages: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    def keep(self, instances: Mapping[str, int]) -> None:
        """Count an image that an earlier run did and this one leaves alone."""
        self.kept += 1
        self.instances.update(instances)

    def done(self, done: FrameResult) -> None:
        self.done_count += 1
        self.failures.pop(str(done.frame.output_path or done.frame.name), None)
        self.instances.update(done.instances.counts())
        for stage, milliseconds in done.instances.timings_ms.items():
            self.stages[stage] += milliseconds / 1000  # type: ignore[assignment]

    def failed(self, failed: FrameError) -> None:
        self.failed_count += 1
        self.failures[str(failed.output_path or failed.name)] = (failed.name, str(failed.error))

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Images per second of this run."""
        return (self.done_count + self.failed_count) / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """summary.json; docs/batch.md describes it."""
        return {
            "pictures": self.images,
            "done": self.done_count,
            "kept": self.kept,
            "failed": self.failed_count,
            "seconds": round(self.seconds, 3),
            "pictures_per_second": round(self.rate, 3),
            "instances": sum(self.instances.values()),
            "instances_by_class": dict(self.instances.most_common()),
            "stage_seconds": {stage: round(seconds, 3) for stage, seconds in self.stages.items()},
            "failures": [
                {"place": output_path, "name": name, "reason": why}
                for output_path, (name, why) in self.failures.items()
            ],
            "skipped": [{"name": name, "reason": why} for name, why in self.unfollowed.items()],
        }


def write_summary(folder: OutputDirectory, statistics: RunStatistics, more: Mapping[str, Any]) -> None:
    """Write summary.json, and failures.csv where anything failed (an older one goes where nothing does)."""
    text = json.dumps({**statistics.to_dict(), **more}, ensure_ascii=False, indent=2)
    folder.write(folder.directory / SUMMARY, text.encode("utf-8", "backslashreplace") + b"\n")
    failures = folder.directory / FAILURES
    if statistics.failures or os.path.exists(failures):
        folder.write(failures, _failures_csv(statistics.failures))


def _failures_csv(failures: Mapping[str, tuple[str, str]]) -> bytes:
    """place, name and reason of every image that failed; UTF-8 with a mark, so that spreadsheets read it right."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["place", "name", "reason"])
    rows.writerows([*map(inert, (output_path, name, reason))] for output_path, (name, reason) in failures.items())
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "backslashreplace")
