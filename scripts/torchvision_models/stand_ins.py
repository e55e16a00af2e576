"""Stand-in weights: random, but with every number in use and without noise that grows from layer to layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

DEVIATIONS = {
    "rpn.head.bbox_pred": 0.2,
    "rpn.head.cls_logits": 1.5,
    "roi_heads.box_predictor.cls_score": 1.5,
    "roi_heads.box_predictor.bbox_pred": 0.7,
    "roi_heads.mask_predictor.mask_fcn_logits": 2.0,
}
"""Of what the layers predict; of all others it is 1."""

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
Norm = nn.BatchNorm2d | FrozenBatchNorm2d


def fit(model: nn.Module, images: list[torch.Tensor], seed: int, two_valued: bool = False) -> None:
    """Fill a model. two_valued: kernels hold one number with both signs, so that they pack to a thirtieth."""
    draw = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, Layer):
            noise = torch.randn(layer.weight.shape, generator=draw)
            layer.weight.data.copy_(noise.sign() if two_valued else noise)
            if layer.bias is not None:
                layer.bias.data.copy_(0.1 * torch.randn(layer.bias.shape, generator=draw))
    done: set[str] = set()
    hooks = []
    for name, layer in model.named_modules():
        if isinstance(layer, Norm):
            hooks.append(layer.register_forward_pre_hook(_fitted(draw)))
        elif isinstance(layer, Layer):
            hooks.append(layer.register_forward_hook(_scaled(name, done)))
    with torch.no_grad():
        model.eval()(images)
    for hook in hooks:
        hook.remove()


def _fitted(draw: torch.Generator) -> Callable[[nn.Module, tuple[torch.Tensor]], None]:
    """A hook that fits the statistics of a batch norm to what it is given, and makes up the rest."""

    def hook(layer: nn.Module, given: tuple[torch.Tensor]) -> None:
        values = given[0]
        if values.numel() < 8 * values.shape[1]:
            return
        layer.running_mean.data.copy_(values.mean((0, 2, 3)))
        layer.running_var.data.copy_(values.var((0, 2, 3)).clamp(min=1e-3))
        layer.weight.data.copy_(1 + 0.2 * torch.randn(values.shape[1], generator=draw))
        layer.bias.data.copy_(0.3 * torch.randn(values.shape[1], generator=draw))

    return hook


def _scaled(name: str, done: set[str]) -> Callable[[nn.Module, object, torch.Tensor], torch.Tensor | None]:
    """A hook that scales a layer so that what it makes at its first use has the deviation that it should."""

    def hook(layer: nn.Module, given: object, result: torch.Tensor) -> torch.Tensor | None:
        if name in done or result.numel() < 64:
            return None
        done.add(name)
        shape = (1, -1, 1, 1) if result.ndim == 4 else (1, -1)
        bias = 0 if layer.bias is None else layer.bias.data.reshape(shape)
        factor = DEVIATIONS.get(name, 1.0) / (result - bias).std()
        layer.weight.data.mul_(factor)
        return (result - bias) * factor + bias

    return hook
