"""The README.md of an exported model, for people who write the five steps themselves: in C++, or for a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from mrcnn_cv.graph.export.onnx import OPSET
from mrcnn_cv.graph.ir import IMAGE, NetGraph
from mrcnn_cv.graph.partial_shapes import Shape, partial_shapes
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.jobs.export import words
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.definition_json import NET_FILES
from mrcnn_cv.model.label_files import clean
from mrcnn_cv.model.validate import input_channels, usual_input
from mrcnn_cv.util.version import __version__


def readme(
    definition: ModelDefinition, labels: Mapping[int, str], nets: Mapping[str, NetGraph], shapes: Mapping[str, Shape]
) -> str:
    """The page. nets: by field of the definition, as they are written. shapes: of what each takes."""
    lines = [
        f"# {_plain(definition.architecture)}, {_plain(definition.backbone)}, {definition.class_count} classes",
        "",
        f"A model of the family {_plain(definition.family)}, exported by mrcnn-cv {__version__}: nets as ONNX (opset"
        f" {OPSET}, float32), and every number between them in `model.json` (names in backticks are its fields; the"
        " package mrcnn-cv holds the JSON schema, `mrcnn_cv/schemas/model.schema.json`). Its `MaskRCNN.load`"
        " runs this folder.",
        "",
        "| file | tensor | shape | what it is |",
        "|---|---|---|---|",
        *_rows(definition, nets, shapes),
        "",
        *_steps(definition),
        "",
        f"Class ids go from 1 to {definition.class_count} (`labels`{_some(labels)}); 0 is the background. Boxes are y1"
        f" x1 y2 x2 in {words.edge_rule(definition)}. H and W are the sides of `image`, N is any number of regions.",
    ]
    return "\n".join(lines) + "\n"


def _some(labels: Mapping[int, str]) -> str:
    if not labels:
        return ": none known"
    names = [f"{number} {_plain(name)}" for number, name in sorted(labels.items())[:6]]
    return f": {', '.join(names)}{', ...' if len(labels) > 6 else ''}"


def _plain(text: str) -> str:
    """A text of a stranger's model, which must not become markup."""
    return re.sub(r"[^\w .,+()/-]", " ", clean(text))[:100]


def _rows(definition: ModelDefinition, nets: Mapping[str, NetGraph], shapes: Mapping[str, Shape]) -> Iterator[str]:
    for field, net in nets.items():
        known = partial_shapes(net, {net.inputs[0]: shapes[field]})
        shares = _shares(definition, net) if field == "trunk" and None in known[net.outputs[0]] else {}
        for _, group in groupby((*net.inputs, *net.outputs), lambda name: re.sub(r"_\d+$", "", name)):
            names = list(group)
            shown = [shares.get(name) or _sides(known[name]) for name in names]
            meaning = _meaning(definition, field, names[0])
            yield f"| {NET_FILES[field]} | {', '.join(names)} | {', '.join(shown)} | {meaning} |"


def _sides(shape: Shape) -> str:
    return " x ".join("N" if side is None else str(side) for side in shape)


def _shares(definition: ModelDefinition, net: NetGraph) -> dict[str, str]:
    """The shapes of the trunk's input and outputs, their sides as shares of the input's: from inputs of some sizes."""
    (height, width), step = usual_input(definition.resize), definition.resize.pad_multiple or 1
    sizes, channels = [(height + step * more, width + step * more) for more in range(4)], input_channels(definition)
    inferred = ShapeInference(net)
    results = [inferred.results({IMAGE: (1, channels, *size)}) for size in sizes]
    shapes = {IMAGE: f"1 x {channels} x H x W"}
    for index, name in enumerate(net.outputs):
        pairs = [(size, result[index][2:]) for size, result in zip(sizes, results, strict=True)]
        rows, columns = ([(size[axis], made[axis]) for size, made in pairs] for axis in (0, 1))
        shapes[name] = f"1 x {results[0][index][1]} x {_share('H', rows)} x {_share('W', columns)}"
    return shapes


def _share(letter: str, pairs: Sequence[tuple[int, int]]) -> str:
    """How a side follows from the input's. pairs: (the input's, that side)."""
    for share in range(1, 257):
        if all(side == share * found for side, found in pairs):
            return letter if share == 1 else f"{letter}/{share}"
    # Of several that fit, a power of two is meant.
    for share in (*(1 << power for power in range(1, 9)), *range(3, 257)):
        if all(-(-side // share) == found for side, found in pairs):
            return f"ceil({letter}/{share})"
    return f"about {letter}/{max(1, round(pairs[0][0] / pairs[0][1]))}"


def _meaning(definition: ModelDefinition, field: str, name: str) -> str:
    boxes = "one box" if definition.class_agnostic_boxes else f"a box for each of {definition.class_count} classes"
    if field == "trunk":
        what = name.rpartition("_")[0]
        each = list(dict.fromkeys(str(len(level.sizes)) for level in definition.anchors))
        anchors = f"of anchor 0, then of anchor 1, ... of {', '.join(each)} anchors of a cell"
        low, high = words.value_range(definition)
        pair = "2 logits (background, object)" if definition.objectness == "softmax" else "1 logit"
        return {
            "features": "feature maps for the heads, finest first",
            "box_encodings": f"ty tx th tw {anchors}",
            "objectness": f"{pair} {anchors}",
        }.get(what, f"the prepared image, values from {low:.4g} to {high:.4g}")
    if name == "box_encodings":
        return f"ty tx th tw: {boxes}"
    if name == "class_logits":
        return f"background, then {definition.class_count} classes"
    if name == "mask_logits":
        assert definition.mask is not None
        count = 1 if definition.mask.class_agnostic else definition.class_count
        return f"masks of {count} {'class' if count == 1 else 'classes'}, see step 6"
    return "the regions' crops" + (", rows in the order (height, width, channels)" if _flat(definition, field) else "")


def _flat(definition: ModelDefinition, field: str) -> bool:
    crop = definition.crop if field == "box_head" or definition.mask is None else definition.mask.crop
    return crop.flat


def _steps(definition: ModelDefinition) -> Iterator[str]:
    resize, mask = definition.resize, definition.mask
    scores = {"softmax": "the softmax of a row", "sigmoid": "1 / (1 + exp(-x))", "identity": "nothing else"}
    objectness = {
        "softmax": "the softmax of a pair's two logits, its second number",
        "sigmoid": "1 / (1 + exp(-x)) of the logit",
        "logits": "the logit itself",
    }
    factor = "" if definition.logit_factor == 1 else f", times {definition.logit_factor:g}"
    yield f"1. Image (`resize`, `pixels`): {words.size_rule(resize)}: {words.sampling_rule(resize)}."
    yield f"   {words.padding_rule(resize)}. Pixels: {words.pixel_rule(definition)}. That is `image`."
    yield (
        f"2. Proposals (`anchors`, `proposal_coder`, `proposal_nms`): score: {objectness[definition.objectness]}; a box"
        " from its anchor (centre at offset + cell * stride, clipped to the input where `clip_to_image`): centre + t *"
        " size, size * exp(t), each t divided by its `scales` first (and th, tw at most `max_growth`). Of these stay:"
        f" {words.suppression_rule(definition.proposal_nms, classes=False)}."
    )
    yield f"3. `crops` of the box head (`crop`): {words.crop_rule(definition.crop)}."
    yield (
        f"4. Detections (`box_coder`, `detection_nms`): class_logits{factor}, and of these"
        f" {scores[definition.score_activation]}; boxes as in step 2, from proposals. Of these stay:"
        f" {words.suppression_rule(definition.detection_nms, classes=True)}. Boxes go back to the image"
        " by the ratio of its sides to those of the resized one."
    )
    if mask is None:
        yield "5. There is no mask head: boxes are all there is."
        return
    unit = "as fractions of the image" if mask.crop.relative_to_image else "as in step 3"
    yield f"5. `crops` of the mask head (`mask.crop`), of detections, {unit}: {words.crop_rule(mask.crop)}."
    yield f"6. Masks (`mask`, {mask.size[0]}x{mask.size[1]} samples): {words.mask_rule(mask)}."
