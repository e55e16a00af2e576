"""`voc`: a folder laid out like the Pascal VOC 2012 development kit.

The format: "The PASCAL Visual Object Classes Challenge 2012 Development Kit", sections 3 and 10.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np

from mrcnn_cv.errors import OutputError
from mrcnn_cv.outputs.base import ImageFormat, OutputSettings
from mrcnn_cv.outputs.formats.image_files import copy_image
from mrcnn_cv.outputs.formats.label_images import Rgb, class_ids, instance_labels, label_png
from mrcnn_cv.outputs.formats.xml import text
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory, unwritable
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances

_LARGEST = 254
"""Of a number in VOC's 8-bit images: 255 means "not annotated"."""


class VocFolder(ImageFormat):
    """Writes voc/JPEGImages, Annotations, SegmentationClass and SegmentationObject; lists and labelmap.txt at the end.

    The lists in ImageSets name every image that has annotations in the folder, so that they are complete after a run
    that was interrupted and resumed.
    """

    def __init__(self, folder: OutputDirectory, settings: OutputSettings) -> None:
        super().__init__(folder, settings)
        self._root = folder.directory / "voc"
        self._is_small = max(settings.labels, default=0) <= _LARGEST

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OutputError) or not os.path.isdir(self._root):
            return
        data = "".join(f"{name}\n" for name in _annotated(self._root)).encode("utf-8")
        for task in ("Main", "Segmentation"):
            self.folder.write(self._root / "ImageSets" / task / "train.txt", data)
        self.folder.write(self._root / "labelmap.txt", self._label_map())

    def write(self, frame: Frame, instances: Instances) -> None:
        annotation = self.folder.path_for(frame, ".xml", kind="voc/Annotations", stem=True)
        output_path = annotation.relative_to(self._root / "Annotations").with_suffix("")
        image = copy_image(self.folder, frame, self._root / "JPEGImages" / output_path)
        name = image.relative_to(self._root / "JPEGImages").as_posix()
        self.folder.write(annotation, _annotation(name, instances).encode("utf-8"))
        numbers, classes = instance_labels(instances), class_ids(instances)
        small_numbers = len(instances) <= _LARGEST
        for kind, labels, small in (
            ("SegmentationObject", numbers, small_numbers),
            ("SegmentationClass", classes, self._is_small),
        ):
            path = self._root / kind / output_path.with_name(f"{output_path.name}.png")
            self.folder.write(path, label_png(labels, voc_palette() if small else None))

    def _label_map(self) -> bytes:
        """The colors of the classes, as datumaro and CVAT read them."""
        palette = voc_palette()
        lines = ["background:0,0,0::"]
        for class_id, label in sorted(self.settings.labels.items()):
            red, green, blue = palette[class_id % 256]
            lines.append(f"{' '.join(label.replace(':', ' ').split())}:{red},{green},{blue}::")
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def voc_palette() -> list[Rgb]:
    """VOC's 256 colors: the bits of a number dealt out to red, green and blue in turn, the lowest to the highest."""

    def channel(number: int, first: int) -> int:
        return sum((number >> (3 * step + first) & 1) << (7 - step) for step in range(3))

    return [(channel(number, 0), channel(number, 1), channel(number, 2)) for number in range(256)]


def _annotated(root: Path) -> Iterable[str]:
    folder = root / "Annotations"
    try:
        found = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.xml"))
    except OSError as error:
        raise unwritable(error, folder) from error
    for name in found:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            continue
        # A list has an image per line.
        if len(name.splitlines()) == 1:
            yield name


def _annotation(name: str, instances: Instances) -> str:
    height, width = instances.image_size
    objects = "".join(_object(instances, index) for index in range(len(instances)))
    return (
        "<annotation>\n\t<folder>VOC2012</folder>\n"
        f"\t<filename>{text(name)}</filename>\n"
        "\t<source>\n\t\t<database>mrcnn-cv</database>\n\t\t<annotation>mrcnn-cv</annotation>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
        f"\t<segmented>1</segmented>\n{objects}</annotation>\n"
    )


def _object(instances: Instances, index: int) -> str:
    height, width = instances.image_size
    x1, y1, x2, y2 = np.nan_to_num(instances.boxes[index]).astype(float).tolist()
    # VOC's pixels count from 1, and the last one is part of the box.
    left, top = min(max(round(x1), 0), width - 1) + 1, min(max(round(y1), 0), height - 1) + 1
    right, bottom = max(left, min(round(x2), width)), max(top, min(round(y2), height))
    return (
        f"\t<object>\n\t\t<name>{text(instances.labels[index])}</name>\n"
        "\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n"
        f"\t\t<bndbox>\n\t\t\t<xmin>{left}</xmin>\n\t\t\t<ymin>{top}</ymin>\n"
        f"\t\t\t<xmax>{right}</xmax>\n\t\t\t<ymax>{bottom}</ymax>\n\t\t</bndbox>\n\t</object>\n"
    )
