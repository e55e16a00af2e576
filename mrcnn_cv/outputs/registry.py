"""The formats of --save: a new one is a file in `formats/` and a row here.

A name that is no row here may be one of the entry points `mrcnn_cv.formats` of installed packages.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from mrcnn_cv.outputs.base import DatasetFormat, ImageFormat
from mrcnn_cv.util.registry import Registry

if TYPE_CHECKING:
    from mrcnn_cv.outputs.base import OutputSettings
    from mrcnn_cv.outputs.storage.output_dir import OutputDirectory


def _problem(plugin: Any) -> str | None:
    if issubclass(plugin, DatasetFormat) and not isinstance(getattr(plugin, "name", None), str):
        return "has no name for its file"
    is_format = issubclass(plugin, (ImageFormat, DatasetFormat))
    return None if is_format else "is neither an ImageFormat nor a DatasetFormat of mrcnn_cv.outputs.base"


# In the order in which the sinks of one run are to be written: the overlay's drawing time goes into the record.
FORMATS: Registry[type[ImageFormat] | type[DatasetFormat]] = Registry(
    "output format",
    "mrcnn_cv.formats",
    {
        "overlay": "mrcnn_cv.outputs.formats.image_files:OverlayImages",
        "frames": "mrcnn_cv.outputs.formats.image_files:FrameImages",
        "json": "mrcnn_cv.outputs.formats.json_files:JsonRecords",
        "jsonl": "mrcnn_cv.outputs.formats.json_files:JsonLinesTable",
        "coco": "mrcnn_cv.outputs.formats.coco:CocoDataset",
        "coco-results": "mrcnn_cv.outputs.formats.coco:CocoResults",
        "yolo": "mrcnn_cv.outputs.formats.yolo:YoloFolder",
        "labelme": "mrcnn_cv.outputs.formats.labelme:LabelmeFiles",
        "voc": "mrcnn_cv.outputs.formats.voc:VocFolder",
        "cvat": "mrcnn_cv.outputs.formats.cvat:CvatAnnotations",
        "masks": "mrcnn_cv.outputs.formats.label_images:InstanceMasks",
        "semantic": "mrcnn_cv.outputs.formats.label_images:SemanticMasks",
        "binary": "mrcnn_cv.outputs.formats.per_instance:BinaryMasks",
        "cutouts": "mrcnn_cv.outputs.formats.per_instance:Cutouts",
        "crops": "mrcnn_cv.outputs.formats.per_instance:InstanceCrops",
        "csv": "mrcnn_cv.outputs.formats.table:CsvTable",
        "parquet": "mrcnn_cv.outputs.formats.table:ParquetTable",
    },
    _problem,
)


def is_dataset(name: str) -> bool:
    """Whether a format has one file for all images. Raises what `FORMATS[name]` raises."""
    return issubclass(FORMATS[name], DatasetFormat)


def make_sinks(names: Collection[str], folder: OutputDirectory, settings: OutputSettings) -> list[ImageFormat]:
    """The sinks of the formats among `names` that have files for each image, in the order of the registry."""
    return [FORMATS.create(name, folder, settings) for name in _in_order(names) if not is_dataset(name)]


def make_datasets(names: Collection[str], settings: OutputSettings) -> list[DatasetFormat]:
    """The formats among `names` that have one file for all images, in the order of the registry.

    Raises UsageError where a library is missing that one needs.
    """
    return [FORMATS.create(name, settings) for name in _in_order(names) if is_dataset(name)]


def _in_order(names: Collection[str]) -> list[str]:
    """Names of rows in their order, behind them those of installed packages."""
    return [*(name for name in FORMATS if name in names), *(name for name in names if name not in FORMATS)]
