"""Names that say what a net puts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.graph.ir import NetGraph


def with_output_names(net: NetGraph, outputs: Sequence[str]) -> NetGraph:
    """The net whose outputs, in their order, are called `outputs`; another layer of such a name gets one like it.

    Raises ModelFileError for a net that puts out one map twice, or hands on an input.
    """
    if len(set(net.outputs)) != len(net.outputs) or set(net.outputs) & set(net.inputs):
        raise ModelFileError("has a net that puts out a map twice, or what it is given, so that it cannot be exported")
    new = dict(zip(net.outputs, outputs, strict=True))
    taken = {*net.inputs, *outputs, *(layer.name for layer in net)}
    for layer in net:
        if layer.name in outputs and layer.name not in new:
            own = f"{layer.name}_"
            while own in taken:
                own += "_"
            taken.add(own)
            new[layer.name] = own
    layers = (
        replace(layer, name=new.get(layer.name, layer.name), inputs=tuple(new.get(name, name) for name in layer.inputs))
        for layer in net
    )
    return replace(net, outputs=tuple(outputs), layers=tuple(layers))
