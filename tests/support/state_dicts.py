"""The weights in ONNX files that torch's exporter wrote, under the names that they had in torch."""

from __future__ import annotations

import lzma
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from tests.conftest import DATA

Array = NDArray[Any]


def read_packed(path: Path) -> onnx.ModelProto:
    """A model in a file packed by xz."""
    return onnx.load_from_string(lzma.decompress(path.read_bytes()))


def torchvision_norm(module: str) -> str | None:
    """The norm behind a convolution, by torchvision's names."""
    if re.search(r"(^|\.)conv[1-3]$", module):
        return re.sub(r"conv([1-3])$", r"bn\1", module)
    return f"{module.removesuffix('.0')}.1" if module.endswith(".0") else None


def state_dict(
    model: onnx.ModelProto, epsilon: float, norm_of: Callable[[str], str | None] = torchvision_norm
) -> dict[str, Array]:
    """What `model.state_dict()` was, with norms whose statistics are made up. norm_of: the norm behind a convolution.

    Exporters write what a norm does as a product and a sum, or leave it in the weights of its convolution. Here each
    gets a gain, a shift, a mean and a variance that together do the same.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    numbers = np.random.default_rng(0)
    found: dict[str, Array] = {}
    seen: set[str] = set()
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or node.input[1] not in constants:
            continue
        if node.input[1] in seen:
            # The same layer for another level of a pyramid.
            continue
        seen.add(node.input[1])
        module = _module(node)
        weight = constants[node.input[1]]
        bias = constants[node.input[2]] if len(node.input) > 2 else None
        norm = norm_of(module) if node.op_type == "Conv" else None
        is_folded = node.input[1].startswith("onnx::")
        product = next((each for each in consumers[node.output[0]] if each.op_type == "Mul"), None)
        if norm is not None and (is_folded or (product is not None and bias is None)):
            channels = len(weight)
            if is_folded or product is None:
                scale, shift = np.ones(channels), bias if bias is not None else np.zeros(channels)
            else:
                scale = constants[product.input[1]].ravel()
                shift = constants[consumers[product.output[0]][0].input[1]].ravel()
            mean, variance = numbers.normal(size=channels), numbers.uniform(0.5, 2, channels)
            gain = numbers.uniform(0.5, 2, channels)
            own = gain / np.sqrt(variance + epsilon)
            found[f"{module}.weight"] = (weight * (scale / own).reshape(-1, 1, 1, 1)).astype(np.float32)
            statistics = {"weight": gain, "bias": shift + mean * own, "running_mean": mean, "running_var": variance}
            found |= {f"{norm}.{part}": value.astype(np.float32) for part, value in statistics.items()}
            continue
        found[f"{module}.weight"] = weight
        if bias is not None:
            found[f"{module}.bias"] = bias
    return found


def _module(node: onnx.NodeProto) -> str:
    """What torch calls the module of a node named /backbone/body/layer1/layer1.0/conv1/Conv."""
    parts = node.name.strip("/").split("/")[:-1]
    names: list[str] = []
    for part in parts:
        before = parts[len(names) - 1] if names else ""
        names.append(part.removeprefix(f"{before}.") if before else part)
    return ".".join(names)


_NAMES = (
    (r"backbone\.bottom_up\.stem\.", r"backbone.bottom_up.stem.conv1."),
    (r"backbone\.bottom_up\.stages\.(\d)\.", r"backbone.bottom_up.res{+2}."),
    (r"backbone\.lateral\.(\d)\.", r"backbone.fpn_lateral{+2}."),
    (r"backbone\.output\.(\d)\.", r"backbone.fpn_output{+2}."),
    (r"rpn\.", r"proposal_generator.rpn_head."),
    (r"box_head\.convs\.(\d)\.", r"roi_heads.box_head.conv{+1}."),
    (r"box_head\.(cls_score|bbox_pred)\.", r"roi_heads.box_predictor.\1."),
    (r"box_head\.", r"roi_heads.box_head."),
    (r"mask_head\.convs\.(\d)\.", r"roi_heads.mask_head.mask_fcn{+1}."),
    (r"mask_head\.", r"roi_heads.mask_head."),
)
"""Modules of scripts/detectron2_layout → Detectron2's."""


def _detectron2_name(name: str) -> str:
    for pattern, target in _NAMES:
        if match := re.match(pattern, name):
            number = int(match[1]) if match.groups() and match[1].isdecimal() else 0
            for more in (1, 2):
                target = target.replace(f"{{+{more}}}", str(number + more))
            return match.expand(target) + name[match.end() :]
    return name


@cache
def detectron2_weights(name: str) -> dict[str, Array]:
    """Of one of the small models in tests/data/detectron2, under Detectron2's names."""
    model = read_packed(DATA / "detectron2" / f"{name}.onnx.xz")
    found = state_dict(model, 1e-5, lambda module: f"{module}.norm" if "bottom_up" in module else None)
    return {_detectron2_name(each): array for each, array in found.items()}
