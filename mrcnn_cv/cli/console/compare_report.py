"""The figures of `mrcnn-cv compare`, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from mrcnn_cv.evaluation.agreement import CLOSE, Agreement, spread
from mrcnn_cv.structures.instances import BackendUse, Instances

MAX_SHOWN = 5


@dataclass(frozen=True)
class ComparisonRow:
    """One picture. alone: (label, score) of what only the first, and only the second found; near: how many of these
    have a score just above the threshold."""

    name: str
    agreement: Agreement
    alone: tuple[list[tuple[str, float]], list[tuple[str, float]]]
    near: int

    @staticmethod
    def of(
        name: str, first: Instances, second: Instances, agreement: Agreement, threshold: float | None
    ) -> ComparisonRow:
        """threshold: of scores; None: the model's own, of which nobody knows what is near."""
        alone = (_alone(first, agreement.only_first), _alone(second, agreement.only_second))
        near = 0 if threshold is None else sum(score - threshold < CLOSE for side in alone for _, score in side)
        return ComparisonRow(name, agreement, alone, near)

    def summary(self) -> str:
        """Part of a line: how far the two are apart on this picture."""
        _, overlap, shift = self.agreement.disagreement
        parts = [f"{len(self.agreement.pairs)} found by both"]
        parts += [f"{len(side)} by the {which} alone" for side, which in zip(self.alone, _WHICH, strict=True) if side]
        if self.agreement.pairs:
            parts.append(f"lowest IoU {1 - overlap:.3f}, largest score difference {shift:.3f}")
        return ", ".join(parts)


_WHICH = ("first", "second")


def _alone(instances: Instances, places: Sequence[int]) -> list[tuple[str, float]]:
    return [(instances.labels[index], float(instances.scores[index])) for index in places]


@dataclass
class ComparisonFigures:
    """Of a whole comparison. names: of the two sides. failed: pictures that could not be used."""

    names: tuple[str, str]
    rows: list[ComparisonRow] = field(default_factory=list)
    failed: int = 0
    backends: list[BackendUse] = field(default_factory=list)

    @property
    def pairs(self) -> int:
        return sum(len(row.agreement.pairs) for row in self.rows)

    @property
    def alone(self) -> tuple[int, int]:
        first, second = (sum(len(row.alone[side]) for row in self.rows) for side in (0, 1))
        return first, second

    @property
    def agreement(self) -> float:
        """Of all instances that at least one side found, those that both did."""
        every = self.pairs + sum(self.alone)
        return self.pairs / every if every else 1.0

    def worst(self) -> list[ComparisonRow]:
        """The pictures, the one with the largest differences first."""
        return sorted(self.rows, key=lambda row: row.agreement.disagreement, reverse=True)

    def differences(self) -> dict[str, list[float]]:
        """Over all pairs; larger is worse."""
        pairs = [pair for row in self.rows for pair in row.agreement.pairs]
        masks = [1 - pair.mask_iou for pair in pairs if pair.mask_iou is not None]
        return {
            "score": [abs(pair.score_shift) for pair in pairs],
            "box_pixels": [pair.box_shift for pair in pairs],
            "box_iou_loss": [1 - pair.box_iou for pair in pairs],
            **({"mask_iou_loss": masks} if masks else {}),
        }


_ROWS = {
    "score": "score difference",
    "box_pixels": "box side, pixels",
    "box_iou_loss": "1 - box IoU",
    "mask_iou_loss": "1 - mask IoU",
}


def table(figures: ComparisonFigures, written: int, folder: str) -> list[str]:
    """Lines for people."""
    if not figures.rows:
        return []
    first, second = figures.alone
    near = sum(row.near for row in figures.rows)
    sides = zip(_WHICH, figures.names, figures.backends, strict=True)
    lines = [f"{which}: {name}, ran on {use.used} ({use.device})" for which, name, use in sides]
    lines += [
        "",
        f"{len(figures.rows):,} picture{'' if len(figures.rows) == 1 else 's'}, agreement {figures.agreement:.4f}:"
        f" {figures.pairs:,} instances found by both, {first:,} by the first alone, {second:,} by the second alone",
    ]
    if near:
        lines.append(f"{near:,} of those that one found alone have a score less than {CLOSE:g} above the threshold")
    if figures.pairs:
        lines += ["", f"{'':<18}{'median':>10}{'95 of 100':>12}{'worst':>10}"]
        for key, values in figures.differences().items():
            each = spread(values)
            if each is not None:
                lines.append(f"{_ROWS[key]:<18}{each.median:>10.5f}{each.p95:>12.5f}{each.worst:>10.5f}")
    worst = [row for row in figures.worst() if any(row.agreement.disagreement)][:MAX_SHOWN]
    if worst:
        lines += ["", "worst:", *(f"  {'/'.join(PurePath(row.name).parts[-2:])}  {row.summary()}" for row in worst)]
    if written:
        lines.append(
            f"the worst {written} side by side in {folder}" if written > 1 else f"the worst one is in {folder}"
        )
    return lines


def record(figures: ComparisonFigures, options: dict[str, Any]) -> dict[str, Any]:
    """What --json writes; docs/eval.md describes it."""
    first, second = figures.alone
    return {
        "sides": [
            {"name": name, "backend": use.used, "device": use.device}
            for name, use in zip(figures.names, figures.backends, strict=True)
        ],
        "score": options["score"],
        "iou": options["iou"],
        "pictures": len(figures.rows),
        "failed": figures.failed,
        "agreement": round(figures.agreement, 6),
        "found_by_both": figures.pairs,
        "only_first": first,
        "only_second": second,
        "near_threshold": sum(row.near for row in figures.rows),
        "differences": {key: _spread(values) for key, values in figures.differences().items()},
        "worst_first": [_image(row) for row in figures.worst()],
    }


def _spread(values: list[float]) -> dict[str, float] | None:
    found = spread(values)
    if found is None:
        return None
    return {"median": round(found.median, 6), "p95": round(found.p95, 6), "worst": round(found.worst, 6)}


def _image(row: ComparisonRow) -> dict[str, Any]:
    unmatched, overlap, shift = row.agreement.disagreement
    only_first, only_second = (
        [{"label": label, "score": round(score, 6)} for label, score in side] for side in row.alone
    )
    return {
        "source": row.name,
        "agreement": round(1 - unmatched, 6),
        "found_by_both": len(row.agreement.pairs),
        "only_first": only_first,
        "only_second": only_second,
        "lowest_iou": round(1 - overlap, 6) if row.agreement.pairs else None,
        "largest_score_difference": round(shift, 6) if row.agreement.pairs else None,
    }
