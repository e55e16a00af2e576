"""The numbers of `mrcnn-cv compare` as a table."""

from __future__ import annotations

from pathlib import PurePath

import click

from mrcnn_cv.cli.console.messages import sanitize
from mrcnn_cv.evaluation.agreement import CLOSE, spread
from mrcnn_cv.evaluation.comparison import WHICH
from mrcnn_cv.jobs.compare_models import ComparisonResult

MAX_SHOWN = 5

_ROWS = {
    "score": "score difference",
    "box_pixels": "box side, pixels",
    "box_iou_loss": "1 - box IoU",
    "mask_iou_loss": "1 - mask IoU",
}


def print_comparison(result: ComparisonResult) -> None:
    """The table, on stdout."""
    for line in table(result):
        click.echo(sanitize(line))


def table(result: ComparisonResult) -> list[str]:
    """Lines for people."""
    comparison = result.comparison
    if not comparison.images:
        return []
    first, second = comparison.alone
    near = sum(image.near for image in comparison.images)
    sides = zip(WHICH, comparison.names, comparison.backends, strict=True)
    count = len(comparison.images)
    lines = [f"{which}: {name}, ran on {use.used} ({use.device})" for which, name, use in sides]
    lines += [
        "",
        f"{count:,} image{'' if count == 1 else 's'}, agreement {comparison.agreement:.4f}:"
        f" {comparison.pairs:,} instances found by both, {first:,} by the first alone, {second:,} by the second alone",
    ]
    if near:
        lines.append(f"{near:,} of those that one found alone have a score less than {CLOSE:g} above the threshold")
    if comparison.pairs:
        lines += ["", f"{'':<18}{'median':>10}{'95 of 100':>12}{'worst':>10}"]
        for key, values in comparison.differences().items():
            each = spread(values)
            if each is not None:
                lines.append(f"{_ROWS[key]:<18}{each.median:>10.5f}{each.p95:>12.5f}{each.worst:>10.5f}")
    worst = [image for image in comparison.worst() if any(image.agreement.disagreement)][:MAX_SHOWN]
    if worst:
        lines += ["", "worst:", *(f"  {'/'.join(PurePath(each.name).parts[-2:])}  {each.summary()}" for each in worst)]
    if result.drawn > 1:
        lines.append(f"the worst {result.drawn} side by side in {result.directory}")
    elif result.drawn:
        lines.append(f"the worst one is in {result.directory}")
    return lines
