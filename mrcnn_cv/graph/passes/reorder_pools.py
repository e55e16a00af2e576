"""Average pools behind the convolutions of 1x1 that follow them, where they have fewer channels to go through.

Both are linear, and an average of equal biases is that bias, so that nothing changes but the rounding. In an Inception
block the pool then takes a fifth of the time.
"""

from __future__ import annotations

from mrcnn_cv.graph.protos import graph_pb2 as pb


def pools_last(graph: pb.GraphDef, outputs: tuple[str, ...]) -> None:
    """Reorder the layers of a stage; `outputs` are its outputs, which keep their values."""
    nodes = {node.name: node for node in graph.node}
    takers: dict[str, list[pb.NodeDef]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    moved: dict[str, str] = {}
    for pool in graph.node:
        if pool.op != "AvgPool" or pool.name in outputs:
            continue
        end = _convolution_behind(pool, takers, nodes)
        if end is None or end[-1].name in outputs:
            continue
        convolution, last = end[0], end[-1]
        for taker in takers.get(last.name, []):
            taker.input[:] = [pool.name if name == last.name else name for name in taker.input]
        convolution.input[0], pool.input[0] = pool.input[0], last.name
        moved[last.name] = pool.name
    _in_order(graph, moved)


def _convolution_behind(
    pool: pb.NodeDef, takers: dict[str, list[pb.NodeDef]], nodes: dict[str, pb.NodeDef]
) -> list[pb.NodeDef] | None:
    """The convolution of 1x1 that alone takes a pool, and its bias if it has one; None for anything else."""
    followers = takers.get(pool.name, [])
    if len(followers) != 1 or followers[0].op != "Conv2D" or followers[0].input[0] != pool.name:
        return None
    convolution = followers[0]
    height, width, taken, given = (
        dim.size for dim in nodes[convolution.input[1]].attr["value"].tensor.tensor_shape.dim
    )
    if (height, width) != (1, 1) or given >= taken or list(convolution.attr["strides"].list.i) != [1, 1, 1, 1]:
        return None
    biases = [node for node in takers.get(convolution.name, []) if node.op == "BiasAdd"]
    if not biases:
        return [convolution]
    return [convolution, biases[0]] if len(takers[convolution.name]) == 1 else None


def _in_order(graph: pb.GraphDef, moved: dict[str, str]) -> None:
    """Put each pool behind the layer that it takes now; moved: layer → pool."""
    if not moved:
        return
    pools = {node.name: node for node in graph.node if node.name in moved.values()}
    ordered: list[pb.NodeDef] = []
    for node in graph.node:
        if node.name in pools:
            continue
        ordered.append(node)
        if node.name in moved:
            ordered.append(pools[moved[node.name]])
    copies = pb.GraphDef(node=ordered)
    del graph.node[:]
    graph.node.extend(copies.node)
