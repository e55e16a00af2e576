"""Make tiny graphs in Detectron2's layout, and what the same layout answers in torch, for the package's tests.

The layout is `layout.py`'s, with few channels. Weights are stand-ins of two values, so that a graph packs small;
batch-norm statistics and the predictors' scales are fitted on a photo, so that boxes, classes and masks differ as they
do in a trained model. Biases are not zero. The graphs know nothing of the world. README.md says how to run this.

    python make_test_graphs.py ../../tests/data/detectron2
"""

from __future__ import annotations

import argparse
import lzma
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import yaml
from layout import Config, Conv2d, FrozenBatchNorm2d, GeneralizedRCNN
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

PHOTOS = Path(__file__).resolve().parent.parent.parent / "tests" / "data" / "images"
FITTED_ON = "coffee"
SMALL = Config(
    stem=8, res2=16, width_per_group=8, fpn=16, classes=4, fc=32, mask_convs=2, min_size=128, max_size=208,
    anchor_sizes=((16,), (32,), (64,), (96,), (128,)), pre_nms=300, post_nms=60, detections=20,
)  # fmt: skip
GRAPHS: dict[str, tuple[Config, int, str]] = {
    # name: config, opset, and "any size" where the exporter was told that images differ, "folded" where a tool that
    # simplifies graphs went over it
    "r50": (SMALL, 17, "any size"),
    "x101": (
        replace(
            SMALL, depth=(3, 4, 23, 3), groups=4, width_per_group=2, stride_in_1x1=False, agnostic_masks=True,
            pixel_std=(57.375, 57.12, 58.395), anchor_offset=0.5, box_weights=(9.0, 8.0, 4.0, 6.0),
            rpn_weights=(1.5, 2.0, 1.0, 1.25), rpn_nms=0.6, nms=0.4, score_threshold=0.1, pre_nms=200, min_box_size=4.0,
        ),
        11, "",
    ),
    "faster_rgb": (
        replace(
            SMALL, depth=(2, 2, 2, 2), mask_on=False, agnostic_boxes=True, box_convs=2, format="RGB", classes=1,
            pixel_mean=(123.675, 116.28, 103.53), pixel_std=(58.395, 57.12, 57.375), anchor_ratios=(0.6, 1.5),
            anchor_sizes=((12, 20), (24, 40), (48, 60), (80, 96), (110, 128)), sampling_ratio=2, pooler_aligned=False,
        ),
        16, "folded",
    ),
}  # fmt: skip
ANSWERS: dict[str, dict[str, tuple[int, int]]] = {
    # Answers by graph: photo, and the sizes that the config asks for, which no graph holds.
    "r50": {"coffee": (128, 208), "coffee_tall": (200, 240), "astronaut": (90, 160), "coffee_square": (0, 1333)},
    "x101": {"coffee": (128, 208), "coffee_tall": (150, 170), "astronaut": (96, 160)},
    "faster_rgb": {"coffee": (128, 208), "astronaut": (200, 320)},
}
SPREADS = {
    "rpn.objectness_logits": 2.0, "rpn.anchor_deltas": 0.3, "box_head.cls_score": 2.5, "box_head.bbox_pred": 1.0,
    "mask_head.predictor": 2.0,
}  # fmt: skip
RESIDUAL_GAIN = 0.4
"""What a residual unit adds to its shortcut; random ones that add all amplify float noise beyond tolerance."""


def photo(name: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB."""
    base, _, way = name.partition("_")
    image = np.asarray(Image.open(PHOTOS / f"{base}.png").convert("RGB"))
    window = {"tall": image[:, :100], "square": image[:192, :128]}.get(way, image)
    return np.ascontiguousarray(window)


def resized(image: NDArray[np.uint8], shorter: int, longer: int) -> NDArray[np.uint8]:
    """ResizeShortestEdge, on bytes: Pillow's bilinear, the rows first as all versions before 13 have them."""
    height, width = image.shape[:2]
    if not shorter:
        return image
    scale = shorter * 1.0 / min(height, width)
    new = [shorter, scale * width] if height < width else [scale * height, shorter]
    if max(new) > longer:
        scale = longer * 1.0 / max(new)
        new = [side * scale for side in new]
    new_height, new_width = (int(side + 0.5) for side in new)
    across = Image.fromarray(image).resize((new_width, height), Image.Resampling.BILINEAR)
    return np.asarray(across.resize((new_width, new_height), Image.Resampling.BILINEAR))


def network_input(name: str, cfg: Config) -> Tensor:
    """(3, H, W) float32, channels as the model wants them."""
    image = resized(photo(name), cfg.min_size, cfg.max_size)
    image = image[:, :, ::-1] if cfg.format == "BGR" else image
    return torch.as_tensor(np.ascontiguousarray(image.astype("float32").transpose(2, 0, 1)))


def fit(model: GeneralizedRCNN, image: Tensor) -> None:
    """Stand-in weights; statistics and scales so that the numbers behind each layer are spread as wanted."""
    generator = torch.Generator().manual_seed(0)
    hooks: list[Any] = []

    def normalise(module: FrozenBatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        (x,) = inputs
        module.running_mean.copy_(x.mean((0, 2, 3)))
        module.running_var.copy_(x.var((0, 2, 3)).clamp(min=1e-3))

    def scale(module: Any, spread: float, balanced: bool) -> Any:
        def hook(_: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            hooks[:] = [handle for handle in hooks if handle is not own or handle.remove()]
            bias = module.bias.reshape((1, -1, 1, 1) if output.ndim == 4 else (1, -1))
            plain = output - bias
            if balanced:
                # Each class wins somewhere.
                mean = plain.mean(0)
                module.bias.sub_(mean * spread / (plain - mean).std())
                plain = plain - mean
            factor = spread / plain.std().clamp(min=1e-3)
            module.weight.mul_(factor)
            return plain * factor + module.bias.reshape(bias.shape)

        own = module.register_forward_hook(hook)
        return own

    def coins(shape: torch.Size) -> Tensor:
        return torch.randint(0, 2, shape, generator=generator) * 2.0 - 1

    for name, module in model.named_modules():
        if isinstance(module, FrozenBatchNorm2d):
            gain = RESIDUAL_GAIN if name.endswith("conv3.norm") else 1.0
            module.weight.fill_(gain)
            module.bias.copy_(coins(module.bias.shape) * 0.2)
            hooks.append(module.register_forward_pre_hook(normalise))
        elif isinstance(module, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            module.weight.copy_(coins(module.weight.shape) / module.weight[0].numel() ** 0.5)
            if module.bias is not None:
                module.bias.copy_(coins(module.bias.shape) * 0.1)
            if not (isinstance(module, Conv2d) and module.norm is not None):
                hooks.append(scale(module, SPREADS.get(name, 1.0), name == "box_head.cls_score"))
    # A class that is seldom: a background that often wins, as in a trained model.
    model.box_head.cls_score.bias[-1] += 1.0
    model(image)
    for handle in hooks:
        handle.remove()


def dump(cfg: Config) -> str:
    """Those keys of the config that an answer depends on, as Detectron2's cfg.dump() writes them."""
    pooler = "ROIAlignV2" if cfg.pooler_aligned else "ROIAlign"
    content = {
        "INPUT": {"FORMAT": cfg.format, "MAX_SIZE_TEST": cfg.max_size, "MIN_SIZE_TEST": cfg.min_size},
        "MODEL": {
            "ANCHOR_GENERATOR": {
                "ASPECT_RATIOS": [list(cfg.anchor_ratios)], "NAME": "DefaultAnchorGenerator",
                "OFFSET": cfg.anchor_offset, "SIZES": [list(sizes) for sizes in cfg.anchor_sizes],
            },
            "MASK_ON": cfg.mask_on, "META_ARCHITECTURE": "GeneralizedRCNN",
            "PIXEL_MEAN": list(cfg.pixel_mean), "PIXEL_STD": list(cfg.pixel_std),
            "PROPOSAL_GENERATOR": {"MIN_SIZE": cfg.min_box_size, "NAME": "RPN"},
            "ROI_BOX_HEAD": {
                "BBOX_REG_WEIGHTS": list(cfg.box_weights), "CLS_AGNOSTIC_BBOX_REG": cfg.agnostic_boxes,
                "POOLER_SAMPLING_RATIO": cfg.sampling_ratio, "POOLER_TYPE": pooler,
            },
            "ROI_HEADS": {
                "NMS_THRESH_TEST": cfg.nms, "NUM_CLASSES": cfg.classes, "SCORE_THRESH_TEST": cfg.score_threshold,
            },
            "ROI_MASK_HEAD": {"CLS_AGNOSTIC_MASK": cfg.agnostic_masks, "POOLER_TYPE": pooler},
            "RPN": {
                "BBOX_REG_WEIGHTS": list(cfg.rpn_weights), "NMS_THRESH": cfg.rpn_nms,
                "POST_NMS_TOPK_TEST": cfg.post_nms, "PRE_NMS_TOPK_TEST": cfg.pre_nms,
            },
        },
        "TEST": {"DETECTIONS_PER_IMAGE": cfg.detections},
        "VERSION": 2,
    }  # fmt: skip
    return str(yaml.safe_dump(content))


def export(model: nn.Module, image: Tensor, path: Path, opset: int, way: str) -> None:
    """As tools/deploy/export_model.py does, whose default is an image of one size."""
    axes: dict[str, Any] = {"input_names": ["image"], "dynamic_axes": {"image": {1: "height", 2: "width"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (image,), str(path), opset_version=opset, dynamo=False, **(axes if way == "any size" else {})
        )
    if way == "folded":
        fold(path)


def fold(path: Path) -> None:
    """Compute beforehand what is constant in an image of one size, as tools that simplify graphs do."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def answer(model: GeneralizedRCNN, name: str, cfg: Config) -> dict[str, NDArray[Any]]:
    """What the model says of a photo, and detector_postprocess of its boxes: pixels of the photo, empty ones gone."""
    image = network_input(name, cfg)
    found = [each.numpy() for each in model(image)]
    boxes, classes = found[:2]
    scores = found[-2]
    height, width = photo(name).shape[:2]
    sides = np.array([width, height, width, height])
    scaled = boxes * (sides / np.array([image.shape[2], image.shape[1]] * 2)).astype(np.float32)
    scaled = np.clip(scaled, 0, sides).astype(np.float32)
    solid = (scaled[:, 2] > scaled[:, 0]) & (scaled[:, 3] > scaled[:, 1])
    batch, size = model.preprocess(image)
    proposals = model.rpn(model.backbone(batch), size)
    arrays = {
        "photo": np.array(name), "boxes": scaled[solid], "classes": classes[solid], "scores": scores[solid],
        "input_shape": np.array(batch.shape), "input_every_8th": batch.numpy()[:, :, ::8, ::8],
        "proposals": proposals.numpy(),
    }  # fmt: skip
    if len(found) == 5:
        arrays["masks"] = found[2][solid, 0].astype(np.float16)
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        for name, (cfg, opset, way) in GRAPHS.items():
            model = GeneralizedRCNN(cfg).eval()
            image = network_input(FITTED_ON, cfg)
            fit(model, image)
            path = folder / f"{name}.onnx"
            export(model, image, path, opset, way)
            path.with_suffix(".onnx.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
            print(name, path.stat().st_size, path.with_suffix(".onnx.xz").stat().st_size)
            path.unlink()
            for photo_name, (shorter, longer) in ANSWERS[name].items():
                own = replace(cfg, min_size=shorter, max_size=longer)
                model.cfg = own
                arrays = answer(model, photo_name, own)
                np.savez_compressed(folder / f"{name}-{photo_name}.npz", **arrays)
                (folder / f"{name}-{photo_name}.yaml").write_text(dump(own))
                print(" ", photo_name, len(arrays["scores"]), np.bincount(arrays["classes"]), arrays["scores"][:4])


if __name__ == "__main__":
    main()
