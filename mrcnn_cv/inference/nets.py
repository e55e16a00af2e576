"""The nets of a model on one backend."""

from __future__ import annotations

from dataclasses import dataclass

from mrcnn_cv.engines import select as backends
from mrcnn_cv.graph.shape_inference import Plan
from mrcnn_cv.model.definition import CropSpec, ModelSpec, StageGraph
from mrcnn_cv.model.validate import feature_channels, head_shape, input_channels


@dataclass(frozen=True)
class Nets:
    """The three nets of a model, ready to run; `mask_head` is None for a Faster R-CNN."""

    trunk: backends.Net
    box_head: backends.Net
    mask_head: backends.Net | None

    def devices(self) -> set[str]:
        """Backends that any layer ran on so far."""
        return set().union(*(net.devices() for net in (self.trunk, self.box_head, self.mask_head) if net is not None))


def build_nets(spec: ModelSpec, plan: Plan, chosen: backends.Probe) -> Nets:
    """The nets of a model whose trunk has this plan."""
    channels = feature_channels(spec, plan)

    def head(stage: StageGraph, cut: CropSpec) -> backends.Net:
        return chosen.build(stage, cut.map_size, head_shape(cut, channels, 1)[-1])

    return Nets(
        trunk=chosen.build(spec.trunk, channels=input_channels(spec)),
        box_head=head(spec.box_head, spec.crop),
        mask_head=None if spec.mask_head is None or spec.mask is None else head(spec.mask_head, spec.mask.crop),
    )
