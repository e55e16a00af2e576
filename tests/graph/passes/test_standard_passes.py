"""What every net goes through that an importer has cut out of a graph."""

from __future__ import annotations

import numpy as np

from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder
from mrcnn_cv.graph.passes import standard_passes
from tests.graph.passes.nets import check_equal, kinds, values


def test_both_passes_fire() -> None:
    build = NetBuilder(("image",))
    pool = build.add(ir.AvgPool2d, "pool", ["image"], kernel=(3, 3), padding="same")
    at = build.add(ir.Conv2d, "conv", [pool], weight=values(4, 8, 1, 1))
    scale, shift = values(2, 4, seed=5).astype(np.float64)
    at = build.add(ir.Affine, "norm", [at], scale=scale, shift=shift)
    net = build.finish([build.add(ir.Relu, "relu", [at])])
    done = standard_passes(net)
    assert kinds(done) == ["Conv2d", "AvgPool2d", "Relu"]
    check_equal(net, done, {"image": (1, 8, 7, 6)})
