"""The books of a batch run: what an earlier run did, what is left to do, what became of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import Remedy, UsageError
from mrcnn_cv.inputs.base import STDIN
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.jobs.state.decode_probe import ENDED, probe_decoding
from mrcnn_cv.jobs.state.manifest import NAME, Manifest, PreviousRun, check_same
from mrcnn_cv.jobs.state.summary import FAILURES, SUMMARY, RunStatistics, write_summary
from mrcnn_cv.outputs.storage.dataset_files import DatasetFiles
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.pipeline.runner import RunObserver


def holds_batch(directory: Path) -> bool:
    """Whether a batch run wrote into this folder."""
    return (directory / NAME).is_file()


def check_free(directory: Path, resume: bool, overwrite: bool) -> None:
    """UsageError where a folder holds a batch run and the user did not say what is to become of it."""
    if holds_batch(directory) and not (resume or overwrite):
        raise UsageError(
            f"{directory} holds a batch run: resume it, start a new one that overwrites it, or choose another output"
            " folder",
            Remedy.RESUME,
            Remedy.OVERWRITE,
            Remedy.OUTPUT_DIRECTORY,
        )


class RunState:
    """Keeps the books in the output folder, from `open` to `close`.

    resume  go on with the run that the folder holds, if it holds one
    """

    def __init__(self, folder: OutputDirectory, resume: bool) -> None:
        self._folder = folder
        self._manifest = Manifest(folder.directory)
        self.previous: PreviousRun | None = self._manifest.previous() if resume else None
        self.totals = RunStatistics()

    @property
    def observers(self) -> Sequence[RunObserver]:
        """Those that keep the books, in order."""
        return [self._manifest, self.totals]

    def to_do(self, items: Sequence[ImageRef], datasets: DatasetFiles | None) -> list[ImageRef]:
        """The items that are not done yet, or whose outputs are not there any more; the others are counted as kept."""
        self.totals.images = len(items)
        if self.previous is None:
            return list(items)
        left, kept = [], []
        for item in items:
            if self.is_done(item, datasets):
                kept.append(str(item.output_path))
            else:
                self._check_unchanged(str(item.output_path))
                left.append(item)
        self.totals.keep(self.previous, kept)
        return self._without_fatal(left, self.previous)

    def _without_fatal(self, left: list[ImageRef], previous: PreviousRun) -> list[ImageRef]:
        """The items; those that may have ended the earlier run fail if they would end this one, too."""
        # Standard input can be read once.
        new = [item for item in left if str(item.output_path) not in previous.images and item.name != STDIN]
        # As many as may have been in work when it was killed.
        some = new[: max(32, 2 * (os.cpu_count() or 1) + 2)] if not previous.has_ended else []
        known = [
            item
            for item in left
            if (each := previous.images.get(str(item.output_path))) and ENDED in (each.reason or "")
        ]
        if not some and not known:
            return left
        tested = {str(item.output_path): item for item in probe_decoding([*some, *known])}
        return [tested.get(str(item.output_path), item) for item in left]

    def _check_unchanged(self, output_path: str) -> None:
        """OutputError where an output is to be made again that somebody has worked on since."""
        image = self.previous.images.get(output_path) if self.previous is not None else None
        for path, _ in image.files if image is not None else ():
            self._folder.check_replaceable(self._folder.directory / path)

    def is_done(self, item: ImageRef, datasets: DatasetFiles | None) -> bool:
        """Whether the run that is resumed did this item, and all that came of it is still there."""
        done = self.previous is not None and self.previous.is_done(item.output_path, self._folder.directory)
        return done and (datasets is None or datasets.holds(item.output_path))

    def open(self, metadata: Mapping[str, Any]) -> None:
        """Begin. UsageError where the run that is resumed was another one; OutputError where nothing can be written."""
        if self.previous is not None:
            check_same(self.previous, metadata, self._folder.directory)
        for name in (SUMMARY, FAILURES):
            self._folder.check_replaceable(self._folder.directory / name)
        self._manifest.open(metadata, keep=self.previous is not None)

    def close(self, exit_code: int) -> None:
        """End: summary.json, failures.csv, and the last line of the manifest."""
        self._manifest.close(exit_code)
        write_summary(self._folder, self.totals, {"exit_code": exit_code, "output": str(self._folder.directory)})
