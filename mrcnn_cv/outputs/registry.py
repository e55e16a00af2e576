"""The formats of --save: a new one is a file in `formats/` and a row here."""

from __future__ import annotations

from mrcnn_cv.outputs.base import DatasetWriter, Format, OutputSettings, Sink
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory


def _overlay(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.overlay import OverlayImages

    return OverlayImages(folder, settings.style)


def _frames(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.frames import FrameImages

    return FrameImages(folder)


def _json(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.json_files import JsonRecords

    return JsonRecords(folder)


def _masks(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.instance_masks import InstanceMasks

    return InstanceMasks(folder)


def _semantic(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.semantic_masks import SemanticMasks

    return SemanticMasks(folder, settings)


def _binary(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.binary_masks import BinaryMasks

    return BinaryMasks(folder)


def _cutouts(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.cutouts import Cutouts

    return Cutouts(folder, settings.soft_edges)


def _crops(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.crops import InstanceCrops

    return InstanceCrops(folder)


def _labelme(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.labelme import LabelmeFiles

    return LabelmeFiles(folder, settings)


def _yolo(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.yolo import YoloFolder

    return YoloFolder(folder, settings)


def _voc(folder: OutputDirectory, settings: OutputSettings) -> Sink:
    from mrcnn_cv.outputs.formats.voc import VocFolder

    return VocFolder(folder, settings)


def _coco(settings: OutputSettings) -> DatasetWriter:
    from mrcnn_cv.outputs.formats.coco import CocoDataset

    return CocoDataset(settings)


def _coco_results(settings: OutputSettings) -> DatasetWriter:
    from mrcnn_cv.outputs.formats.coco_results import CocoResults

    return CocoResults()


def _jsonl(settings: OutputSettings) -> DatasetWriter:
    from mrcnn_cv.outputs.formats.jsonl import JsonLinesTable

    return JsonLinesTable()


def _cvat(settings: OutputSettings) -> DatasetWriter:
    from mrcnn_cv.outputs.formats.cvat import CvatAnnotations

    return CvatAnnotations(settings)


def _csv(settings: OutputSettings) -> DatasetWriter:
    from mrcnn_cv.outputs.formats.csv import CsvTable

    return CsvTable()


def _parquet(settings: OutputSettings) -> DatasetWriter:
    from mrcnn_cv.outputs.formats.parquet import ParquetTable

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
