"""Read how an Object Detection API graph makes the trunk's input out of an image of any size."""

from __future__ import annotations

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.modelfile.graphdef import Graph
from mrcnn_cv.modelfile.object_detection_numbers import NumberReader
from mrcnn_cv.modelfile.object_detection_parts import Parts
from mrcnn_cv.modelfile.protos import graph_pb2 as pb
from mrcnn_cv.modelfile.spec import ResizeSpec
from mrcnn_cv.modelfile.stagegraph import WEIGHTED

_RESIZERS = frozenset({"ResizeBilinear", "ResizeBicubic", "ResizeArea", "ResizeNearestNeighbor"})


def read_resize(graph: Graph, parts: Parts, read: NumberReader) -> ResizeSpec | None:
    """The resizer: what happens between the image and the batch of resized images; None if its numbers are missing."""
    _refuse_other_channels(graph, parts, read)
    nodes = graph.upstream([parts.resized])
    resizers = [node for node in nodes.values() if node.op in _RESIZERS]
    unsupported = {node.op for node in resizers} - {"ResizeBilinear"}
    if unsupported:
        raise ModelFileError(
            f"resizes images with {', '.join(sorted(unsupported))}, which is not supported (bilinear is)"
        )
    pads = [node for node in nodes.values() if node.op in ("Pad", "PadV2")]
    if not resizers:
        # pad_to_multiple_resizer appends zeros.
        if pads or any(node.op == "ConcatV2" for node in nodes.values()):
            raise ModelFileError("pads images to a multiple of some size, which is not supported")
        return ResizeSpec("identity")
    if any(node.attr["align_corners"].b for node in resizers):
        raise ModelFileError("resizes images with aligned corners, which is not supported")
    half_pixel = resizers[0].attr["half_pixel_centers"].b
    sizes = [read.value(graph.inputs(node)[1]) for node in resizers]
    if len(sizes) == 1 and sizes[0] is not None and not pads:
        height, width = (int(value) for value in sizes[0].ravel())
        return ResizeSpec("fixed", height=height, width=width, half_pixel_centers=half_pixel)
    if any(size is not None for size in sizes):
        raise ModelFileError("resizes images to a fixed size, but not only that, which is not supported")
    limits = _size_limits(graph, read, [graph.inputs(node)[1] for node in resizers])
    if limits is None:
        return None
    return ResizeSpec(
        "keep_aspect",
        *limits,
        pad_to_max=bool(pads),
        pad_value=_pad_value(graph, read, pads),
        half_pixel_centers=half_pixel,
    )


def _size_limits(graph: Graph, read: NumberReader, sizes: list[str]) -> tuple[int, int | None] | None:
    """(min, max) dimension of a keep-aspect resizer, from the sums that its size comes from.

    Exporters since 2019 slice them from constant pairs (min, max) and (max, min); those of 2018 divide each by a side
    of the image.
    """
    found: list[float] = []
    for node in graph.upstream(sizes, lambda node: node.op.startswith("Resize")).values():
        if node.op not in ("StridedSlice", "RealDiv", "Unpack"):
            continue
        value = read.value(graph.inputs(node)[0])
        wanted = 1 if node.op == "RealDiv" else 2
        if value is not None and value.size == wanted and value.min() > 1:
            found += [float(number) for number in value.ravel()]
    if not found:
        return None
    return round(min(found)), round(max(found)) if max(found) > min(found) or len(found) > 1 else None


def _pad_value(graph: Graph, read: NumberReader, pads: list[pb.NodeDef]) -> tuple[float, ...]:
    """What padded pixels are: one number, or one per channel in RGB order."""
    found: dict[str, float] = {}
    for node in pads:
        value = read.number(graph.inputs(node)[2]) if node.op == "PadV2" else 0.0
        if value is None:
            raise ModelFileError(f"pads images with what is not one number, at the node '{node.name}'")
        found[node.name] = value
    if len(set(found.values())) == 1:
        return (next(iter(found.values())),)
    for stack in graph.consumers(pads[0].name) if pads else []:
        channels = [graph.node(tensor).name for tensor in graph.inputs(stack)]
        if stack.op == "Pack" and set(channels) == set(found):
            return tuple(found[name] for name in channels)
    if found:
        raise ModelFileError("pads images in a way that is not supported")
    return (0.0,)


def _refuse_other_channels(graph: Graph, parts: Parts, read: NumberReader) -> None:
    """A trunk must look at red, green and blue."""
    for node in graph.downstream(graph.node(parts.image), lambda node: node.op in WEIGHTED).values():
        weights = read.value(graph.inputs(node)[1]) if node.op in WEIGHTED else None
        if weights is not None and weights.ndim == 4 and weights.shape[2] != 3:
            raise ModelFileError(f"takes images of {weights.shape[2]} channels, where mrcnn-cv has three (RGB)")
