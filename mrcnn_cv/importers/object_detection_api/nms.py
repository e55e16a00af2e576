"""Read how boxes are suppressed, at each of the two stages of an Object Detection API graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.object_detection_api.hyperparameters import CLIPPING, HyperparameterReader
from mrcnn_cv.importers.tensorflow.graphdef import Graph, node_name
from mrcnn_cv.model.definition import NmsSpec


class SuppressionReader:
    """Reads the suppressions of one graph."""

    def __init__(self, graph: Graph, numbers: HyperparameterReader) -> None:
        self._graph = graph
        self._numbers = numbers

    def read(self, nodes: tuple[pb.NodeDef, ...]) -> NmsSpec | None:
        """Thresholds and limits of the suppression of one stage; `nodes`: one per class, which must agree."""
        for node in nodes:
            self._refuse_soft(node)
        found = {self._nms_thresholds(node) for node in nodes}
        if len(found) != 1:
            raise ModelFileError("suppresses boxes with other thresholds for other classes, which is not supported")
        score, iou, per_class = found.pop()
        total = self._total_limit(nodes)
        if iou is None or per_class is None or total is None:
            return None
        if np.isnan(iou) or (score is not None and np.isnan(score)):
            raise ModelFileError(f"suppresses boxes with a threshold that is no number, at '{nodes[0].name}'")
        boxes = self._graph.inputs(nodes[0])[0]
        scope = _scope(nodes[0])
        before = self._graph.upstream_values([boxes], lambda node: not node.name.startswith(scope))
        clip_first = any(node.op in CLIPPING and node.name.startswith(scope) for node in before.values())
        return NmsSpec(float("-inf") if score is None else score, iou, per_class, total, clip_first)

    def read_detections(
        self, nodes: tuple[pb.NodeDef, ...], class_count: int, config: NmsSpec | None
    ) -> NmsSpec | None:
        """The same for the detections: one suppression per class, or a single one for the best class of each region.

        config: the numbers to take where the graph does not hold them.
        """
        if len(nodes) not in (1, class_count):
            raise ModelFileError(f"suppresses boxes in {len(nodes)} places for {class_count} classes, which do not fit")
        spec = self.read(nodes) or config
        return spec if spec is None else replace(spec, class_agnostic=len(nodes) < class_count)

    def _refuse_soft(self, node: pb.NodeDef) -> None:
        sigma = self._numbers.number(self._graph.inputs(node)[5]) if len(self._graph.inputs(node)) > 5 else 0
        if sigma != 0:
            raise ModelFileError(
                f"lowers the scores of overlapping boxes (soft suppression at '{node.name}'), which is not supported:"
                " export it again without soft_nms_sigma in its pipeline.config"
            )

    def _nms_thresholds(self, node: pb.NodeDef) -> tuple[float | None, float | None, int | None]:
        inputs = self._graph.inputs(node)
        attribute = node.attr["iou_threshold"].f if "iou_threshold" in node.attr else 0.5
        iou = self._numbers.number(inputs[3]) if len(inputs) > 3 else float(attribute)
        score = self._numbers.number(inputs[4]) if len(inputs) > 4 else None
        if score is None or not np.isfinite(score):
            score = self._score_filter(node)
        limit = self._constant_minimum(self._graph.node(inputs[2]))
        return score, iou, self._numbers.limit(inputs[2]) if limit is None else limit

    def _score_filter(self, node: pb.NodeDef) -> float | None:
        """The score threshold of exporters before 2019, which filter the boxes before they suppress."""
        scope = _scope(node)
        scores = self._graph.upstream_values(
            [self._graph.inputs(node)[1]], lambda node: not node.name.startswith(scope)
        )
        for gather in (other for other in scores.values() if other.op.startswith("Gather")):
            # The first condition that the indices come from; boxes without area are filtered in the same way.
            for other in self._graph.upstream(
                [self._graph.inputs(gather)[1]], lambda node: node.op == "Greater"
            ).values():
                source, *threshold = self._graph.inputs(other) if other.op == "Greater" else [""]
                value = self._numbers.number(threshold[0]) if threshold and node_name(source) in scores else None
                if value is not None:
                    return value
        return None

    def _constant_minimum(self, node: pb.NodeDef) -> int | None:
        """The constant in `Minimum(constant, how many there are)`."""
        if node.op != "Minimum":
            return None
        found = [value for value in map(self._numbers.limit, self._graph.inputs(node)) if value is not None]
        return found[0] if len(found) == 1 else None

    def _total_limit(self, nodes: tuple[pb.NodeDef, ...]) -> int | None:
        """The limit over all classes: the Minimum of the suppression that no class takes."""
        scope = _scope(nodes[0])
        per_class = {self._graph.node(self._graph.inputs(node)[2]).name for node in nodes}
        limits = [
            self._constant_minimum(node)
            for name, node in self._graph.nodes.items()
            if node.op == "Minimum" and name.startswith(scope) and name not in per_class
        ]
        known = [limit for limit in limits if limit is not None]
        return min(known) if known else None


def _scope(nms: pb.NodeDef) -> str:
    """The name scope of a whole suppression: up to and with the part that says NonMaxSuppression first."""
    parts = nms.name.split("/")
    for index, part in enumerate(parts[:-1]):
        if "NonMaxSuppression" in part:
            return "/".join(parts[: index + 1]) + "/"
    return "/".join(parts[:-1]) + "/" if len(parts) > 1 else nms.name
