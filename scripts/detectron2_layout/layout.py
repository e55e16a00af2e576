"""Detectron2's Mask R-CNN with a feature pyramid, stated anew in plain torch.

There is no wheel of Detectron2 on PyPI to export from. What decides a model's answers is public: the documented modules
and the keys of its config. README.md lists which facts were taken from where; names of classes are Detectron2's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import boxes as box_ops
from torchvision.ops import roi_align

SCALE_CLAMP = math.log(1000.0 / 16)


@dataclass(frozen=True)
class Config:
    """The keys of Detectron2's config that an answer depends on, and how wide the small copies are."""

    depth: tuple[int, ...] = (3, 4, 6, 3)
    groups: int = 1
    width_per_group: int = 64
    stem: int = 64
    res2: int = 256
    stride_in_1x1: bool = True
    fpn: int = 256
    classes: int = 80
    fc: int = 1024
    box_convs: int = 0
    mask_on: bool = True
    mask_convs: int = 4
    agnostic_boxes: bool = False
    agnostic_masks: bool = False
    pixel_mean: tuple[float, ...] = (103.53, 116.28, 123.675)
    pixel_std: tuple[float, ...] = (1.0, 1.0, 1.0)
    anchor_sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    anchor_offset: float = 0.0
    rpn_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    box_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)
    pre_nms: int = 1000
    post_nms: int = 1000
    rpn_nms: float = 0.7
    min_box_size: float = 0.0
    score_threshold: float = 0.05
    nms: float = 0.5
    detections: int = 100
    min_size: int = 800
    max_size: int = 1333
    format: str = "BGR"
    pooler_aligned: bool = True
    sampling_ratio: int = 0
    box_resolution: int = 7
    mask_resolution: int = 14
    strides: tuple[int, ...] = (4, 8, 16, 32, 64)


class FrozenBatchNorm2d(nn.Module):
    """A batch norm that is an affine function from the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=1e-5)


class Conv2d(nn.Conv2d):
    """A convolution with an optional norm and activation behind it."""

    def __init__(self, *args: Any, norm: nn.Module | None = None, relu: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.norm, self.relu = norm, relu

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        x = x if self.norm is None else self.norm(x)
        return F.relu_(x) if self.relu else x


def normed(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = False) -> Conv2d:
    return Conv2d(
        inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False,
        norm=FrozenBatchNorm2d(outputs), relu=relu,
    )  # fmt: skip


class BottleneckBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, inner: int, stride: int, cfg: Config) -> None:
        super().__init__()
        first, second = (stride, 1) if cfg.stride_in_1x1 else (1, stride)
        self.shortcut = normed(inputs, outputs, 1, stride) if inputs != outputs else None
        self.conv1 = normed(inputs, inner, 1, first, relu=True)
        self.conv2 = normed(inner, inner, 3, second, cfg.groups, relu=True)
        self.conv3 = normed(inner, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv3(self.conv2(self.conv1(x)))
        out += x if self.shortcut is None else self.shortcut(x)
        return F.relu_(out)


class ResNet(nn.Module):
    """The stem, and res2 to res5."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.stem = normed(3, cfg.stem, 7, 2, relu=True)
        stages, inputs, outputs, inner = [], cfg.stem, cfg.res2, cfg.groups * cfg.width_per_group
        self.channels: list[int] = []
        for index, count in enumerate(cfg.depth):
            blocks = []
            for block in range(count):
                blocks.append(BottleneckBlock(inputs, outputs, inner, 2 if index and not block else 1, cfg))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
            self.channels.append(outputs)
            outputs, inner = outputs * 2, inner * 2
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(self.stem(x), kernel_size=3, stride=2, padding=1)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class FPN(nn.Module):
    """p2 to p5, and p6: every second cell of p5."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.bottom_up = ResNet(cfg)
        self.lateral = nn.ModuleList(Conv2d(count, cfg.fpn, 1) for count in self.bottom_up.channels)
        self.output = nn.ModuleList(Conv2d(cfg.fpn, cfg.fpn, 3, padding=1) for _ in self.bottom_up.channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = self.bottom_up(x)
        previous = self.lateral[-1](features[-1])
        results = [self.output[-1](previous)]
        for index in range(len(features) - 2, -1, -1):
            top_down = F.interpolate(previous, scale_factor=2.0, mode="nearest")
            previous = self.lateral[index](features[index]) + top_down
            results.insert(0, self.output[index](previous))
        return [*results, F.max_pool2d(results[-1], kernel_size=1, stride=2, padding=0)]


def apply_deltas(deltas: Tensor, boxes: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Box2BoxTransform.apply_deltas."""
    deltas, boxes = deltas.float(), boxes.to(deltas.dtype)
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x, y = boxes[:, 0] + 0.5 * widths, boxes[:, 1] + 0.5 * heights
    dx, dy, dw, dh = (deltas[:, index::4] / weights[index] for index in range(4))
    dw, dh = torch.clamp(dw, max=SCALE_CLAMP), torch.clamp(dh, max=SCALE_CLAMP)
    x, y = dx * widths[:, None] + x[:, None], dy * heights[:, None] + y[:, None]
    w, h = torch.exp(dw) * widths[:, None], torch.exp(dh) * heights[:, None]
    return torch.stack((x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h), dim=-1).reshape(deltas.shape)


def clip(boxes: Tensor, size: tuple[Any, Any]) -> Tensor:
    """Boxes.clip."""
    height, width = size
    x1, x2 = (boxes[:, index].clamp(min=0, max=width) for index in (0, 2))
    y1, y2 = (boxes[:, index].clamp(min=0, max=height) for index in (1, 3))
    return torch.stack((x1, y1, x2, y2), dim=-1)


class AnchorGenerator(nn.Module):
    """DefaultAnchorGenerator: corners that are not rounded."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.strides, self.offset = cfg.strides, cfg.anchor_offset
        for level, sizes in enumerate(cfg.anchor_sizes):
            corners = []
            for size in sizes:
                for ratio in cfg.anchor_ratios:
                    width = math.sqrt(size**2.0 / ratio)
                    height = ratio * width
                    corners.append([-width / 2.0, -height / 2.0, width / 2.0, height / 2.0])
            self.register_buffer(f"cell_{level}", torch.tensor(corners))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        found = []
        for level, (feature, stride) in enumerate(zip(features, self.strides, strict=True)):
            height, width = feature.shape[-2:]
            xs = torch.arange(self.offset * stride, width * stride, step=stride, dtype=torch.float32)
            ys = torch.arange(self.offset * stride, height * stride, step=stride, dtype=torch.float32)
            y, x = torch.meshgrid(ys, xs, indexing="ij")
            shifts = torch.stack((x.reshape(-1), y.reshape(-1), x.reshape(-1), y.reshape(-1)), dim=1)
            cell = getattr(self, f"cell_{level}")
            found.append((shifts.view(-1, 1, 4) + cell.view(1, -1, 4)).reshape(-1, 4))
        return found


class RPN(nn.Module):
    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        anchors = len(cfg.anchor_sizes[0]) * len(cfg.anchor_ratios)
        self.conv = Conv2d(cfg.fpn, cfg.fpn, 3, padding=1, relu=True)
        self.objectness_logits = nn.Conv2d(cfg.fpn, anchors, 1)
        self.anchor_deltas = nn.Conv2d(cfg.fpn, anchors * 4, 1)
        self.anchor_generator = AnchorGenerator(cfg)

    def forward(self, features: list[Tensor], size: tuple[Any, Any]) -> Tensor:
        anchors = self.anchor_generator(features)
        logits, deltas = [], []
        for feature in features:
            hidden = self.conv(feature)
            logits.append(self.objectness_logits(hidden).permute(0, 2, 3, 1).flatten(1))
            delta = self.anchor_deltas(hidden)
            delta = delta.view(delta.shape[0], -1, 4, delta.shape[-2], delta.shape[-1]).permute(0, 3, 4, 1, 2)
            deltas.append(delta.flatten(1, -2))
        proposals = []
        for own, delta in zip(anchors, deltas, strict=True):
            own = own.unsqueeze(0).expand(delta.shape[0], -1, -1).reshape(-1, 4)
            boxes = apply_deltas(delta.reshape(-1, 4), own, self.cfg.rpn_weights)
            proposals.append(boxes.view(delta.shape[0], -1, 4))
        return self.find_top(proposals, logits, size)

    def find_top(self, proposals: list[Tensor], logits: list[Tensor], size: tuple[Any, Any]) -> Tensor:
        """find_top_rpn_proposals, of one image."""
        scores, boxes, levels = [], [], []
        batch = torch.arange(1)
        for level, (own, logit) in enumerate(zip(proposals, logits, strict=True)):
            count = logit.shape[1]
            if isinstance(count, Tensor):
                count = torch.clamp(count, max=self.cfg.pre_nms)
            else:
                count = min(count, self.cfg.pre_nms)
            best, index = logit.topk(count, dim=1)
            scores.append(best)
            boxes.append(own[batch[:, None], index])
            levels.append(torch.full((count,), level, dtype=torch.int64))
        score, box, level = torch.cat(scores, dim=1)[0], torch.cat(boxes, dim=1)[0], torch.cat(levels, dim=0)
        box = clip(box, size)
        keep = nonempty(box, self.cfg.min_box_size)
        box, score, level = box[keep], score[keep], level[keep]
        return box[box_ops.batched_nms(box.float(), score, level, self.cfg.rpn_nms)[: self.cfg.post_nms]]


def nonempty(boxes: Tensor, threshold: float) -> Tensor:
    """Boxes.nonempty."""
    return ((boxes[:, 2] - boxes[:, 0]) > threshold) & ((boxes[:, 3] - boxes[:, 1]) > threshold)


class ROIPooler(nn.Module):
    def __init__(self, resolution: int, cfg: Config) -> None:
        super().__init__()
        self.resolution, self.aligned, self.ratio = resolution, cfg.pooler_aligned, cfg.sampling_ratio
        self.scales = [1 / stride for stride in cfg.strides[:4]]

    def forward(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        index = torch.full((boxes.shape[0], 1), 0, dtype=boxes.dtype)
        regions = torch.cat((index, boxes), dim=1)
        sizes = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
        levels = torch.floor(4 + torch.log2(sizes / 224 + 1e-8))
        levels = torch.clamp(levels, min=2, max=5).to(torch.int64) - 2
        side = self.resolution
        output = torch.zeros((regions.shape[0], features[0].shape[1], side, side), dtype=features[0].dtype)
        for level, scale in enumerate(self.scales):
            own = (levels == level).nonzero(as_tuple=True)[0]
            crops = roi_align(features[level], regions[own], (side, side), scale, self.ratio, self.aligned)
            output.index_put_((own,), crops)
        return output


class BoxHead(nn.Module):
    """FastRCNNConvFCHead and FastRCNNOutputLayers; the background is the last class."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(Conv2d(cfg.fpn, cfg.fpn, 3, padding=1, relu=True) for _ in range(cfg.box_convs)))
        self.fc1 = nn.Linear(cfg.fpn * cfg.box_resolution**2, cfg.fc)
        self.fc2 = nn.Linear(cfg.fc, cfg.fc)
        self.cls_score = nn.Linear(cfg.fc, cfg.classes + 1)
        self.bbox_pred = nn.Linear(cfg.fc, 4 if cfg.agnostic_boxes else 4 * cfg.classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.flatten(self.convs(x), start_dim=1)
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        return self.cls_score(x), self.bbox_pred(x)


class MaskHead(nn.Module):
    """MaskRCNNConvUpsampleHead."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(Conv2d(cfg.fpn, cfg.fpn, 3, padding=1, relu=True) for _ in range(cfg.mask_convs)))
        self.deconv = nn.ConvTranspose2d(cfg.fpn, cfg.fpn, 2, 2)
        self.predictor = nn.Conv2d(cfg.fpn, 1 if cfg.agnostic_masks else cfg.classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.predictor(F.relu(self.deconv(self.convs(x))))


class GeneralizedRCNN(nn.Module):
    """`inference(..., do_postprocess=False)` of one image (3, H, W), as TracingAdapter puts it out."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        self.register_buffer("pixel_mean", torch.tensor(cfg.pixel_mean).view(-1, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(cfg.pixel_std).view(-1, 1, 1))
        self.backbone = FPN(cfg)
        self.rpn = RPN(cfg)
        self.box_pooler, self.box_head = ROIPooler(cfg.box_resolution, cfg), BoxHead(cfg)
        self.mask_pooler = ROIPooler(cfg.mask_resolution, cfg)
        self.mask_head = MaskHead(cfg) if cfg.mask_on else None

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        batch, size = self.preprocess(image)
        features = self.backbone(batch)
        proposals = self.rpn(features, size)
        logits, deltas = self.box_head(self.box_pooler(features[:4], proposals))
        boxes = apply_deltas(deltas, proposals, self.cfg.box_weights)
        boxes, scores, classes = self.select(boxes, F.softmax(logits, dim=-1), size)
        shape = torch.stack([torch.as_tensor(side) for side in size])
        if self.mask_head is None:
            return boxes, classes, scores, shape
        masks = self.mask_head(self.mask_pooler(features[:4], boxes))
        if self.cfg.agnostic_masks:
            return boxes, classes, masks.sigmoid(), scores, shape
        rows = torch.arange(masks.shape[0])
        return boxes, classes, masks[rows, classes][:, None].sigmoid(), scores, shape

    def preprocess(self, image: Tensor) -> tuple[Tensor, tuple[Any, Any]]:
        """Normalisation, then ImageList.from_tensors: padding at the bottom and the right."""
        image = (image - self.pixel_mean) / self.pixel_std
        size = image.shape[-2:]
        sides = torch.stack([torch.as_tensor(side) for side in size])
        padded = (sides + 31).div(32, rounding_mode="floor") * 32
        amounts = [0, padded[1] - size[1], 0, padded[0] - size[0]]
        return F.pad(image, [int(each) if not torch.jit.is_tracing() else each for each in amounts])[None], size

    def select(self, boxes: Tensor, scores: Tensor, size: tuple[Any, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """fast_rcnn_inference_single_image."""
        scores = scores[:, :-1]
        kinds = boxes.shape[1] // 4
        boxes = clip(boxes.reshape(-1, 4), size).view(-1, kinds, 4)
        mask = scores > self.cfg.score_threshold
        found = mask.nonzero()
        boxes = boxes[found[:, 0], 0] if self.cfg.agnostic_boxes else boxes[mask]
        scores = scores[mask]
        keep = box_ops.batched_nms(boxes.float(), scores, found[:, 1], self.cfg.nms)[: self.cfg.detections]
        return boxes[keep], scores[keep], found[keep][:, 1]
