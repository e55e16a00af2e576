"""Look inside a model file: what it is, every number that decides its answers, and its nets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import MrcnnCvError
from mrcnn_cv.graph.ir import CROPS, IMAGE, NetGraph
from mrcnn_cv.graph.shape_inference import Shape, ShapeInference
from mrcnn_cv.importers.exported import family as exported
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.jobs.model_report import ModelReport, NetCheck, NetReport
from mrcnn_cv.jobs.options import ModelOptions, PathLike, as_model_options
from mrcnn_cv.model.definition import CropSpec, ModelDefinition
from mrcnn_cv.model.definition_json import MODEL_JSON
from mrcnn_cv.model.labels import labels_for
from mrcnn_cv.model.validate import feature_channels, head_shape, input_channels
from mrcnn_cv.util.arguments import typed

if TYPE_CHECKING:
    from mrcnn_cv.engines.select import Probe

DEFAULT_IMAGE = (480, 640)
"""(height, width) of the image for which sizes and operations are counted unless another is given."""


@typed
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
    resized, padded = _input_sizes(spec, image_size)
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
        nets=tuple(_report(*net) for net in _nets(spec, padded, spec.proposal_nms.max_total)),
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


def _input_sizes(spec: ModelDefinition, image_size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(size of the resized image, size of the network's input, padding included)."""
    from mrcnn_cv.inference.preprocess.resize import padded_size, resized_size

    size = resized_size(spec.resize, *image_size)
    return size, padded_size(spec.resize, size)


def _nets(
    spec: ModelDefinition, size: tuple[int, int], proposals: int
) -> Iterator[tuple[str, NetGraph, dict[str, Shape], CropSpec | None]]:
    """(name, net, shape of its input by name, how regions are cut for it) of each net.

    size: (height, width) of the network's input. proposals: how many the box head is given.
    """
    channels = feature_channels(spec, ShapeInference(spec.trunk))
    yield "trunk", spec.trunk, {IMAGE: (1, input_channels(spec), *size)}, None
    yield "box head", spec.box_head, {CROPS: head_shape(spec.crop, channels, proposals)}, spec.crop
    if spec.mask is not None and spec.mask_head is not None:
        yield "mask head", spec.mask_head, {CROPS: head_shape(spec.mask.crop, channels, 1)}, spec.mask.crop


def _report(name: str, net: NetGraph, inputs: dict[str, Shape], crop: CropSpec | None) -> NetReport:
    regions = None if crop is None else inputs[CROPS][0]
    return NetReport(name, regions, tuple(ShapeInference(net).layers(inputs)), tuple(net.outputs))


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
    for name in backends.BACKENDS:
        found = backends.probe(name)
        if found.problem is not None:
            continue
        for title, net, inputs, crop in _nets(spec, _input_sizes(spec, (96, 128))[1], proposals=1):
            zeros = {given: np.zeros(shape, np.float32) for given, shape in inputs.items()}
            problem = _problem_with(found, net, zeros, None if crop is None else crop.map_size)
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
