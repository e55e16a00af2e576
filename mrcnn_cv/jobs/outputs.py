"""Where the results of `mrcnn-cv predict` go: the sinks that its options ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn_cv.cli.console.messages import own_stdout
from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.jobs.report_file import check_apart, model_files, state_files
from mrcnn_cv.jobs.state.batch_state import check_free
from mrcnn_cv.outputs.base import OutputSettings, Sink
from mrcnn_cv.outputs.registry import is_dataset, make_datasets, make_sinks
from mrcnn_cv.outputs.storage.dataset_files import DatasetFiles
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.util import filenames

NOTHING = "none"

_SUFFIXES: Mapping[str, Sequence[str | None]] = {"overlay": (None, ".png"), "json": (".json",), "frames": ()}
"""What formats without a folder of their own put behind a picture's name; those of frames are in the video's folder."""

_MAX_COMPARED = 40
"""Characters of a name, which are never cut."""


class Outputs:
    """The outputs of a run. Everything that can be wrong with them is found here, before the model is loaded.

    style    how pictures are painted
    folder   None where nothing is saved
    streams  sinks that take the pictures in order: records of --json, the window
    """

    def __init__(self, options: Mapping[str, Any], items: Sequence[ImageRef]) -> None:
        from mrcnn_cv.outputs.formats.json_stream import JsonLines, JsonLinesFile

        self._options = options
        self.style = Style(
            opacity=options["opacity"],
            line_width=options["line_width"],
            hide=frozenset(options["hide"]),
            color_by=options["color_by"],
            trail=options["trail"],
            counts=options["counts"],
        )
        inputs = [item.path for item in items if item.path is not None]
        others = [*model_files(options), *map(Path, options["list"])]
        self.folder: OutputDirectory | None = None
        if NOTHING not in options["save"]:
            self.folder = OutputDirectory(options["output"], overwrite=options["overwrite"])
            for item in items:
                if item.path is not None:
                    self.folder.protect(item.path, item.output_path)
            for path in others:
                self.folder.protect(path)
            check_free(self.folder.directory, options["resume"], options["overwrite"])
            self.folder.check()
            # Says so where a library is missing.
            self._aggregate_names = [made.name for made in make_datasets(options["save"], OutputSettings({}, ""))]
        self.streams: list[Sink] = []
        if options["json_lines"] == "-":
            self.streams.append(JsonLines(own_stdout()))
        elif options["json_lines"] is not None:
            protected = [*inputs, *others]
            lines = JsonLinesFile(options["json_lines"], overwrite=options["overwrite"], protected=protected)
            self.check_apart(self._own(items))
            lines.check()
            self.streams.append(lines)
        if options["show"]:
            from mrcnn_cv.outputs.viewers.window import ImageWindow, check_display

            check_display()
            self.streams.append(ImageWindow(self.style))

    def files(
        self, model: MaskRCNN, indexes: Mapping[str, int], leave_out: Collection[str] = ()
    ) -> tuple[list[Sink], DatasetFiles | None]:
        """(sinks with files of their own for each picture, the files for all pictures), once the model is known.

        indexes: the order of the pictures by place. leave_out: formats that somebody else sees to.
        """
        if self.folder is None:
            return [], None
        options = self._options
        if options["resume"]:
            self.folder.sweep()
        settings = OutputSettings(
            labels={number: model.label(number) for number in range(1, model.spec.class_count + 1)},
            model=model.path.name,
            style=self.style,
            polygons=options["polygons"],
            min_area=options["min_area"] or 0,
            soft_edges=options["soft_edges"],
        )
        chosen = [name for name in options["save"] if name not in leave_out]
        sinks: list[Sink] = [*make_sinks(chosen, self.folder, settings)]
        datasets = make_datasets(chosen, settings)
        if not datasets:
            return sinks, None
        together = DatasetFiles(self.folder, datasets, keep=options["resume"], indexes=indexes)
        together.check()
        return sinks, together

    def check_apart(self, own: Iterable[Path]) -> None:
        """UsageError where --json names one of these files that the run writes, or lies in one that is a folder."""
        if self._options["json_lines"] not in (None, "-"):
            check_apart(self._options["json_lines"], "--json", own)

    def _own(self, items: Sequence[ImageRef]) -> Iterator[Path]:
        """What the run writes into its folder that --json could name: files, and folders of formats."""
        if self.folder is None:
            return
        directory, saved = self.folder.directory, self._options["save"]
        yield from state_files(directory)
        yield from (directory / name for name in self._aggregate_names)
        # Formats with files in a folder of their own have its name.
        own_folder = {name for name in saved if not is_dataset(name)} - _SUFFIXES.keys()
        yield from (directory / name for name in own_folder)
        suffixes = [each for name in saved for each in _SUFFIXES.get(name, ())]
        written = filenames.path_key(Path(self._options["json_lines"]).name)
        for item in items:
            # Those of a hundred thousand pictures that can have this name; long names are cut at their end.
            if written.startswith(filenames.path_key(item.output_path.stem)[:_MAX_COMPARED]):
                frame = Frame(np.empty((0, 0, 3), np.uint8), item.name, 0, path=item.path, output_path=item.output_path)
                yield from (self.folder.path_for(frame, suffix) for suffix in suffixes)

    @property
    def places(self) -> list[str]:
        """Where results are, for people."""
        folder = [] if self.folder is None else [str(self._options["output"])]
        return folder + ([] if self._options["json_lines"] in (None, "-") else [self._options["json_lines"]])
