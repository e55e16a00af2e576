"""Where results go: every sink is a context manager with `write(frame, instances)`.

A new export format is one new file here and one line in FORMATS. Some formats have a file or more for each picture (a
Sink), others one file for all (an Aggregate), which is made from the records of the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from typing_extensions import Self

    from mrcnn_cv.draw import Style
    from mrcnn_cv.frame import Frame
    from mrcnn_cv.instances import Instances
    from mrcnn_cv.sinks.folder import OutputFolder
    from mrcnn_cv.sinks.records import Record

__all__ = ["FORMATS", "Aggregate", "Format", "OpenSink", "Settings", "Sink", "SinkClosed"]


class Sink(Protocol):
    """What the run writes to. OutputError for what cannot be written; SinkClosed where nobody wants more.

    ordered: False where `write` may be called by several threads at a time, for pictures in any order.
    """

    @property
    def ordered(self) -> bool: ...

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, frame: Frame, found: Instances) -> None: ...


class OpenSink:
    """A sink that has nothing to open or close, and writes files of their own for each picture."""

    ordered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class SinkClosed(Exception):
    """The reader of a pipe went away, or the user closed the window: the run ends well, without a message.

    delivered: whether the picture at which it ended was still handed over, as a window does before it is closed.
    """

    def __init__(self, delivered: bool = False) -> None:
        super().__init__()
        self.delivered = delivered


@dataclass(frozen=True)
class Settings:
    """What the formats may ask about a run, besides the instances themselves.

    labels      label id → name, of all classes of the model, also of those that nothing was found of
    model       the model file's name
    style       how overlays are painted
    polygons    outlines instead of run lengths, where a format can hold either
    min_area    parts of a mask with fewer pixels than this get no outline of their own
    soft_edges  cutouts fade out over the border of their mask
    """

    labels: Mapping[int, str]
    model: str
    style: Style | None = None
    polygons: bool = False
    min_area: int = 0
    soft_edges: bool = False


class Aggregate(Protocol):
    """A format with one file for all pictures of a run, made anew from their records whenever it is wanted.

    name  of the file in the output folder
    """

    name: str

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        """Write the file for `records`, which come in the order of the pictures; it must not hold them all.

        They may be gone through more than once, and are read from disk each time.
        """


@dataclass(frozen=True)
class Format:
    """A name of --save: what makes its sink, or its aggregate. `make` imports, so that --help stays instant."""

    summary: str
    make: Callable[[OutputFolder, Settings], Sink] | None = None
    aggregate: Callable[[Settings], Aggregate] | None = None


def _overlay(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.overlay import OverlayImages

    return OverlayImages(folder, settings.style)


def _frames(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.frames import FramePictures

    return FramePictures(folder)


def _json(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.json_record import JsonRecords

    return JsonRecords(folder)


def _masks(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.instance_masks import InstanceMasks

    return InstanceMasks(folder)


def _semantic(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.semantic import SemanticMasks

    return SemanticMasks(folder, settings)


def _binary(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.binary import BinaryMasks

    return BinaryMasks(folder)


def _cutouts(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.cutouts import Cutouts

    return Cutouts(folder, settings.soft_edges)


def _crops(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.crops import Crops

    return Crops(folder)


def _labelme(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.labelme import LabelmeFiles

    return LabelmeFiles(folder, settings)


def _yolo(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.yolo import YoloFolder

    return YoloFolder(folder, settings)


def _voc(folder: OutputFolder, settings: Settings) -> Sink:
    from mrcnn_cv.sinks.voc import VocFolder

    return VocFolder(folder, settings)


def _coco(settings: Settings) -> Aggregate:
    from mrcnn_cv.sinks.coco import CocoDataset

    return CocoDataset(settings)


def _coco_results(settings: Settings) -> Aggregate:
    from mrcnn_cv.sinks.coco_results import CocoResults

    return CocoResults()


def _jsonl(settings: Settings) -> Aggregate:
    from mrcnn_cv.sinks.jsonl import JsonLinesTable

    return JsonLinesTable()


def _cvat(settings: Settings) -> Aggregate:
    from mrcnn_cv.sinks.cvat import CvatAnnotations

    return CvatAnnotations(settings)


def _csv(settings: Settings) -> Aggregate:
    from mrcnn_cv.sinks.csv_table import CsvTable

    return CsvTable()


def _parquet(settings: Settings) -> Aggregate:
    from mrcnn_cv.sinks.parquet import ParquetTable

    return ParquetTable()


# Names of --save, in the order in which the sinks of one run are to be written: the overlay's drawing time goes into
# the record.
FORMATS: dict[str, Format] = {
    "overlay": Format("the picture, or the video, with masks painted over it", _overlay),
    "frames": Format("the frames of a video as pictures", _frames),
    "json": Format("one JSON record per picture", _json),
    "jsonl": Format("the records of all pictures in one file", aggregate=_jsonl),
    "coco": Format("a data set in COCO's format", aggregate=_coco),
    "coco-results": Format("a list of results for pycocotools", aggregate=_coco_results),
    "yolo": Format("a data set folder for ultralytics", _yolo),
    "labelme": Format("a JSON file per picture for labelme", _labelme),
    "voc": Format("a data set folder in Pascal VOC's layout", _voc),
    "cvat": Format("an XML file for CVAT", aggregate=_cvat),
    "masks": Format("a PNG of instance numbers per picture", _masks),
    "semantic": Format("a PNG of class ids per picture", _semantic),
    "binary": Format("a black and white PNG per instance", _binary),
    "cutouts": Format("each instance on a transparent background", _cutouts),
    "crops": Format("the picture cut to the box of each instance", _crops),
    "csv": Format("a table with a row per instance", aggregate=_csv),
    "parquet": Format("the same table for pandas and others (extra: parquet)", aggregate=_parquet),
}
