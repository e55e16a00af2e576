"""Instances: the detections of one image, the value that predictors return and outputs take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import UsageError
from mrcnn_cv.structures import masks
from mrcnn_cv.structures.joining import all_or_none, joined, shared, sums
from mrcnn_cv.util.arguments import check, check_array
from mrcnn_cv.util.registry import load_object

if TYPE_CHECKING:
    from mrcnn_cv.drawing.annotate import Style

Choice = SupportsIndex | slice | str | NDArray[np.bool_] | NDArray[np.integer[Any]] | Sequence[int] | Sequence[bool]
"""What selects some of several instances; see `Instances.__getitem__`."""

DRAW = "mrcnn_cv.drawing.annotate:draw"
"""What `Instances.draw` calls: a row as in a registry, loaded at the first use, since drawing is a layer above."""

_OF_THE_RUN = ("source", "frame", "model", "backend", "totals", "time")


@dataclass(frozen=True)
class BackendUse:
    """The backend that was requested and the one that ran.

    Attributes
    ----------
    requested
        Name of the backend that was asked for, such as "auto".
    used
        Name of the backend that ran the nets.
    device
        Name of the CPU or GPU on which it ran.
    """

    requested: str
    used: str
    device: str


@dataclass
class Instances:
    """The N instances of one image, best score first.

    Indexing gives Instances again: found[0], found[:3], found[[2, 0]], found[found.scores > 0.8], found["cat"].

    Attributes
    ----------
    boxes
        (N, 4) float32: x1, y1, x2, y2 of the corners in pixels of the image, not rounded.
    scores
        (N,) float32, descending.
    class_ids
        (N,) int32: ids of the label map (COCO: 1 to 90).
    labels
        N names; the id as text where the label map has no name for it.
    mask_probabilities
        (N, mask_h, mask_w) float32 in [0, 1], local to the box; None for a model without masks.
    image_size
        (height, width) of the image in pixels.
    mask_threshold
        Probability above which a pixel belongs to the instance.
    mask_sampling
        Where the mask's samples lie in the box. "corners": the outermost samples lie on the edges of the box
        (TensorFlow's crop_and_resize). "centers": each sample is the center of a cell. "expanded": the same, in a box
        enlarged by one sample on each side and rounded to whole pixels.
    source
        Name of the image, video or stream.
    frame
        Index of the frame, from 0; None for an image.
    model
        Name of the model file.
    backend
        The backend that ran.
    timings_ms
        Milliseconds of each step, by its name.
    track_ids
        (N,) int32, set by tracking: one number per object in all frames, from 1; 0 for an object without a confirmed
        track. None without tracking.
    trails
        N arrays (k, 2) float32, set by tracking: x, y in pixels of the earlier centers of each box, oldest first.
    totals
        Set by tracking: the number of distinct objects of each label since tracking began.
    time
        Seconds from the start of the video or stream; None for an image.

    Raises
    ------
    UsageError
        For arrays of other shapes.
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

    def __post_init__(self) -> None:
        check_array("scores", self.scores, (None,))
        count = len(self.scores)
        check_array("boxes", self.boxes, (count, 4))
        check_array("class_ids", self.class_ids, (count,))
        if self.mask_probabilities is not None:
            check_array("mask_probabilities", self.mask_probabilities, (count, None, None))
        if self.track_ids is not None:
            check_array("track_ids", self.track_ids, (count,))
        for name, value in (("labels", self.labels), ("trails", self.trails)):
            if value is not None and (not isinstance(value, list) or len(value) != count):
                raise UsageError(f"{name} must be a list with one item for each of the {count} instances")
        check("image_size", self.image_size, tuple[int, int])

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Instances]:
        """One instance at a time, each as Instances of length 1."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, choice: Choice) -> Instances:
        """Select some of the instances.

        Parameters
        ----------
        choice
            An index, a slice, a list or array of indices, a mask (N,) of bools, or a label.

        Returns
        -------
        Instances
            The selected instances, in the order of the selection.

        Raises
        ------
        IndexError
            For an index that is out of range.
        UsageError
            For a value that is none of these, such as a mask of another length.
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
        """Join several sets of instances of one image, such as those of several models or tiles.

        Parameters
        ----------
        parts
            At least one. Fields that describe the run (source, model, ...) are kept where all parts agree; timings are
            added up.

        Returns
        -------
        Instances
            All instances, best score first.

        Raises
        ------
        UsageError
            If `parts` is empty, or the parts have different image sizes or different kinds of masks.
        """
        if not parts:
            raise UsageError("there are no instances to join: give at least one answer, which may be empty")
        for name in ("image_size", "mask_threshold", "mask_sampling"):
            if shared([getattr(part, name) for part in parts]) is None:
                raise UsageError(f"instances with different {name.replace('_', ' ')}s cannot be joined")
        scores = np.concatenate([part.scores for part in parts])
        order = np.argsort(-scores, kind="stable")
        labels = [label for part in parts for label in part.labels]
        trails = all_or_none([part.trails for part in parts], "trails")
        flat = None if trails is None else [trail for each in trails for trail in each]
        agreed: dict[str, Any] = {name: shared([getattr(part, name) for part in parts]) for name in _OF_THE_RUN}
        return replace(
            parts[0],
            boxes=np.concatenate([part.boxes for part in parts])[order],
            scores=scores[order],
            class_ids=np.concatenate([part.class_ids for part in parts])[order],
            labels=[labels[place] for place in order],
            mask_probabilities=joined([part.mask_probabilities for part in parts], "masks", order),
            track_ids=joined([part.track_ids for part in parts], "track ids", order),
            trails=None if flat is None else [flat[place] for place in order],
            timings_ms=sums([part.timings_ms for part in parts]),
            **agreed,
        )

    def shifted(self, x: float, y: float, image_size: tuple[int, int]) -> Instances:
        """Move the instances of a tile into the image from which it was cut.

        Parameters
        ----------
        x, y
            Position in pixels of the tile's top left corner in the larger image.
        image_size
            (height, width) of the larger image in pixels.

        Returns
        -------
        Instances
            The same instances with boxes and trails in pixels of the larger image.
        """
        move = np.array([x, y], dtype=np.float32)
        return replace(
            self,
            boxes=self.boxes + np.tile(move, 2),
            image_size=image_size,
            trails=None if self.trails is None else [trail + move for trail in self.trails],
        )

    def mask_iou(self, other: Instances) -> NDArray[np.float64]:
        """Intersection over union of every mask with every mask of other instances, exact to the pixel.

        Parameters
        ----------
        other
            M instances of the same image. Filled boxes stand in for masks that a model does not give.

        Returns
        -------
        NDArray[np.float64]
            (N, M), each in [0, 1].

        Raises
        ------
        UsageError
            If the image sizes differ.
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
        """The mask of one instance, cropped to the pixels that its box covers.

        Nothing of the size of the image is allocated.

        Parameters
        ----------
        index
            Which instance, from 0.

        Returns
        -------
        LocalMask
            (top, left, mask) with mask (h, w) bool; for a model without masks, the filled box.
        """
        if self.mask_probabilities is None:
            return masks.fill_box(self.boxes[index], self.image_size)
        return masks.paste(
            self.mask_probabilities[index], self.boxes[index], self.image_size, self.mask_threshold, self.mask_sampling
        )

    def full_mask(self, index: int) -> NDArray[np.bool_]:
        """The mask of one instance, of the size of the image.

        Parameters
        ----------
        index
            Which instance, from 0.

        Returns
        -------
        NDArray[np.bool_]
            (H, W), True inside the instance.
        """
        top, left, mask = self.local_mask(index)
        full = np.zeros(self.image_size, dtype=np.bool_)
        full[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        return full

    def draw(self, image_bgr: NDArray[np.uint8], style: Style | None = None) -> NDArray[np.uint8]:
        """Draw the instances over an image.

        Parameters
        ----------
        image_bgr
            (H, W, 3) uint8 BGR. It is not changed.
        style
            Colors, opacity and what to hide; None for the default style.

        Returns
        -------
        NDArray[np.uint8]
            A new image (H, W, 3), BGR.
        """
        drawn: NDArray[np.uint8] = load_object(DRAW)(image_bgr, self, style)
        return drawn

    def counts(self) -> dict[str, int]:
        """Count the instances of each label.

        Returns
        -------
        dict[str, int]
            Label to number of instances, most frequent first.
        """
        return dict(sorted(Counter(self.labels).items(), key=lambda item: (-item[1], item[0])))

    def to_dict(self) -> dict[str, Any]:
        """The JSON record of this image, as `docs/json.md` describes it.

        Returns
        -------
        dict[str, Any]
            Plain numbers, strings, lists and dicts, ready for `json.dumps`. Masks are COCO run lengths.
        """
        height, width = self.image_size
        return {
            "source": self.source,
            "frame": self.frame,
            # An image that is no frame has no such key.
            **({} if self.time is None else {"time": round(self.time, 6)}),
            "width": width,
            "height": height,
            "model": self.model,
            "backend": None if self.backend is None else asdict(self.backend),
            "instances": list(self._records()),
            "timings_ms": {name: round(value, 3) for name, value in self.timings_ms.items()},
        }

    def _records(self) -> Iterator[dict[str, Any]]:
        for index in range(len(self)):
            local = self.local_mask(index)
            # Where nobody followed the instances, the record has no such key; null: not followed (yet).
            followed = {} if self.track_ids is None else {"track_id": int(self.track_ids[index]) or None}
            yield {
                **followed,
                "class_id": int(self.class_ids[index]),
                "label": self.labels[index],
                "score": round(float(self.scores[index]), 6),
                "box": [round(float(value), 3) for value in self.boxes[index]],
                "area": int(np.count_nonzero(local.mask)),
                "mask": None if self.mask_probabilities is None else masks.to_rle(local, self.image_size),
            }
