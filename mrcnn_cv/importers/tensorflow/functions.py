"""The functions that the loops and branches of a graph call, each as a graph of its own."""

from __future__ import annotations

from collections.abc import Iterator

from mrcnn_cv.graph.protos import graph_pb2 as pb
from mrcnn_cv.importers.tensorflow.constants import TensorFlowConstants
from mrcnn_cv.importers.tensorflow.graphdef import Graph


def function_graph(graph: Graph, name: str) -> Graph:
    """The body of a function; its arguments are Placeholders. Raises ModelFileError for one that contradicts itself."""
    constants = TensorFlowConstants(graph.constants.functions.get(name, {}))
    return Graph(_nodes(graph.functions[name]), budget=graph.budget, constants=constants, file=graph.file)


def _nodes(function: pb.FunctionDef) -> Iterator[pb.NodeDef]:
    for argument in function.signature.input_arg:
        yield pb.NodeDef(name=argument.name, op="Placeholder")
    for node in function.node_def:
        copy = pb.NodeDef()
        copy.CopyFrom(node)
        # `node:output:index` and `argument` become the name alone; which of several outputs it is does not matter here.
        copy.input[:] = [tensor.partition(":")[0] for tensor in node.input]
        yield copy
