"""The roofline: what an image costs in arithmetic, whoever computes it, at the peak rate of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mrcnn_cv.bench.results import Entry
from mrcnn_cv.graph.ir import CROPS, IMAGE
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.inference.preprocess.resize import padded_size, resized_size
from mrcnn_cv.inference.proposals import with_fewer_proposals
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.validate import head_shape, input_channels
from scripts.benchmarks.peak_gemm import BF16

_ON_PROCESSOR = ("cpu", "openvino", "openvino-bf16")
"""Backends that may run on the processor."""


def gflop_of(spec: ModelDefinition, image_size: tuple[int, int], masks: int) -> dict[str, float]:
    """Operations of each net in thousand millions, for an image (height, width) in which `masks` instances are kept.

    A multiplication and an addition are two, as the layers are written: an engine that gets by with fewer
    multiplications (Winograd's convolutions) does the same work. The box head takes as many proposals as the model
    allows.
    """
    padded = padded_size(spec.resize, resized_size(spec.resize, *image_size))
    trunk, inputs = ShapeInference(spec.trunk), {IMAGE: (1, input_channels(spec), *padded)}
    channels = trunk.results(inputs)[0][1]
    crops = {CROPS: head_shape(spec.crop, channels, spec.proposal_nms.max_total)}
    found = {"trunk": trunk.layers(inputs), "box_head": ShapeInference(spec.box_head).layers(crops)}
    if spec.mask_head is not None and spec.mask is not None and masks > 0:
        found["mask_head"] = ShapeInference(spec.mask_head).layers({CROPS: head_shape(spec.mask.crop, channels, masks)})
    return {name: sum(layer.flops for layer in each) / 1e9 for name, each in found.items()}


@dataclass(frozen=True)
class Roofline:
    """How near a candidate comes to what the machine can do.

    gflop: by net, for one image. rate: GFLOP/s that were reached, all steps counted. peak: (library, its GFLOP/s);
    None for a candidate that does not run on the processor.
    """

    gflop: Mapping[str, float]
    rate: float
    peak: tuple[str, float] | None

    @classmethod
    def of(
        cls, entry: Entry, spec: ModelDefinition, image_size: tuple[int, int], rates: Mapping[str, float]
    ) -> Roofline:
        """Of a candidate of mrcnn-cv; rates: GFLOP/s by library."""
        gflop = gflop_of(with_fewer_proposals(spec) if entry.fast else spec, image_size, entry.found or 0)
        return cls(gflop, sum(gflop.values()) / entry.milliseconds.median * 1000, peak_for(entry, rates))

    @property
    def share(self) -> float | None:
        """The rate as a share of the peak."""
        return None if self.peak is None else self.rate / self.peak[1]

    @property
    def least_ms(self) -> float | None:
        """Milliseconds that the arithmetic takes at the peak rate."""
        return None if self.peak is None else sum(self.gflop.values()) / self.peak[1] * 1000

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "gflop": {name: round(value, 3) for name, value in self.gflop.items()},
            "gflop_per_second": round(self.rate, 1),
            "share_of_peak_gemm": None if self.share is None else round(self.share, 4),
        }


def peak_for(entry: Entry, rates: Mapping[str, float]) -> tuple[str, float] | None:
    """(the fastest library, its GFLOP/s) in the precision of a candidate; None where it is not on the processor."""
    backend, place = entry.startup.notes["backend"], entry.startup.notes["place"]
    if backend not in _ON_PROCESSOR or not place.upper().startswith("CPU"):
        return None
    is_bf16 = backend == "openvino-bf16" and BF16 in rates
    comparable = {name: rate for name, rate in rates.items() if (name == BF16) == is_bf16}
    return max(comparable.items(), key=lambda item: item[1])
