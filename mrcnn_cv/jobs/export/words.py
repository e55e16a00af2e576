"""The numbers of a model in words: how an image becomes the backbone's input, how regions are cut and suppressed."""

from __future__ import annotations

import numpy as np

from mrcnn_cv.model.definition import CropSpec, MaskSpec, ModelDefinition, NmsSpec, ResizeSpec

_ROUNDED = {
    "nearest": "in float32, rounded to the nearest whole pixel, halves to even",
    "down": "in double precision, cut down to whole pixels",
    "half_up": "in double precision, rounded to the nearest whole pixel, halves up",
}
_CUT_DOWN = "in float32, cut down to whole pixels"
_OPERATIONS = {"mul": np.multiply, "add": np.add, "sub": np.subtract, "div": np.divide}
_SIGNS = {"mul": "*", "sub": "-", "add": "+", "div": "/"}


def size_rule(resize: ResizeSpec) -> str:
    """To which size an image is resized."""
    minimum, maximum, rounded = resize.min_dimension, resize.max_dimension, _ROUNDED[resize.rounding]
    if resize.kind == "fixed":
        return f"Resize the image to {resize.width}x{resize.height} (width x height), whatever its aspect"
    limit = ""
    if not resize.shrinks:
        scale = "" if resize.min_scale is None else f", {resize.min_scale:g}"
        factor = f"the largest of 1, {minimum or 0} / shorter side{scale}"
        if maximum is not None:
            limit = f"; where the longer side would then pass {maximum}, by {maximum} / longer side instead"
        rounded = "in double precision, rounded to the nearest whole pixel, halves to even"
    elif resize.kind == "at_least" and minimum is not None:
        factor, rounded = f"{minimum} / shorter side where that is more than 1", _CUT_DOWN
    elif resize.kind == "at_most" and maximum is not None:
        factor, rounded = f"{maximum} / longer side where that is less than 1", _CUT_DOWN
    elif resize.kind == "identity" or minimum is None:
        return "Leave the image at its own size"
    else:
        factor = f"{minimum} / shorter side"
        limit = "" if maximum is None else f", or by {maximum} / longer side where that is less"
    return f"Multiply both sides by {factor}{limit} ({rounded})"


def sampling_rule(resize: ResizeSpec) -> str:
    """How its pixels are interpolated."""
    if resize.zero_border:
        cut = ", the fraction of each value cut off" if resize.truncate_pixels else ""
        return (
            "bilinear, pixel i of n lies at (i + 0.5) * old / n - 0.5 of the image, pixels beyond its border count as"
            f" 0, no result is below the darkest value of the image{cut}"
        )
    if resize.method == "antialiased":
        return (
            "bilinear as Pillow's Image.resize: a triangle as wide as a pixel of the larger grid, along the rows first,"
            " rounded to 8 bits after either pass"
        )
    if resize.align_corners:
        source = "i * (old - 1) / (n - 1)"
    elif resize.half_pixel_centers and resize.method == "bilinear":
        source = "(i + 0.5) * old / n - 0.5, not beyond the outermost pixels"
    else:
        source = "i * old / n"
    what = {
        "bilinear": "bilinear without smoothing",
        "nearest": "nearest neighbour, cut down" if not resize.align_corners else "nearest neighbour, halves up",
        "bicubic": "bicubic (Keys' kernel, a = -0.75)",
        "area": "the mean over the area that a pixel covers",
    }[resize.method]
    return f"{what}, pixel i of n lies at {source} of the image, in float32, values are not rounded"


def padding_rule(resize: ResizeSpec) -> str:
    """How the resized image is padded."""
    where = "on all sides, the odd pixel behind" if resize.pad_centered else "at the bottom and the right"
    value = "/".join(f"{value:g}" for value in resize.pad_value)
    what = "zeros after the next step" if resize.pad_prepared else f"{value} before the next step"
    if resize.pad_to_max:
        return f"Pad {where} to {resize.max_dimension}x{resize.max_dimension} with {what}"
    if (resize.pad_multiple or 1) > 1:
        return f"Pad {where} to the next multiples of {resize.pad_multiple} with {what}"
    return "No padding"


def pixel_rule(definition: ModelDefinition) -> str:
    """What happens to the values of pixels."""
    weights = definition.resize.gray_weights
    start = "float32 of 0 to 255, channels in the order red, green, blue"
    if weights:
        red, green, blue = (f"{weight:g}" for weight in weights)
        start += f", added up to one with the weights {red}, {green}, {blue}"
    steps = [f"{_SIGNS[step.op]} ({', '.join(f'{value:.9g}' for value in step.operand)})" for step in definition.pixels]
    return f"{start}, then {', then '.join(steps)}" if steps else f"{start}, as they are"


def value_range(definition: ModelDefinition) -> tuple[float, float]:
    """The smallest and the largest value that a pixel of the image becomes."""
    white = sum(definition.resize.gray_weights) or 1.0
    ends = np.array([[0.0], [255.0 * white]])
    for step in definition.pixels:
        ends = _OPERATIONS[step.op](ends, np.array(step.operand))
    return float(ends.min()), float(ends.max())


def crop_rule(crop: CropSpec) -> str:
    """How regions are cut."""
    height, width = crop.size
    ratio = "as many as the sample has cells, rounded up" if crop.sampling_ratio == 0 else f"{crop.sampling_ratio}"
    text = {
        "crop_and_resize": "as TensorFlow's CropAndResize (bilinear, the outermost samples on the region's edges)",
        "roi_align": (
            f"as RoIAlign (points on each side of a sample: {ratio}; pixel centres at"
            f" {'half a pixel, aligned' if crop.aligned else 'whole pixels, not aligned'})"
        ),
        "roi_pool": "as RoI pooling",
    }[crop.method]
    text = f"{height}x{width} samples {text}"
    if crop.scales:
        text += f", from maps of {', '.join(f'{scale:g}' for scale in crop.scales)} cells per pixel"
    if crop.pyramid is not None:
        pyramid = crop.pyramid
        rounding = {"floor": "cut down", "nearest": "rounded"}[pyramid.rounding]
        text += (
            f", from map {pyramid.canonical_level} + log2(sqrt(area) / {pyramid.canonical_size:g})"
            f"{f' + {pyramid.epsilon:g}' if pyramid.epsilon else ''}, {rounding}, at least 0,"
            f" at most {pyramid.levels - 1}"
        )
    if crop.pooled > 1:
        text += f", then the largest of every {crop.pooled}x{crop.pooled}"
    return text + (", as one row in the order (height, width, channels)" if crop.flat else "")


def suppression_rule(nms: NmsSpec, classes: bool) -> str:
    """What stays of boxes, which have classes or not."""
    text = "any score" if nms.score_threshold == float("-inf") else f"a score above {nms.score_threshold:.6g}"
    if nms.pre_nms_top_n is not None:
        text = f"the best {nms.pre_nms_top_n}{' of each level' if nms.per_level else ''}, {text}"
    if nms.class_agnostic:
        text += ", the best class of a region alone"
    elif nms.argmax_class_only:
        text += ", the best class of a region alone (none where that is the background)"
    rivals = " of its level" if nms.per_level else " of its class" if classes and not nms.class_agnostic else ""
    each = f"{nms.max_per_class} of a {'level' if nms.per_level else 'class'} and " if rivals else ""
    window = "whole input" if nms.clip_to_input else "image"
    text += (
        f", IoU at most {nms.iou_threshold:.6g} with a better one{rivals}, at most {each}{nms.max_total} in all;"
        f" boxes are clipped to the {window}"
        f" {'before' if nms.clip_first else 'after'} they are compared"
    )
    if nms.min_box_size is not None:
        text += f", those {'without area' if nms.min_box_size == 0 else f'with a side below {nms.min_box_size:g}'} go"
    return text + (", rounded to whole pixels" if nms.round_first else "")


def edge_rule(definition: ModelDefinition) -> str:
    """In which units boxes are counted."""
    text = "pixels of `image`"
    if definition.box_edges == "centers":
        text += ", from the middle of the first pixel (0) to that of the last (side less 1)"
    if definition.round_boxes:
        text += (
            f"; in the end they are {'rounded' if definition.box_edges == 'centers' else 'cut down'} to whole pixels"
        )
    return text


def mask_rule(mask: MaskSpec) -> str:
    """What becomes of the mask head's output."""
    own = "take the one channel" if mask.class_agnostic else "take the channel of the detection's class"
    part = mask.mask_block_size
    if part > 1:
        own += (
            f" of each of the {part}x{part} blocks of channels (sample (row, column) of every cell is block {part} *"
            " row + column)"
        )
    where = {
        "corners": "its outermost samples lie on the box's edges",
        "centers": "each sample is the centre of a cell of the box",
        "expanded": "each sample is the centre of a cell of the box; the box first grows by a sample on each side and"
        " its corners are cut down to whole pixels",
    }[mask.sampling]
    return f"{own}, 1 / (1 + exp(-x)), then interpolate bilinearly over the box: {where}"
