"""The runner of mrcnn-cv itself: from the image file to the annotated one, each step timed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from mrcnn_cv.engines.base import Float, Net
from mrcnn_cv.inference.nets import Nets
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inference.roi_pool import with_roi_pooling
from mrcnn_cv.inputs.images.files import read_image
from mrcnn_cv.outputs.formats.image_files import encode

STEPS = (
    *("read", "resize", "trunk", "proposals", "box_crops", "box_head", "detections", "mask_crops", "mask_head"),
    *("draw", "write"),
)
"""In their order."""

INFERENCE = STEPS[1:-2]
"""Those of `MaskRCNN.predict`, which is what is compared."""


class Runner:
    """job: model, config, image (paths), folder (to write into), backend, device, threads, kept, roi, fast."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._image = Path(job["image"])
        self._written = Path(job["folder"]) / f"annotated{self._image.suffix}"
        self._kept: int = job["kept"]
        self._place: str = job["device"] or "CPU"
        self._score: float | None = None
        self._model = MaskRCNN.load(
            job["model"],
            job["backend"],
            pipeline_config=job["config"],
            threads=job["threads"],
            device=job["device"],
            fast=job["fast"],
        )
        if job["roi"] == "pool":
            self._model.definition = with_roi_pooling(self._model.definition)
        nets = self._model._nets
        self._box_head = _Timed(nets.box_head)
        self._mask_head = None if nets.mask_head is None else _Timed(nets.mask_head)
        # The nets alone are timed in here; what remains of a head's time is that of its crops.
        self._model._nets = Nets(nets.backbone, self._box_head, self._mask_head)

    def run(self) -> dict[str, Any]:
        """Read, predict, draw, write; `ms` is that of predict alone."""
        clock = [time.perf_counter()]
        image = read_image(self._image)
        clock.append(time.perf_counter())
        instances = self._model.predict(image, score_threshold=self._score, max_instances=self._kept)
        clock.append(time.perf_counter())
        annotated = instances.draw(image)
        clock.append(time.perf_counter())
        self._written.write_bytes(encode(annotated, self._image.suffix, str(self._written)))
        clock.append(time.perf_counter())
        if len(instances) < self._kept:
            # Above the model's own threshold there are too few: take all, from the next run on.
            self._score = 0.0
        read, predict, draw, write = ((end - start) * 1000 for start, end in pairwise(clock))
        steps = dict(instances.timings_ms)
        for name, net in (("box", self._box_head), ("mask", self._mask_head)):
            of_net = 0.0 if net is None else net.take()
            steps[f"{name}_crops"] = steps[f"{name}_head"] - of_net
            steps[f"{name}_head"] = of_net
        steps |= {"read": read, "draw": draw, "write": write}
        return {"ms": predict, "steps": {name: steps[name] for name in STEPS}, "found": len(instances)}

    def about(self) -> dict[str, Any]:
        """What ran, known after a first run.

        place: OpenVINO's name of the device; proposals: how many regions the box head takes at most; score: the
        threshold, None for the model's own.
        """
        used = self._model.backend
        return {
            "backend": used.used,
            "device": used.device,
            "place": self._place,
            "proposals": self._model.definition.proposal_nms.max_total,
            "score": self._score,
        }


class _Timed:
    """A net that adds up the milliseconds of its runs."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._milliseconds = 0.0

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        start = time.perf_counter()
        outputs = self._net.run(inputs)
        self._milliseconds += (time.perf_counter() - start) * 1000
        return outputs

    def devices(self) -> set[str]:
        return self._net.devices()

    def take(self) -> float:
        """The milliseconds since the last call."""
        taken, self._milliseconds = self._milliseconds, 0.0
        return taken
