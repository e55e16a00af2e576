"""Instances: what was found in one image. The only value that travels between the model, the sinks and the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import UsageError
from mrcnn_cv.structures import masks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mrcnn_cv.drawing.annotate import Style


Choice = SupportsIndex | slice | str | NDArray[np.bool_] | NDArray[np.integer[Any]] | Sequence[int] | Sequence[bool]
"""What chooses some of several instances; see `Instances`."""

Value = TypeVar("Value")


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

    Some of them are Instances again: found[0], found[:3], found[[2, 0]], found[found.scores > 0.8], found["cat"].
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

    def __iter__(self) -> Iterator[Instances]:
        """One after the other, each as Instances."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, choice: Choice) -> Instances:
        """Some of the instances, in the order in which they are chosen.

        choice: a place, a slice, a list or array of places, an array (N,) of bools, or a label. IndexError for a place
        that is not there, UsageError for what chooses nothing.
        """
        places = self._places(choice)
        return replace(
            self,
            boxes=self.boxes[places],
            scores=self.scores[places],
            class_ids=self.class_ids[places],
            labels=[self.labels[place] for place in places],
            mask_probabilities=None if self.mask_probabilities is None else self.mask_probabilities[places],
            track_ids=None if self.track_ids is None else self.track_ids[places],
            trails=None if self.trails is None else [self.trails[place] for place in places],
        )

    def _places(self, choice: Choice) -> NDArray[np.intp]:
        if isinstance(choice, str):
            return np.flatnonzero([label == choice for label in self.labels])
        everything: NDArray[np.intp] = np.arange(len(self))
        if isinstance(choice, slice):
            return everything[choice]
        wanted = np.asarray(choice)
        if wanted.dtype == np.bool_ and wanted.shape == everything.shape:
            return np.flatnonzero(wanted)
        if wanted.ndim == 1 and wanted.size == 0:
            return everything[:0]
        if wanted.dtype.kind not in "iu" or wanted.ndim > 1:
            raise UsageError(
                f"instances are chosen by a place, a slice, places, {len(self)} bools or a label, not by an array of"
                f" {wanted.dtype} of shape {wanted.shape}"
            )
        chosen: NDArray[np.intp] = everything[np.atleast_1d(wanted)]
        return chosen

    @staticmethod
    def concatenate(parts: Sequence[Instances]) -> Instances:
        """The instances of several answers about one image, best score first.

        What the answers say of themselves (source, model, ...) stays where all agree; times are added up. UsageError
        for none, and for answers that do not fit together: about images of other sizes, with masks of another kind.
        """
        if not parts:
            raise UsageError("there are no instances to join: give at least one answer, which may be empty")
        for name, what in (
            ("image_size", "image sizes"),
            ("mask_threshold", "mask thresholds"),
            ("mask_sampling", "ways to lay masks into boxes"),
        ):
            if _shared([getattr(part, name) for part in parts]) is None:
                raise UsageError(f"instances with different {what} cannot be joined")
        scores = np.concatenate([part.scores for part in parts])
        order = np.argsort(-scores, kind="stable")
        labels = [label for part in parts for label in part.labels]
        trails = _all_or_none([part.trails for part in parts], "trails")
        flat = None if trails is None else [trail for each in trails for trail in each]
        return Instances(
            boxes=np.concatenate([part.boxes for part in parts])[order],
            scores=scores[order],
            class_ids=np.concatenate([part.class_ids for part in parts])[order],
            labels=[labels[place] for place in order],
            mask_probabilities=_joined([part.mask_probabilities for part in parts], "masks", order),
            image_size=parts[0].image_size,
            mask_threshold=parts[0].mask_threshold,
            mask_sampling=parts[0].mask_sampling,
            source=_shared([part.source for part in parts]),
            frame=_shared([part.frame for part in parts]),
            model=_shared([part.model for part in parts]),
            backend=_shared([part.backend for part in parts]),
            timings_ms=_sums([part.timings_ms for part in parts]),
            track_ids=_joined([part.track_ids for part in parts], "track ids", order),
            trails=None if flat is None else [flat[place] for place in order],
            totals=_shared([part.totals for part in parts]),
            time=_shared([part.time for part in parts]),
        )

    def shifted(self, x: float, y: float, image_size: tuple[int, int]) -> Instances:
        """The same instances in an image of `image_size` (height, width), in which theirs begins at x, y (pixels)."""
        move = np.array([x, y], dtype=np.float32)
        return replace(
            self,
            boxes=self.boxes + np.tile(move, 2),
            image_size=image_size,
            trails=None if self.trails is None else [trail + move for trail in self.trails],
        )

    def mask_iou(self, other: Instances) -> NDArray[np.float64]:
        """(N, M): intersection over union of each mask with each of another answer about the same image, exactly.

        Where an answer has no masks, its boxes are filled. UsageError for images of different sizes.
        """
        if self.image_size != other.image_size:
            raise UsageError("masks of images of different sizes do not overlap: shift them into one image first")
        own, others = ([each.local_mask(index) for index in range(len(each))] for each in (self, other))
        result = np.zeros((len(own), len(others)))
        for row, column in np.ndindex(result.shape):
            both, either = masks.overlap(own[row], others[column])
            result[row, column] = both / either if both else 0.0
        return result

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


def _shared(values: Sequence[Value]) -> Value | None:
    """What all are; None where they differ."""
    return values[0] if all(value == values[0] for value in values) else None


def _sums(timings: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in timings for name in each)
    return {name: sum(each.get(name, 0.0) for each in timings) for name in names}


def _all_or_none(values: Sequence[Value | None], what: str) -> list[Value] | None:
    """All of them; None where all are; UsageError where some are."""
    given = [value for value in values if value is not None]
    if given and len(given) < len(values):
        raise UsageError(f"instances with and without {what} cannot be joined")
    return given or None


def _joined(arrays: Sequence[NDArray[Any] | None], what: str, order: NDArray[np.intp]) -> NDArray[Any] | None:
    given = _all_or_none(arrays, what)
    if given is None:
        return None
    if len({array.shape[1:] for array in given}) > 1:
        raise UsageError(f"instances with {what} of different sizes cannot be joined")
    return np.concatenate(given)[order]
