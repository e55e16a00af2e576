"""Look inside a model file: what it is, every number that decides its answers, and its nets."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import MrcnnCvError
from mrcnn_cv.graph.ir import CROPS, IMAGE, NetGraph
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.exported import family as exported
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.jobs.model_report import ModelReport, NetCheck, NetReport
from mrcnn_cv.jobs.options import ModelOptions, PathLike, as_model_options
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.definition_json import MODEL_JSON
from mrcnn_cv.model.labels import labels_for
from mrcnn_cv.model.validate import feature_channels, head_shape, input_channels

if TYPE_CHECKING:
    from mrcnn_cv.engines.select import Probe

DEFAULT_IMAGE = (480, 640)
"""(height, width) of the image for which sizes and operations are counted unless another is given."""


def inspect(model: PathLike | ModelOptions, *, image_size: tuple[int, int] = DEFAULT_IMAGE) -> ModelReport:
    """Look inside a model file.

    Parameters
    ----------
    model
        A model file or its folder, or a ModelOptions, of which path, labels and config count.
    image_size
        (height, width) in pixels of the image for which the nets' sizes and operations are counted.

    Returns
    -------
    ModelReport
        Everything that is known about the file.

    Raises
    ------
    ModelFileError
        Where the file cannot run; it says what the file is.
    LabelFileError
        Where the labels cannot be used.
    """
    options = as_model_options(model)
    labels, config = (None if each is None else Path(each) for each in (options.labels, options.config))
    file = open_model(Path(options.path), config)
    spec = file.definition
    names, notes = labels_for(spec.class_count, labels, file.path.parent)
    resized, padded = input_sizes(spec, image_size)
    size, sha256 = _size_and_digest(file.path)
    return ModelReport(
        path=file.path,
        size=size,
        sha256=sha256,
        definition=_without_weights(spec),
        labels=names,
        parameters=_parameters(spec),
        image_size=image_size,
        resized=resized,
        network_input=padded,
        nets=_nets(spec, padded),
        checks=check_nets(spec),
        warnings=(*spec.warnings, *notes),
    )


def _without_weights(spec: ModelDefinition) -> ModelDefinition:
    mask_head = None if spec.mask_head is None else spec.mask_head.without_weights()
    trunk, box_head = spec.trunk.without_weights(), spec.box_head.without_weights()
    return replace(spec, trunk=trunk, box_head=box_head, mask_head=mask_head)


def _size_and_digest(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    # The model.json of an export holds the digests of its nets, so that its own stands for all of them.
    size = len(data) + (exported.size_of_nets(path) if path.name == MODEL_JSON else 0)
    return size, hashlib.sha256(data).hexdigest()


def input_sizes(spec: ModelDefinition, image_size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(size of the resized image, size of the network's input, padding included)."""
    from mrcnn_cv.inference.preprocess.resize import padded_size, resized_size

    size = resized_size(spec.resize, *image_size)
    return size, padded_size(spec.resize, size)


def _nets(spec: ModelDefinition, padded: tuple[int, int]) -> tuple[NetReport, ...]:
    trunk, inputs = ShapeInference(spec.trunk), {IMAGE: (1, input_channels(spec), *padded)}
    channels = trunk.results(inputs)[0][1]
    proposals = spec.proposal_nms.max_total
    reports = [NetReport("trunk", None, tuple(trunk.layers(inputs)), tuple(spec.trunk.outputs))]
    for name, net, crop, count in (
        ("box head", spec.box_head, spec.crop, proposals),
        ("mask head", spec.mask_head, None if spec.mask is None else spec.mask.crop, 1),
    ):
        if net is not None and crop is not None:
            layers = ShapeInference(net).layers({CROPS: head_shape(crop, channels, count)})
            reports.append(NetReport(name, count, tuple(layers), tuple(net.outputs)))
    return tuple(reports)


def _parameters(spec: ModelDefinition) -> int:
    """Weights and biases of all nets; those that the heads share are counted once."""
    unique: dict[bytes, int] = {}
    for net in (spec.trunk, spec.box_head, spec.mask_head):
        for layer in () if net is None else net:
            for array in layer.arrays():
                unique[hashlib.sha256(np.ascontiguousarray(array).data).digest()] = array.size
    return sum(unique.values())


def check_nets(spec: ModelDefinition) -> tuple[NetCheck, ...]:
    """For each net and each backend that works here: whether it takes and runs it, and where it ran."""
    from mrcnn_cv.engines import select as backends

    results = []
    channels = feature_channels(spec, ShapeInference(spec.trunk))
    nets: list[tuple[str, NetGraph, str, tuple[int, ...], tuple[int, int] | None]] = [
        ("trunk", spec.trunk, IMAGE, (1, input_channels(spec), *input_sizes(spec, (96, 128))[1]), None)
    ]
    nets.append(("box head", spec.box_head, CROPS, head_shape(spec.crop, channels, 1), spec.crop.map_size))
    if spec.mask is not None and spec.mask_head is not None:
        shape = head_shape(spec.mask.crop, channels, 1)
        nets.append(("mask head", spec.mask_head, CROPS, shape, spec.mask.crop.map_size))
    for name in backends.BACKENDS:
        found = backends.probe(name)
        if found.problem is not None:
            continue
        for title, graph, given, shape, size in nets:
            problem = _problem_with(found, graph, {given: np.zeros(shape, dtype=np.float32)}, size)
            results.append(NetCheck(name, title, problem))
    return tuple(results)


def _problem_with(
    found: Probe, graph: NetGraph, inputs: dict[str, NDArray[np.float32]], size: tuple[int, int] | None
) -> str | None:
    """Why a backend does not run a net; None where it does."""
    try:
        net = found.build(graph, size)
        net.run(inputs)
    except MrcnnCvError as error:
        return str(error)
    if found.backend.name not in net.devices():
        return f"every layer ran on {', '.join(sorted(net.devices())) or 'something else'}"
    return None
