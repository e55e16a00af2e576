"""How the heads of the Object Detection API's models get their crops."""

from __future__ import annotations

from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.graphdef import PASS_THROUGH, Graph
from mrcnn_cv.model.definition import CropSpec


def read_crop(graph: Graph, crop: pb.NodeDef, size: tuple[int, int]) -> tuple[CropSpec, tuple[str, ...]]:
    """(how a CropAndResize of `size` (height, width) is to be done, the tensors that are its result for the head).

    The max pool that usually follows (initial_crop_size, maxpool_kernel_size and maxpool_stride in pipeline.config) is
    done along with it.
    """
    names = _aliases(graph, [crop.name])
    others = [node for name in names for node in graph.consumers(name) if node.name not in names]
    pooled = _side(others[0]) if len(others) == 1 and others[0].op == "MaxPool" else 1
    if pooled < 2 or size[0] % pooled or size[1] % pooled:
        return CropSpec(size), tuple(names)
    return CropSpec(size, pooled=pooled), tuple(_aliases(graph, [others[0].name]))


def _aliases(graph: Graph, names: list[str]) -> list[str]:
    """A tensor under all its names: Reshapes that follow a crop only restore its shape."""
    seen = set(names)
    for name in names:
        following = [node.name for node in graph.consumers(name) if node.op in PASS_THROUGH | {"Reshape"}]
        names += [other for other in dict.fromkeys(following) if other not in seen]
        seen.update(following)
    return names


def _side(pool: pb.NodeDef) -> int:
    """The side of the squares that a pool takes, side by side; 1 for any other pool."""
    window, strides = (list(pool.attr[name].list.i) for name in ("ksize", "strides"))
    side = window[1] if len(window) == 4 else 1
    is_plain = window == strides == [1, side, side, 1] and not pool.attr["explicit_paddings"].list.i
    return side if is_plain and pool.attr["data_format"].s in (b"", b"NHWC") else 1
