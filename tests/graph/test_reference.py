"""The nets that engines and exporters are tried on cover the language."""

from __future__ import annotations

from mrcnn_cv.graph.ir import LAYERS
from tests.graph.nets import cases


def test_every_layer_is_in_some_net() -> None:
    assert {type(layer) for case in cases() for layer in case.net} == set(LAYERS)
