"""torch's own answer for an image, with the mask probabilities in front of the pasting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image


def read_image(path: Path, size: tuple[int, int] | None = None) -> torch.Tensor:
    """(3, H, W) float32 RGB, 0 to 1; size: (width, height) to which the image is brought first."""
    picture = Image.open(path).convert("RGB")
    if size is not None:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def answer(model: torch.nn.Module, image: torch.Tensor) -> dict[str, np.ndarray]:
    """boxes (N, 4) x1 y1 x2 y2, labels, scores; masks (N, h, w) of each own class, pasted (N, H, W) packed bits."""
    logits: list[torch.Tensor] = []
    hooks = []
    if model.roi_heads.has_mask():
        predictor = model.roi_heads.mask_predictor
        hooks.append(predictor.register_forward_hook(lambda module, given, result: logits.append(result)))
    with torch.no_grad():
        found = model.eval()([image])[0]
    for hook in hooks:
        hook.remove()
    arrays = {name: found[name].numpy() for name in ("boxes", "labels", "scores")}
    if logits:
        own = logits[0].sigmoid()[torch.arange(len(found["labels"])), found["labels"]]
        arrays["masks"] = own.numpy()
        arrays["pasted"] = np.packbits(found["masks"][:, 0].numpy() > 0.5)
    return arrays
