"""Small models from torchvision's own classes: the layouts of its builders, with few channels and small images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import mobilenetv3, resnet
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.misc import FrozenBatchNorm2d

RATIOS = (0.5, 1.0, 2.0)


def narrow_resnet(
    block: type[nn.Module], blocks: list[int], width: int, norm: Callable[[int], nn.Module]
) -> resnet.ResNet:
    """torchvision's ResNet with `width` channels in its first stage, where it has 64."""
    net = resnet.ResNet(block, blocks, norm_layer=norm)

    def narrower(channels: int) -> int:
        return channels if channels == 3 else channels * width // 64

    for name, layer in list(net.named_modules()):
        parent, _, own = name.rpartition(".")
        if isinstance(layer, nn.Conv2d):
            new: nn.Module = nn.Conv2d(
                narrower(layer.in_channels),
                narrower(layer.out_channels),
                layer.kernel_size,
                layer.stride,
                layer.padding,
                bias=False,
            )
        elif isinstance(layer, nn.BatchNorm2d | FrozenBatchNorm2d):
            new = norm(narrower(len(layer.weight)))
        else:
            continue
        setattr(net.get_submodule(parent), own, new)
    net.fc = nn.Identity()
    return net


def resnet_pyramid(
    block: type[nn.Module], blocks: list[int], width: int, channels: int, norm: Callable[[int], nn.Module], v2: bool
) -> BackboneWithFPN:
    """A ResNet with a pyramid of `channels` over its four stages, as resnet_fpn_backbone makes it."""
    net = narrow_resnet(block, blocks, width, norm)
    widths = [width * block.expansion * 2**stage for stage in range(4)]
    layers = {f"layer{stage + 1}": str(stage) for stage in range(4)}
    return BackboneWithFPN(net, layers, widths, channels, norm_layer=norm if v2 else None)


def anchors(levels: int, least: int, per_level: bool) -> AnchorGenerator:
    """One size per level, doubling, or all of them on every level as torchvision's MobileNets have them."""
    sizes = [least * 2**level for level in range(5)]
    chosen = tuple((size,) for size in sizes[:levels]) if per_level else (tuple(sizes),) * levels
    return AnchorGenerator(chosen, (RATIOS,) * levels)


def mask_rcnn(classes: int, width: int = 8, channels: int = 16, **options: object) -> MaskRCNN:
    """The layout of maskrcnn_resnet50_fpn: frozen batch norm, two fully connected layers; classes: with background."""
    backbone = resnet_pyramid(resnet.BasicBlock, [1, 1, 1, 1], width, channels, nn.BatchNorm2d, v2=False)
    settings: dict[str, object] = {
        "min_size": 128,
        "max_size": 192,
        "rpn_anchor_generator": anchors(5, 16, per_level=True),
        "rpn_pre_nms_top_n_test": 150,
        "rpn_post_nms_top_n_test": 80,
        "box_detections_per_img": 30,
        "box_head": TwoMLPHead(channels * 49, 32),
        "box_predictor": FastRCNNPredictor(32, classes),
        "mask_head": MaskRCNNHeads(channels, (channels, channels), 1),
        "mask_predictor": MaskRCNNPredictor(channels, channels, classes),
    }
    return MaskRCNN(backbone, **{**settings, **options})


def mask_rcnn_v2(classes: int, width: int = 8, channels: int = 16) -> MaskRCNN:
    """The layout of maskrcnn_resnet50_fpn_v2: batch norm everywhere, convolutions in both heads, a deeper RPN head."""
    backbone = resnet_pyramid(resnet.Bottleneck, [1, 2, 1, 1], width, channels, nn.BatchNorm2d, v2=True)
    generator = AnchorGenerator(((10,), (20,), (40,), (80,), (160,)), ((0.4, 1.0, 2.2),) * 5)
    return MaskRCNN(
        backbone,
        min_size=112,
        max_size=208,
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.25, 0.3],
        rpn_anchor_generator=generator,
        rpn_head=RPNHead(channels, 3, conv_depth=2),
        rpn_pre_nms_top_n_test=90,
        rpn_post_nms_top_n_test=40,
        rpn_nms_thresh=0.6,
        rpn_score_thresh=0.1,
        box_head=FastRCNNConvFCHead((channels, 7, 7), [channels, channels], [32], norm_layer=nn.BatchNorm2d),
        box_predictor=FastRCNNPredictor(32, classes),
        box_score_thresh=0.1,
        box_nms_thresh=0.4,
        box_detections_per_img=12,
        bbox_reg_weights=(8.0, 9.0, 4.0, 3.0),
        mask_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], output_size=12, sampling_ratio=3),
        mask_head=MaskRCNNHeads(channels, [channels, channels], 1, norm_layer=nn.BatchNorm2d),
        mask_predictor=MaskRCNNPredictor(channels, channels, classes),
    )


def mobilenet_pyramid(channels: int) -> BackboneWithFPN:
    """A MobileNet v3 with a pyramid over its last two stages, both of stride 32, as torchvision's detectors have it."""
    blocks = [
        mobilenetv3.InvertedResidualConfig(8, 3, 8, 8, True, "RE", 2, 1, 1.0),
        mobilenetv3.InvertedResidualConfig(8, 3, 24, 16, False, "RE", 2, 1, 1.0),
        mobilenetv3.InvertedResidualConfig(16, 5, 48, 16, True, "HS", 2, 1, 1.0),
        mobilenetv3.InvertedResidualConfig(16, 5, 48, 24, True, "HS", 2, 1, 1.0),
        mobilenetv3.InvertedResidualConfig(24, 5, 64, 24, True, "HS", 1, 1, 1.0),
    ]
    net = mobilenetv3.MobileNetV3(blocks, last_channel=64, num_classes=1).features
    last = net[-1].out_channels
    return BackboneWithFPN(net, {"4": "0", str(len(net) - 1): "1"}, [24, last], channels)


def faster_rcnn_mobilenet(classes: int, channels: int = 16) -> FasterRCNN:
    """The layout of fasterrcnn_mobilenet_v3_large_320_fpn."""
    return FasterRCNN(
        mobilenet_pyramid(channels),
        min_size=96,
        max_size=200,
        rpn_anchor_generator=anchors(3, 12, per_level=False),
        rpn_pre_nms_top_n_test=60,
        rpn_post_nms_top_n_test=40,
        rpn_score_thresh=0.05,
        box_head=TwoMLPHead(channels * 49, 32),
        box_predictor=FastRCNNPredictor(32, classes),
        box_detections_per_img=25,
    )


class OneMap(nn.Module):
    """A trunk with one feature map and no pyramid, as torchvision's documentation builds one of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = channels
        layers: list[nn.Module] = []
        for before, after in ((3, 8), (8, 8), (8, 12), (12, channels)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU6()]
        self.body = nn.Sequential(*layers)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, channels, H / 16, W / 16)."""
        return self.body(image)


def faster_rcnn_one_map(classes: int, channels: int = 16) -> FasterRCNN:
    """A FasterRCNN without a pyramid: one level of anchors, one map for its head."""
    return FasterRCNN(
        OneMap(channels),
        min_size=100,
        max_size=180,
        rpn_anchor_generator=AnchorGenerator(((16, 40, 90),), (RATIOS,)),
        rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_test=50,
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=(5, 7), sampling_ratio=0),
        box_head=TwoMLPHead(channels * 35, 32),
        box_predictor=FastRCNNPredictor(32, classes),
        box_detections_per_img=20,
    )


def freeze_norms(model: nn.Module) -> None:
    """Every batch norm becomes a frozen one with the same numbers, as torchvision's first detectors have them."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(layer.num_features, eps=layer.eps)
            frozen.load_state_dict(layer.state_dict(), strict=False)
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, frozen)
