"""The state of a batch run: what an earlier run did, what is left to do, what became of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import OutputConflict, Remedy, UsageError
from mrcnn_cv.inputs.base import STDIN
from mrcnn_cv.inputs.image_ref import ImageRef, failing
from mrcnn_cv.jobs.state.decode_probe import ENDED, probe_decoding
from mrcnn_cv.jobs.state.manifest import NAME, Manifest, PreviousRun
from mrcnn_cv.jobs.state.run_metadata import check_same
from mrcnn_cv.jobs.state.summary import FAILURES, SUMMARY, RunStatistics, write_summary
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.pipeline.runner import RunObserver


def check_free(directory: Path, resume: bool, overwrite: bool) -> None:
    """UsageError where a folder holds a batch run and the user did not say what is to become of it."""
    if os.path.isfile(directory / NAME) and not (resume or overwrite):
        raise UsageError(
            f"{directory} holds a batch run: resume it, start a new one that overwrites it, or choose another output"
            " folder",
            Remedy.RESUME,
            Remedy.OVERWRITE,
            Remedy.OUTPUT_DIRECTORY,
        )


class RunState:
    """Counts a run and, from `open` to `close`, writes down in its output folder what became of each image.

    folder  None where nothing is kept but the counts
    resume  go on with the run that the folder holds, if it holds one
    """

    def __init__(self, folder: OutputDirectory | None, resume: bool = False) -> None:
        self._folder = folder
        self._manifest = None if folder is None else Manifest(folder.directory, folder.durable)
        self.previous: PreviousRun | None = self._manifest.previous() if self._manifest and resume else None
        self.statistics = RunStatistics()

    @property
    def is_kept(self) -> bool:
        """Whether the run can be resumed."""
        return self._manifest is not None

    @property
    def observers(self) -> Sequence[RunObserver]:
        """Those that are to be told of every image, in order."""
        return [self.statistics] if self._manifest is None else [self._manifest, self.statistics]

    def to_do(self, items: Sequence[ImageRef], holds: Callable[[ImageRef], bool] = lambda item: True) -> list[ImageRef]:
        """The items that are not done yet, or whose outputs are not there any more; the others are counted as kept.

        holds: whether the files for all images have what was found in one. An item fails when its turn comes where an
        output is to be made again that somebody has worked on since.
        """
        self.statistics.images = len(items)
        if self.previous is None or self._folder is None:
            return list(items)
        left: list[ImageRef] = []
        for item in items:
            image = self.previous.images.get(str(item.output_path))
            if image is not None and self.is_done(item, holds):
                self.statistics.keep(image.instances)
                continue
            try:
                for path, _ in () if image is None else image.files:
                    self._folder.check_replaceable(self._folder.directory / path)
            except OutputConflict as conflict:
                item = failing(item, conflict)
            left.append(item)
        return _without_fatal(left, self.previous)

    def is_done(self, item: ImageRef, holds: Callable[[ImageRef], bool]) -> bool:
        """Whether the run that is resumed did this item, and all that came of it is still there; see `to_do`."""
        if self.previous is None or self._folder is None:
            return False
        return self.previous.is_done(item.output_path, self._folder.directory) and holds(item)

    def open(self, metadata: Mapping[str, Any]) -> None:
        """Begin. UsageError where the run that is resumed was another one; OutputError where nothing can be written."""
        if self._manifest is None or self._folder is None:
            return
        if self.previous is not None:
            check_same(self.previous.metadata, metadata, self._folder.directory)
        for name in (SUMMARY, FAILURES):
            self._folder.check_replaceable(self._folder.directory / name)
        self._manifest.open(metadata, keep=self.previous is not None)

    def close(self, exit_code: int) -> None:
        """End: the last line of the manifest, summary.json, failures.csv."""
        if self._manifest is None or self._folder is None:
            return
        self._manifest.close(exit_code)
        write_summary(self._folder, self.statistics, {"exit_code": exit_code, "output": str(self._folder.directory)})


def _without_fatal(left: list[ImageRef], previous: PreviousRun) -> list[ImageRef]:
    """The items; those that may have ended the earlier run fail if they would end this one, too."""
    # Standard input can be read once.
    new = [item for item in left if str(item.output_path) not in previous.images and item.name != STDIN]
    # As many as may have been in work when it was killed.
    some = new[: max(32, 2 * (os.cpu_count() or 1) + 2)] if not previous.has_ended else []
    known = [
        item for item in left if (each := previous.images.get(str(item.output_path))) and ENDED in (each.reason or "")
    ]
    if not some and not known:
        return left
    tested = {str(item.output_path): item for item in probe_decoding([*some, *known])}
    return [tested.get(str(item.output_path), item) for item in left]
