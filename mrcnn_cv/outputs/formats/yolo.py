"""`yolo`: a data set folder that ultralytics trains on: images, a text file of outlines for each, and data.yaml.

The format: docs.ultralytics.com/datasets/segment, and ultralytics' own loader (ultralytics/data/utils.py).
"""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path, PurePath

import numpy as np

from mrcnn_cv.outputs.base import ImageFormat, OutputSettings
from mrcnn_cv.outputs.formats.image_files import copy_image
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures import polygons
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances

# Of a double-quoted YAML text: what does not print, or ends a line.
_NOT_PLAIN_YAML = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class YoloFolder(ImageFormat):
    """Writes yolo/images/photo.jpg, yolo/labels/photo.txt and, with the first image, yolo/data.yaml.

    A line per instance: the class number, from 0 in the order of the label ids, and one outline in fractions of the
    image's size. For a model without masks the line holds the box instead, as ultralytics' detection has it.
    """

    def __init__(self, folder: OutputDirectory, settings: OutputSettings) -> None:
        super().__init__(folder, settings)
        self._labels = dict(sorted(settings.labels.items()))
        self._has_names = False
        self._lock = threading.Lock()

    def write(self, frame: Frame, instances: Instances) -> None:
        numbers = self._class_numbers(instances)
        lines = []
        for index in range(len(instances)):
            values = (
                self._box(instances, index) if instances.mask_probabilities is None else self._outline(instances, index)
            )
            if values:
                lines.append(
                    " ".join([str(numbers[int(instances.class_ids[index])]), *(f"{each:.6f}" for each in values)])
                )
        wanted = self.folder.path_for(frame, ".txt", kind="yolo/labels", stem=True)
        output_path = _without_images(wanted.relative_to(self.folder.directory / "yolo" / "labels"))
        copy_image(self.folder, frame, self.folder.directory / "yolo" / "images" / output_path.with_suffix(""))
        text = "".join(f"{line}\n" for line in lines)
        self.folder.write(self.folder.directory / "yolo" / "labels" / output_path, text.encode("ascii"))

    def _class_numbers(self, instances: Instances) -> dict[int, int]:
        """By label id. Writes data.yaml, with the first image and where a class turns up that was not announced."""
        with self._lock:
            new = {int(each): label for each, label in zip(instances.class_ids, instances.labels, strict=True)}
            new = {class_id: label for class_id, label in new.items() if class_id not in self._labels}
            self._labels.update(new)
            if new or not self._has_names:
                self._write_names()
                self._has_names = True
            return {class_id: number for number, class_id in enumerate(self._labels)}

    def _write_names(self) -> None:
        # Without a "path" the folders are looked for beside this file, wherever it is moved to.
        lines = ["train: images", "val: images", "names:"]
        lines += [f"  {number}: {_quoted(label)}" for number, label in enumerate(self._labels.values())]
        data = "".join(f"{line}\n" for line in lines).encode("utf-8")
        self.folder.write(self.folder.directory / "yolo" / "data.yaml", data)

    def _outline(self, instances: Instances, index: int) -> list[float]:
        parts = polygons.polygons(instances.local_mask(index), min_area=self.settings.min_area)
        if not parts:
            return []
        # Readers cut off (ultralytics) or round (supervision) to whole pixels and then paint the outline as well: a
        # quarter makes the same pixel of both.
        ring = polygons.joined_ring(parts, painted=True) + 0.25
        ring = np.concatenate([ring, np.repeat(ring[:1], max(0, 3 - len(ring)), axis=0)])
        height, width = instances.image_size
        fractions: list[float] = (ring / (width, height)).ravel().tolist()
        return fractions

    def _box(self, instances: Instances, index: int) -> list[float]:
        height, width = instances.image_size
        x1, y1, x2, y2 = np.clip(instances.boxes[index] / (width, height, width, height), 0, 1).tolist()
        return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1] if x2 > x1 and y2 > y1 else []


def _without_images(output_path: Path) -> PurePath:
    """ultralytics finds the labels of an image by the last folder called "images" on its path: ours must be that."""
    parts = ["images~" if part == "images" else part for part in output_path.parts[:-1]]
    return PurePath(*parts, output_path.name)


def _quoted(label: str) -> str:
    text = json.dumps(label, ensure_ascii=False)
    return _NOT_PLAIN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
