"""Export a torchvision detector to ONNX, as docs/models.md tells its owners to."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch


def export(
    model: torch.nn.Module,
    path: Path,
    opset: int,
    size: tuple[int, int] = (480, 640),
    fixed: bool = False,
    folded: bool = True,
) -> None:
    """Write `model` with the legacy exporter. fixed: for images of `size` only. folded: sums of constants are done."""
    names = ["boxes", "labels", "scores", "masks"]
    names = names if model.roi_heads.has_mask() else names[:3]
    axes = None if fixed else {"image": {2: "height", 3: "width"}, **{name: {0: "count"} for name in names}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (torch.rand(1, 3, *size),),
            str(path),
            opset_version=opset,
            input_names=["image"],
            output_names=names,
            dynamic_axes=axes,
            do_constant_folding=folded,
            dynamo=False,
        )
