"""Mutated frozen graphs of matterport's Mask_RCNN."""

from __future__ import annotations

from pathlib import Path

from tests.robustness.fuzz import models
from tests.robustness.fuzz.models import EXIT_CODES, Seed, attempt
from tests.robustness.fuzz.object_detection import edited
from tests.robustness.fuzz.worker import make_again

__all__ = ["EXIT_CODES", "attempt", "case"]

_CONFIGS = {
    "plain": "plain_square",
    "decomposed": "decomposed_square",
    "pixels": "pixels_square",
    "loops": "loops_square",
}
SEEDS = tuple(
    Seed(f"matterport/{name}.pb.xz", f"matterport/{config}.json", "model.json") for name, config in _CONFIGS.items()
)


def case(number: int, seed: int, folder: Path) -> Path:
    """One graph and the values of its Config."""
    return models.write(number, seed, folder, SEEDS, "model.pb", edited)


if __name__ == "__main__":
    make_again(case, attempt)
