"""Formats with one file for all images: the records go to disk one by one, the files are made from them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING

from mrcnn_cv.errors import OutputError, Remedy
from mrcnn_cv.outputs.storage.locks import exclusive_lock
from mrcnn_cv.outputs.storage.output_dir import unwritable
from mrcnn_cv.outputs.storage.record_log import RecordLog

if TYPE_CHECKING:
    from mrcnn_cv.outputs.base import DatasetWriter
    from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances

LOCK_NAME = ".mrcnn-cv-records.lock"

FIRST_SECONDS = 10.0
SHARE = 0.02
"""The files are made anew while a run goes on, after some seconds and for no more than this share of its time."""


class DatasetFiles:
    """Writes the files of `datasets` into a folder. At every moment each of them is whole, and at the end complete.

    The records in a folder belong to one run at a time, so that another one is refused inside of the with block.

    keep     go on with the records of an earlier run
    indexes  the images' order by place, as far as it is known: others come last; None: frames of videos, by their own

    first_index  is added to the indexes of the frames; set it before each of several videos
    """

    ordered = True

    def __init__(
        self,
        folder: OutputDirectory,
        datasets: Sequence[DatasetWriter],
        *,
        keep: bool = False,
        indexes: Mapping[str, int] | None = None,
    ) -> None:
        self._folder = folder
        self._datasets = datasets
        self._indexes = indexes
        self.first_index = 0
        self._next = 0.0
        self._keeps = keep
        self._held = ExitStack()
        try:
            self._records = RecordLog(folder.directory, keep, folder.durable)
        except OSError as error:
            raise OutputError(f"the records in {folder.directory} cannot be read: {error.strerror or error}") from error

    @property
    def paths(self) -> list[Path]:
        """The files, in the order of the datasets."""
        return [self._folder.directory / dataset.name for dataset in self._datasets]

    def check(self) -> None:
        """UsageError where another run is at work there, OutputError where a file of the user's is in the way."""
        if os.path.exists(self._folder.directory / LOCK_NAME):
            with self._alone():
                pass
        self._check_replaceable()

    def holds(self, output_path: PurePosixPath) -> bool:
        """Whether an earlier run left a record of this image."""
        return str(output_path) in self._records

    def frames_of(self, output_path: PurePosixPath) -> list[int]:
        """The frames of a video of which an earlier run left a record. output_path: of the video's own outputs."""
        paths = map(PurePosixPath, self._records.output_paths)
        return [int(path.stem) for path in paths if path.parent == output_path and path.stem.isdecimal()]

    def __enter__(self) -> DatasetFiles:
        with ExitStack() as stack:
            stack.enter_context(self._alone())
            self._check_replaceable()
            stack.callback(self._close)
            with self._writing():
                self._records.open()
            if self._indexes is not None:
                self._records.reorder(self._indexes)
            self._assemble()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            # After a full disk the last files that were whole stay; --resume makes them anew.
            if not isinstance(error, OutputError):
                self._assemble()

    def write(self, frame: Frame, instances: Instances) -> None:
        """Add one image; OutputError where its record cannot be written."""
        output_path = str(frame.output_path or frame.name)
        if self._indexes is None:
            index = self.first_index + frame.index
        else:
            index = self._indexes.get(output_path, -1)
            index = self._records.index_for(output_path, len(self._indexes)) if index < 0 else index
        with self._writing():
            self._records.add({"place": output_path, "index": index, **instances.to_dict()})
        if time.monotonic() >= self._next:
            self._assemble()

    def _alone(self) -> AbstractContextManager[None]:
        directory = self._folder.directory
        return exclusive_lock(directory / LOCK_NAME, f"in {directory}")

    def _check_replaceable(self) -> None:
        for path in self.paths:
            self._folder.check_replaceable(path)

    def _close(self) -> None:
        with self._writing():
            self._records.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """OutputError where the records cannot be written."""
        try:
            yield
        except OSError as error:
            raise unwritable(error, self._records.path) from error

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """OutputError where the records of an earlier run turn out to be somebody else's."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            if not self._keeps:
                raise
            raise OutputError(
                f"{self._records.path} holds records that mrcnn-cv did not write ({type(error).__name__}):"
                " choose another output folder, or start a new run and allow overwriting",
                Remedy.OUTPUT_DIRECTORY,
                Remedy.OVERWRITE,
            ) from error

    def _assemble(self) -> None:
        start = time.monotonic()
        for dataset, path in zip(self._datasets, self.paths, strict=True):
            with self._folder.replacing(path) as file, self._ours():
                dataset.assemble(self._records, file)
        end = time.monotonic()
        self._next = end + max(FIRST_SECONDS, (end - start) / SHARE)
