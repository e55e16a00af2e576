"""The numbers of a comparison of two models, by image and in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mrcnn_cv.evaluation.agreement import CLOSE, Agreement, spread
from mrcnn_cv.structures.instances import BackendUse, Instances


@dataclass(frozen=True)
class ImageComparison:
    """One image. alone: (label, score) of what only the first, and only the second found; near: how many of these
    have a score just above the threshold."""

    name: str
    agreement: Agreement
    alone: tuple[list[tuple[str, float]], list[tuple[str, float]]]
    near: int

    @staticmethod
    def of(
        name: str, first: Instances, second: Instances, agreement: Agreement, threshold: float | None
    ) -> ImageComparison:
        """threshold: of scores; None: the model's own, of which nobody knows what is near."""
        alone = (_alone(first, agreement.only_first), _alone(second, agreement.only_second))
        near = 0 if threshold is None else sum(score - threshold < CLOSE for side in alone for _, score in side)
        return ImageComparison(name, agreement, alone, near)

    def summary(self) -> str:
        """Part of a line: how far the two are apart on this image."""
        _, overlap, shift = self.agreement.disagreement
        parts = [f"{len(self.agreement.pairs)} found by both"]
        parts += [f"{len(side)} by the {which} alone" for side, which in zip(self.alone, WHICH, strict=True) if side]
        if self.agreement.pairs:
            parts.append(f"lowest IoU {1 - overlap:.3f}, largest score difference {shift:.3f}")
        return ", ".join(parts)


WHICH = ("first", "second")


def _alone(instances: Instances, indexes: Sequence[int]) -> list[tuple[str, float]]:
    return [(instances.labels[index], float(instances.scores[index])) for index in indexes]


@dataclass
class Comparison:
    """Of all images. names: of the two sides. failed: images that could not be used."""

    names: tuple[str, str]
    images: list[ImageComparison] = field(default_factory=list)
    failed: int = 0
    backends: list[BackendUse] = field(default_factory=list)

    @property
    def pairs(self) -> int:
        return sum(len(image.agreement.pairs) for image in self.images)

    @property
    def alone(self) -> tuple[int, int]:
        first, second = (sum(len(image.alone[side]) for image in self.images) for side in (0, 1))
        return first, second

    @property
    def agreement(self) -> float:
        """Of all instances that at least one side found, those that both did."""
        every = self.pairs + sum(self.alone)
        return self.pairs / every if every else 1.0

    def worst(self) -> list[ImageComparison]:
        """The images, the one with the largest differences first."""
        return sorted(self.images, key=lambda image: image.agreement.disagreement, reverse=True)

    def differences(self) -> dict[str, list[float]]:
        """Over all pairs; larger is worse."""
        pairs = [pair for image in self.images for pair in image.agreement.pairs]
        masks = [1 - pair.mask_iou for pair in pairs if pair.mask_iou is not None]
        return {
            "score": [abs(pair.score_shift) for pair in pairs],
            "box_pixels": [pair.box_shift for pair in pairs],
            "box_iou_loss": [1 - pair.box_iou for pair in pairs],
            **({"mask_iou_loss": masks} if masks else {}),
        }

    def to_dict(self, score: float | str, iou: float) -> dict[str, Any]:
        """For JSON; docs/eval.md describes it. score, iou: what was asked for."""
        first, second = self.alone
        return {
            "sides": [
                {"name": name, "backend": use.used, "device": use.device}
                for name, use in zip(self.names, self.backends, strict=True)
            ],
            "score": score,
            "iou": iou,
            "pictures": len(self.images),
            "failed": self.failed,
            "agreement": round(self.agreement, 6),
            "found_by_both": self.pairs,
            "only_first": first,
            "only_second": second,
            "near_threshold": sum(image.near for image in self.images),
            "differences": {key: _spread(values) for key, values in self.differences().items()},
            "worst_first": [_image(image) for image in self.worst()],
        }


def _spread(values: list[float]) -> dict[str, float] | None:
    found = spread(values)
    return None if found is None else {name: round(value, 6) for name, value in asdict(found).items()}


def _image(image: ImageComparison) -> dict[str, Any]:
    unmatched, overlap, shift = image.agreement.disagreement
    only_first, only_second = (
        [{"label": label, "score": round(score, 6)} for label, score in side] for side in image.alone
    )
    return {
        "source": image.name,
        "agreement": round(1 - unmatched, 6),
        "found_by_both": len(image.agreement.pairs),
        "only_first": only_first,
        "only_second": only_second,
        "lowest_iou": round(1 - overlap, 6) if image.agreement.pairs else None,
        "largest_score_difference": round(shift, 6) if image.agreement.pairs else None,
    }
