"""Rewrites of a NetGraph that keep its numbers, one module each."""

from __future__ import annotations

from mrcnn_cv.graph.ir import NetGraph
from mrcnn_cv.graph.passes.fold_affine import fold_affine
from mrcnn_cv.graph.passes.reorder_pools import pools_last


def standard_passes(net: NetGraph) -> NetGraph:
    """What every net goes through that an importer has cut out of a graph."""
    return pools_last(fold_affine(net))
