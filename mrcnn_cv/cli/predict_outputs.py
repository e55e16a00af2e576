"""Where the results of `mrcnn-cv predict` go: the sinks that its options ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn_cv.cli.say import own_stdout
from mrcnn_cv.draw import Style
from mrcnn_cv.rcnn.model import MaskRCNN
from mrcnn_cv.run.books import check_free
from mrcnn_cv.sinks import FORMATS, Settings, Sink
from mrcnn_cv.sinks.aggregates import AggregateFiles
from mrcnn_cv.sinks.folder import OutputFolder
from mrcnn_cv.sources.items import Item

NOTHING = "none"


class Outputs:
    """The outputs of a run. Everything that can be wrong with them is found here, before the model is loaded.

    style    how pictures are painted
    folder   None where nothing is saved
    streams  sinks that take the pictures in order: records of --json, the window
    """

    def __init__(self, options: Mapping[str, Any], items: Sequence[Item]) -> None:
        from mrcnn_cv.sinks.json_lines import JsonLines, JsonLinesFile

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
        model_files = _model_files(options)
        self.folder: OutputFolder | None = None
        if NOTHING not in options["save"]:
            self.folder = OutputFolder(options["output"], overwrite=options["overwrite"])
            for item in items:
                if item.path is not None:
                    self.folder.protect(item.path, item.place)
            for path in model_files:
                self.folder.protect(path)
            check_free(self.folder.directory, options["resume"], options["overwrite"])
            self.folder.check()
            for name, made in FORMATS.items():
                if name in options["save"] and made.aggregate is not None:
                    # Says so where a library is missing.
                    made.aggregate(Settings({}, ""))
        self.streams: list[Sink] = []
        if options["json_lines"] == "-":
            self.streams.append(JsonLines(own_stdout()))
        elif options["json_lines"] is not None:
            protected = [*inputs, *model_files]
            lines = JsonLinesFile(options["json_lines"], overwrite=options["overwrite"], protected=protected)
            lines.check()
            self.streams.append(lines)
        if options["show"]:
            from mrcnn_cv.sinks.window import Window, check_display

            check_display()
            self.streams.append(Window(self.style))

    def files(
        self, model: MaskRCNN, indexes: Mapping[str, int], leave_out: Collection[str] = ()
    ) -> tuple[list[Sink], AggregateFiles | None]:
        """(sinks with files of their own for each picture, the files for all pictures), once the model is known.

        indexes: the order of the pictures by place. leave_out: formats that somebody else sees to.
        """
        if self.folder is None:
            return [], None
        options = self._options
        if options["resume"]:
            self.folder.sweep()
        settings = Settings(
            labels={number: model.label(number) for number in range(1, model.spec.class_count + 1)},
            model=model.path.name,
            style=self.style,
            polygons=options["polygons"],
            min_area=options["min_area"] or 0,
            soft_edges=options["soft_edges"],
        )
        chosen = [made for name, made in FORMATS.items() if name in options["save"] and name not in leave_out]
        sinks = [each.make(self.folder, settings) for each in chosen if each.make is not None]
        aggregates = [each.aggregate(settings) for each in chosen if each.aggregate is not None]
        if not aggregates:
            return sinks, None
        together = AggregateFiles(self.folder, aggregates, keep=options["resume"], indexes=indexes)
        together.check()
        return sinks, together

    @property
    def places(self) -> list[str]:
        """Where results are, for people."""
        folder = [] if self.folder is None else [str(self._options["output"])]
        return folder + ([] if self._options["json_lines"] in (None, "-") else [self._options["json_lines"]])


def _model_files(options: Mapping[str, Any]) -> list[Path]:
    """Files that the run reads besides the pictures: not even --overwrite may replace them."""
    model = Path(options["model"])
    given = [Path(options[name]) for name in ("labels", "pipeline_config") if options[name] is not None]
    models = sorted([*model.glob("*.pb"), *model.glob("*.onnx")]) if model.is_dir() else [model]
    return [*models, *given, *map(Path, options["list"])]
