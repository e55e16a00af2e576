"""Pictures with known masks, and a run of one format over them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.outputs.base import OutputSettings
from mrcnn_cv.outputs.registry import make_datasets, make_sinks
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances

Mask = NDArray[np.bool_]

HEIGHT, WIDTH = 48, 64
LABELS = {1: "person", 2: "traffic light", 7: "<b>&\"quoted\"</b>, 犬: 'x'", 90: "toothbrush"}


@dataclass
class Scene:
    """One image: its place, and class id and mask of every instance; masks None: a model that only has boxes."""

    place: str
    instances: list[tuple[int, Mask]] = field(default_factory=list)
    boxes: list[tuple[float, ...]] | None = None
    labels: dict[int, str] = field(default_factory=lambda: LABELS)

    def found(self) -> Instances:
        """What the model would have said, with scores that fall from 0.9."""
        count = len(self.instances) if self.boxes is None else len(self.boxes)
        whole = np.tile(np.array([0, 0, WIDTH, HEIGHT], dtype=np.float32), (count, 1))
        ids = [class_id for class_id, _ in self.instances] if self.boxes is None else [1] * count
        masks = np.array([mask for _, mask in self.instances], dtype=np.float32).reshape(-1, HEIGHT, WIDTH)
        return Instances(
            boxes=whole if self.boxes is None else np.array(self.boxes, dtype=np.float32).reshape(-1, 4),
            scores=np.array([0.9 - 0.01 * number for number in range(count)], dtype=np.float32),
            class_ids=np.array(ids, dtype=np.int32),
            labels=[self.labels[class_id] for class_id in ids],
            mask_probabilities=masks if self.boxes is None else None,
            image_size=(HEIGHT, WIDTH),
            mask_sampling="centers",
            source=self.place,
            model="model.pb",
        )

    def picture(self) -> NDArray[np.uint8]:
        return picture()

    def expected(self) -> list[tuple[str, Mask]]:
        """Label and mask of the instances that have any pixels."""
        found = self.found()
        every = [(found.labels[index], found.full_mask(index)) for index in range(len(found))]
        return [(label, mask) for label, mask in every if mask.any()]


@dataclass
class Photo(Scene):
    """Instances as a Mask R-CNN finds them, of many sizes, in an image of 480 x 640."""

    def found(self) -> Instances:
        rng = np.random.default_rng(5)
        sizes = np.array([4, 6, 9, 14, 20, 32, 50, 80, 130, 200, 300, 460], dtype=np.float64)
        widths, heights = sizes * rng.uniform(0.8, 1.2, len(sizes)), sizes * rng.uniform(0.8, 1.0, len(sizes))
        left, top = rng.uniform(-5, 640 - widths), rng.uniform(-5, 480 - heights)
        boxes = np.stack([left, top, left + widths, top + heights], axis=1)
        rows, columns = np.mgrid[-1:1:28j, -1:1:28j]
        # Blobs, some of them with holes and in several parts, as noise on the blob's slope makes them.
        blobs = 0.85 - 0.5 * (rows**2 + columns**2) + rng.normal(0, 0.16, (len(sizes), 28, 28))
        return Instances(
            boxes=boxes.clip(0, [640, 480, 640, 480]).astype(np.float32),
            scores=np.linspace(0.95, 0.5, len(sizes), dtype=np.float32),
            class_ids=np.array([1, 2, 7, 90] * 3, dtype=np.int32),
            labels=[self.labels[class_id] for class_id in [1, 2, 7, 90] * 3],
            mask_probabilities=blobs.clip(0, 1).astype(np.float32),
            image_size=(480, 640),
            source=self.place,
            model="model.pb",
        )

    def picture(self) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(picture(), (640, 480)), dtype=np.uint8)


def blank() -> Mask:
    return np.zeros((HEIGHT, WIDTH), dtype=np.bool_)


def rectangle(top: int, left: int, bottom: int, right: int) -> Mask:
    mask = blank()
    mask[top:bottom, left:right] = True
    return mask


def disc(row: float, column: float, radius: float) -> Mask:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside: Mask = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    return inside


def scenes() -> dict[str, Scene]:
    """By what is special about each."""
    ring = disc(24, 30, 20) & ~disc(20, 26, 7) & ~disc(34, 38, 4)
    island = ring | disc(20, 26, 3)
    return {
        "nothing": Scene("nothing.jpg"),
        "no pixels": Scene("no pixels.jpg", [(1, blank()), (2, disc(20, 20, 6))]),
        "boxes": Scene("boxes.jpg", boxes=[(3.4, 2.2, 30.1, 40.7), (0, 0, 64, 48), (5, 5, 5, 5), (60.2, 40, 64, 48)]),
        "one pixel": Scene("one.jpg", [(1, rectangle(0, 0, 1, 1)), (2, rectangle(47, 63, 48, 64)), (1, disc(9, 9, 1))]),
        "thin": Scene("thin.jpg", [(1, rectangle(3, 2, 4, 60)), (2, rectangle(10, 9, 40, 10)), (1, disc(30, 30, 2))]),
        "borders": Scene("borders.jpg", [(1, rectangle(0, 0, 48, 64)), (2, disc(0, 0, 20)), (90, disc(47, 63, 20))]),
        "overlap": Scene("overlap.jpg", [(1, disc(20, 20, 15)), (2, disc(24, 28, 15)), (1, rectangle(0, 0, 48, 40))]),
        "holes": Scene("holes.jpg", [(1, ring), (2, ~ring), (90, island)]),
        "parts": Scene("parts.jpg", [(1, disc(10, 10, 8) | disc(36, 12, 9) | disc(20, 50, 9)), (2, disc(9, 40, 5))]),
        "speck": Scene("speck.jpg", [(1, disc(10, 10, 8) | rectangle(40, 60, 41, 62)), (1, rectangle(46, 1, 47, 3))]),
        "corners": Scene("corners.jpg", [(1, np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2 == 0)]),
        "markup": Scene("a & <b> 'c' \"d\".jpg", [(7, disc(20, 20, 9))]),
        "subfolder": Scene("straße/东京/images/01.jpg", [(1, disc(20, 20, 9))]),
    }


def picture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    smooth = cv2.resize(
        rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(smooth, dtype=np.uint8)


def frames(inputs: Path, some: Sequence[Scene]) -> list[Frame]:
    """The scenes' images, as files below `inputs`."""
    made = []
    for index, scene in enumerate(some):
        path = inputs / scene.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, scene.picture())[1].tobytes())
        made.append(Frame(scene.picture(), str(path), index, path=path, output_path=PurePosixPath(scene.place)))
    return made


def records(some: Sequence[Scene]) -> list[dict[str, Any]]:
    """What a run's records hold, as they come back from disk."""
    found = [{"place": scene.place, "index": index, **scene.found().to_dict()} for index, scene in enumerate(some)]
    return [json.loads(json.dumps(record)) for record in found]


def export(
    name: str, outputs: Path, pictures: Sequence[Frame], some: Sequence[Scene], **options: Any
) -> OutputDirectory:
    """Run one format over the scenes."""
    labels: dict[int, str] = options.pop("labels", LABELS)
    settings = OutputSettings(labels, "model.pb", **options)
    folder = OutputDirectory(outputs)
    for frame in pictures:
        if frame.path is not None:
            folder.protect(frame.path, frame.output_path or PurePosixPath(frame.path.name))
    for aggregate in make_datasets([name], settings):
        with folder.replacing(outputs / aggregate.name) as file:
            aggregate.assemble(records(some), file)
    for made in make_sinks([name], folder, settings):
        with made as sink:
            for frame, scene in zip(pictures, some, strict=True):
                sink.write(frame, scene.found())
    return folder
