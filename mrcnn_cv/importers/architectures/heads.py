"""The heads of Faster and Mask R-CNN: proposals, boxes and masks, as torch's frameworks build them.

Encodings dx dy dw dh become ty tx th tw here, and the background comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph import ir
from mrcnn_cv.importers.architectures.backbones import ResNetRule, residual_stage
from mrcnn_cv.importers.architectures.layers import LayerStack


def reorder_deltas(count: int, first: int = 0) -> list[int]:
    """Rows dx dy dw dh of any number of boxes as ty tx th tw, from the box `first` on."""
    return [4 * (row // 4) + (1, 0, 3, 2)[row % 4] for row in range(4 * first, count)]


def region_proposals(net: LayerStack, maps: Sequence[str]) -> tuple[list[str], list[str], int]:
    """(encodings, objectness logits, anchors of a cell) for each map; the same layers look at all of them."""
    depth = net.weights.count(r"rpn\.conv(\d+)\.")
    anchors = net.channels("rpn.logits")
    if net.channels("rpn.deltas") != 4 * anchors:
        raise ModelFileError(f"scores {anchors} anchors per cell, but predicts {net.channels('rpn.deltas')} numbers")
    encodings, logits = [], []
    for level, at in enumerate(maps):
        for number in range(1, depth + 1):
            at = net.conv(at, f"rpn.conv{number}", relu=True, as_name=f"rpn{level}.conv{number}")
        rows = reorder_deltas(4 * anchors)
        encodings.append(net.conv(at, "rpn.deltas", rows=rows, as_name=f"rpn{level}.deltas"))
        logits.append(net.conv(at, "rpn.logits", as_name=f"rpn{level}.logits"))
    return encodings, logits, anchors


class BoxHead(NamedTuple):
    """A head for boxes. flat: it takes crops as rows, channels last."""

    net: ir.NetGraph
    class_count: int
    class_agnostic: bool
    flat: bool


def shared_stage_head(net: LayerStack, channels: int, rule: ResNetRule) -> BoxHead:
    """The last stage of a backbone on each crop, its mean, then scores and boxes: "Mask R-CNN", figure 4 (left).

    channels: of the crops. The background is the last class.
    """
    at, _ = residual_stage(net, net.start, channels, 5, rule)
    mean = net.add(ir.GlobalAvgPool, "box.mean", [at])
    row = net.add(ir.Flatten, "box.row", [mean])
    count, agnostic, first = _counts(net)
    encodings = net.linear(row, "box.deltas", rows=reorder_deltas(net.channels("box.deltas"), first))
    logits = net.linear(row, "box.logits", rows=[count, *range(count)])
    return BoxHead(net.finish([encodings, logits]), count, agnostic, flat=False)


def _counts(net: LayerStack) -> tuple[int, bool, int]:
    """(classes, whether boxes are those of all of them, the first row of boxes that counts)."""
    scores, boxes = net.channels("box.logits"), net.channels("box.deltas")
    count = scores - 1
    if count < 1 or boxes not in (4, 4 * count, 4 * scores):
        raise ModelFileError(f"predicts {scores} scores and {boxes} numbers for boxes per region, which do not fit")
    # torchvision's boxes have a row for the background, too.
    return count, boxes == 4, 0 if boxes in (4, 4 * count) else 1


def fully_connected_head(net: LayerStack, channels: int, size: tuple[int, int], background_last: bool) -> BoxHead:
    """Convolutions, if any, then fully connected layers, then scores and boxes. size: of the crops."""
    count, agnostic, first = _counts(net)
    at, at_map = net.start, bool(net.weights.count(r"box\.conv(\d+)\."))
    for number in range(1, net.weights.count(r"box\.conv(\d+)\.") + 1):
        at = net.conv(at, f"box.conv{number}", relu=True)
        channels = net.channels(f"box.conv{number}")
    layers = net.weights.count(r"box\.fc(\d+)\.")
    for number in range(1, layers + 1):
        if number == 1 and at_map:
            at = net.add(ir.Flatten, "box.flat", [at], channels_last=True)
        shape = (channels, *size) if number == 1 else ()
        at = net.linear(at, f"box.fc{number}", map_shape=shape, relu=True)
    order = [count, *range(count)] if background_last else None
    encodings = net.linear(at, "box.deltas", rows=reorder_deltas(net.channels("box.deltas"), first))
    logits = net.linear(at, "box.logits", rows=order)
    return BoxHead(net.finish([encodings, logits]), count, agnostic, flat=not at_map)


def mask_head(
    net: LayerStack, class_count: int, background: bool, shared: tuple[int, ResNetRule] | None = None
) -> tuple[ir.NetGraph, bool]:
    """(the net, whether one mask serves all classes). background: the first of the masks is its, and goes.

    shared: the channels of the crops, where the last stage of the backbone comes first.
    """
    at = net.start if shared is None else residual_stage(net, net.start, shared[0], 5, shared[1])[0]
    for number in range(1, net.weights.count(r"mask\.conv(\d+)\.") + 1):
        at = net.conv(at, f"mask.conv{number}", relu=True)
    at = net.deconv(at, "mask.deconv")
    count = net.channels("mask.logits")
    if count not in (1, class_count + background):
        raise ModelFileError(f"predicts {count} masks per region for {class_count} classes, which do not fit")
    rows = range(1, count) if background and count > 1 else None
    return net.finish([net.conv(at, "mask.logits", rows=rows)]), count == 1
