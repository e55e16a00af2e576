"""Instances: what was found in one image. The only value that travels between the model, the sinks and the user."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.structures import masks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mrcnn_cv.drawing.annotate import Style


@dataclass(frozen=True)
class BackendUse:
    """What was asked for and what really ran.

    `requested` and `used` are names of `--backend`; `device` is the name of the processor or graphics card.
    """

    requested: str
    used: str
    device: str


@dataclass
class Instances:
    """The N instances of one image, best score first.

    boxes               (N, 4) float32: x1 y1 x2 y2 in pixels of the image, corners, not clipped to whole pixels
    scores              (N,) float32, descending
    class_ids           (N,) int32: ids of the label map (COCO: 1 to 90)
    labels              N names; the id as text where the label map has no name for it
    mask_probabilities  (N, mask_h, mask_w) float32 in [0, 1], local to the box; None for a model without masks
    image_size          (height, width) of the image in pixels
    mask_threshold      probability above which a pixel belongs to the instance
    mask_sampling       where the mask's samples lie in the box: "corners" (the outermost samples lie on the box's
                        edges, as TensorFlow's crop_and_resize takes them), "centers" (each is the centre of a cell)
                        or "expanded" (the same in a box a sample larger on each side, which lies on whole pixels)
    time                seconds from the start of the video or stream; None for a picture of its own

    What `mrcnn_cv.tracking` adds; None for a picture of its own:
    track_ids           (N,) int32: the same number in every frame for the same thing, from 1; 0: not followed (yet)
    trails              N arrays (k, 2) float32: x y in pixels of where each box's centre was, oldest first
    totals              how many different things each label has had since tracking began
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    labels: list[str]
    mask_probabilities: NDArray[np.float32] | None
    image_size: tuple[int, int]
    mask_threshold: float = 0.5
    mask_sampling: masks.Sampling = "corners"
    source: str | None = None
    frame: int | None = None
    model: str | None = None
    backend: BackendUse | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    track_ids: NDArray[np.int32] | None = None
    trails: list[NDArray[np.float32]] | None = None
    totals: dict[str, int] | None = None
    time: float | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def local_mask(self, index: int) -> masks.LocalMask:
        """The mask of one instance, cut to the pixels that its box covers.

        Returns (top, left, mask) with mask (h, w) bool; a model without masks gives the filled box. Nothing of the size
        of the image is allocated.
        """
        if self.mask_probabilities is None:
            return masks.fill_box(self.boxes[index], self.image_size)
        return masks.paste(
            self.mask_probabilities[index], self.boxes[index], self.image_size, self.mask_threshold, self.mask_sampling
        )

    def full_mask(self, index: int) -> NDArray[np.bool_]:
        """(H, W) bool: the mask of one instance on the whole image."""
        top, left, mask = self.local_mask(index)
        full = np.zeros(self.image_size, dtype=np.bool_)
        full[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        return full

    def draw(self, image_bgr: NDArray[np.uint8], style: Style | None = None) -> NDArray[np.uint8]:
        """A new image (H, W, 3) uint8 with the instances painted over `image_bgr`."""
        from mrcnn_cv.drawing.annotate import draw

        return draw(image_bgr, self, style)

    def counts(self) -> dict[str, int]:
        """How many instances each label has, most frequent first."""
        names, numbers = np.unique(np.array(self.labels, dtype=object), return_counts=True)
        order = np.argsort(-numbers, kind="stable")
        return {str(names[i]): int(numbers[i]) for i in order}

    def to_dict(self) -> dict[str, Any]:
        """The JSON record of this image; docs/json.md and its schema describe it."""
        height, width = self.image_size
        # A picture of its own has no such key.
        moment = {} if self.time is None else {"time": round(self.time, 6)}
        return {
            "source": self.source,
            "frame": self.frame,
            **moment,
            "width": width,
            "height": height,
            "model": self.model,
            "backend": None
            if self.backend is None
            else {
                "requested": self.backend.requested,
                "used": self.backend.used,
                "device": self.backend.device,
            },
            "instances": list(self._records()),
            "timings_ms": {name: round(value, 3) for name, value in self.timings_ms.items()},
        }

    def _records(self) -> Iterator[dict[str, Any]]:
        for index in range(len(self)):
            local = self.local_mask(index)
            has_mask = self.mask_probabilities is not None
            # Where nobody followed the instances, the record has no such key; null: not followed (yet).
            followed = {} if self.track_ids is None else {"track_id": int(self.track_ids[index]) or None}
            yield {
                **followed,
                "class_id": int(self.class_ids[index]),
                "label": self.labels[index],
                "score": round(float(self.scores[index]), 6),
                "box": [round(float(value), 3) for value in self.boxes[index]],
                "area": int(np.count_nonzero(local.mask)),
                "mask": masks.to_rle(local, self.image_size) if has_mask else None,
            }
