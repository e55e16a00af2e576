"""Small nets for passes, and whether two of them make the same numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mrcnn_cv.graph.ir import Float, NetGraph
from tests.importers.net_runner import run


def values(*shape: int, seed: int = 0) -> Float:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def kinds(net: NetGraph) -> list[str]:
    """What the layers are, in order."""
    return [layer.op for layer in net]


def check_equal(net: NetGraph, other: NetGraph, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """That both make the same of random inputs."""
    inputs = {name: values(*shape, seed=9) for name, shape in shapes.items()}
    for expected, found in zip(run(net, inputs), run(other, inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
