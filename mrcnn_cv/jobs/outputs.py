"""Where the results of a run go: the sinks that its options ask for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.errors import OutputError, Remedy
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.jobs.options import OutputOptions, RunOptions
from mrcnn_cv.jobs.report_file import STATE_FILES, check_apart, state_files
from mrcnn_cv.jobs.state.batch_state import check_free
from mrcnn_cv.outputs.base import OutputSettings, Sink
from mrcnn_cv.outputs.formats.image_files import encode
from mrcnn_cv.outputs.formats.json_stream import JsonLines, JsonLinesFile, reserve_stdout
from mrcnn_cv.outputs.registry import is_dataset, make_datasets, make_sinks
from mrcnn_cv.outputs.storage.dataset_files import DatasetFiles
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.outputs.viewers.live_view import LatestFrame, LiveView, shifted_score
from mrcnn_cv.pipeline import Thresholds
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.util import filenames

OVERLAY, FRAMES = "overlay", "frames"
STDOUT = "-"

_SUFFIXES: Mapping[str, Sequence[str | None]] = {"overlay": (None, ".png"), "json": (".json",), "frames": ()}
"""What formats without a folder of their own put behind an image's name; those of frames are in the video's folder."""

_MAX_COMPARED = 40
"""Characters of a name, which are never cut."""


class Outputs:
    """The outputs of a run. Everything that can be wrong with them is found here, before the model is loaded.

    items      the images, which are never written to; protected: other files of which that holds
    style      how images are annotated
    folder     None where nothing is saved
    datasets   the files for all images; None where there are none, or the model is not known yet
    state_folder  where the state of the run is kept; beside the records where nothing else is saved, None without any
    lines      the file of records; None where there is none, or nothing can be read back from it
    """

    def __init__(
        self,
        options: OutputOptions,
        style: Style,
        run: RunOptions,
        items: Sequence[ImageRef],
        protected: Sequence[Path],
    ) -> None:
        self._options = options
        self._run = run
        self._style = style
        self._records = None if options.records is None else os.fspath(options.records)
        self.folder = self._checked_folder(items, protected) if options.formats else None
        self.datasets: DatasetFiles | None = None
        self._streams: list[Sink] = []
        self.state_folder = self.folder
        self.lines: JsonLinesFile | None = None
        self._sources = Counter(item.name for item in items)
        if self._records == STDOUT:
            self._streams.append(JsonLines(reserve_stdout()))
        elif self._records is not None:
            inputs = [item.path for item in items if item.path is not None]
            lines = JsonLinesFile(
                self._records,
                overwrite=options.overwrite,
                protected=[*inputs, *protected],
                keep=run.resume,
                durable=options.durable,
            )
            self.check_apart(self._own(items))
            lines.check()
            self._streams.append(lines)
            if not lines.is_special:
                self.lines = lines
                beside = lines.path.with_name(f".{lines.path.name}.mrcnn-cv")
                self.state_folder = self.folder or OutputDirectory(
                    beside, overwrite=True, remedy=Remedy.RECORDS_FILE, durable=options.durable
                )
        if options.show:
            from mrcnn_cv.outputs.viewers.window import ImageWindow, check_display

            check_display()
            self._streams.append(ImageWindow(self._style))

    def _checked_folder(self, items: Sequence[ImageRef], protected: Sequence[Path]) -> OutputDirectory:
        options = self._options
        # Says so where a library is missing.
        self._dataset_names = [made.name for made in make_datasets(options.formats, OutputSettings({}, ""))]
        records = [] if self._records in (None, STDOUT) else _inside(Path(options.directory), Path(self._records))
        folder = self._new_folder([*STATE_FILES, *self._dataset_names], [*self._format_folders, *records])
        for item in items:
            if item.path is not None:
                folder.protect(item.path, item.output_path)
        for path in protected:
            folder.protect(path)
        check_free(folder.directory, self._run.resume, options.overwrite)
        folder.check()
        return folder

    @property
    def _format_folders(self) -> set[str]:
        """The names of folders that formats have for their own; each is that of its format."""
        return {name for name in self._options.formats if not is_dataset(name)} - _SUFFIXES.keys()

    @property
    def directory(self) -> Path | None:
        """The output directory; None where nothing is saved."""
        return None if self.folder is None else self.folder.directory

    @property
    def window_folder(self) -> OutputDirectory:
        """For frames that somebody keeps from a window, also where nothing is saved otherwise."""
        return self.folder or self._new_folder()

    def _new_folder(self, reserved: Sequence[str] = (), not_folders: Sequence[str] = ()) -> OutputDirectory:
        options = self._options
        return OutputDirectory(
            Path(options.directory),
            overwrite=options.overwrite,
            reserved=reserved,
            not_folders=not_folders,
            durable=options.durable,
        )

    def sinks(self, model: MaskRCNN, indexes: Mapping[str, int] | None, leave_out: Collection[str] = ()) -> list[Sink]:
        """All sinks of the run, once the model is known; from then on there is `datasets`.

        indexes: the order of the images by output path. leave_out: formats that somebody else sees to.
        """
        options, resume = self._options, self._run.resume
        if resume and self.state_folder is not None:
            self.state_folder.sweep()
        if self.folder is None:
            return self._streams
        settings = OutputSettings(
            labels={number: model.label(number) for number in range(1, model.definition.class_count + 1)},
            model=model.path.name,
            style=self._style,
            polygons=options.polygons,
            min_area=options.min_area,
            soft_edges=options.soft_edges,
        )
        chosen = [name for name in options.formats if name not in leave_out]
        sinks: list[Sink] = [*make_sinks(chosen, self.folder, settings)]
        if datasets := make_datasets(chosen, settings):
            self.datasets = DatasetFiles(self.folder, datasets, keep=resume, indexes=indexes)
            self.datasets.check()
            sinks.append(self.datasets)
        return [*sinks, *self._streams]

    def holds(self, item: ImageRef) -> bool:
        """Whether the files for all images have what an earlier run found in this one."""
        if self.datasets is not None and not self.datasets.holds(item.output_path):
            return False
        # An image may be named twice.
        return self.lines is None or self._lines_of[item.name] >= max(1, self._sources[item.name])

    @cached_property
    def _lines_of(self) -> Counter[str]:
        """How many records an earlier run left, by source."""
        return Counter() if self.lines is None else Counter(line.source for line in self.lines.lines)

    def begin_with(self, to_do: Sequence[ImageRef], listed: Sequence[ImageRef], keep: bool) -> None:
        """Keep the records of images that are not done again. listed: all images, in order; keep: any at all."""
        if self.lines is None:
            return
        places = {item.name: index for index, item in reversed(list(enumerate(listed)))}
        self.lines.order = lambda line: (places.get(line.source, len(places)), line.frame)
        again = Counter(item.name for item in to_do)
        dropped = set()
        for line in reversed(self.lines.lines):
            if not keep or again[line.source] > 0:
                again[line.source] -= 1
                dropped.add(line.start)
        self.lines.drop(lambda line: line.start in dropped)

    def check_apart(self, own: Iterable[Path]) -> None:
        """UsageError where the records go to one of these files that the run writes, or into one that is a folder."""
        if self._records not in (None, STDOUT):
            check_apart(self._records, own, Remedy.RECORDS_FILE)

    def _own(self, items: Sequence[ImageRef]) -> Iterator[Path]:
        """What the run writes into its folder that the records could name: files, and folders of formats."""
        if self.folder is None or self._records is None:
            return
        directory, saved = self.folder.directory, self._options.formats
        yield from state_files(directory)
        yield from (directory / name for name in self._dataset_names)
        # Formats with files in a folder of their own have its name.
        yield from (directory / name for name in self._format_folders)
        suffixes = [each for name in saved for each in _SUFFIXES.get(name, ())]
        written = filenames.path_key(Path(self._records).name)
        for item in items:
            # Those of a hundred thousand images that can have this name; long names are cut at their end.
            if written.startswith(filenames.path_key(item.output_path.stem)[:_MAX_COMPARED]):
                frame = Frame(np.empty((0, 0, 3), np.uint8), item.name, 0, path=item.path, output_path=item.output_path)
                yield from (self.folder.path_for(frame, suffix) for suffix in suffixes)

    @property
    def places(self) -> list[str]:
        """Where results are, for people."""
        folder = [] if self.folder is None else [os.fspath(self._options.directory)]
        return folder + ([] if self._records in (None, STDOUT) else [self._records])


def _inside(folder: Path, path: Path) -> list[str]:
    """The name of a file below a folder, if it lies there."""
    inside, root = (Path(os.path.realpath(each)) for each in (path, folder))
    return [inside.relative_to(root).as_posix()] if inside.is_relative_to(root) else []


def save_shown(folder: OutputDirectory, path: Path, view: LiveView, latest: LatestFrame) -> str:
    """Keep what a window shows as an image; says where, or why not."""
    try:
        folder.write(path, encode(view.annotated(latest), ".jpg", str(path)))
    except OutputError as error:
        return str(error)
    return f"saved {path}"


def change_threshold(thresholds: Thresholds, steps: int, own: float) -> str:
    """Take instances of a higher or lower score from now on; says of which. own: the model's threshold."""
    now = thresholds.score_threshold
    thresholds.score_threshold = shifted_score(own if now is None else now, steps)
    return f"score above {thresholds.score_threshold:.2f}"
