"""MaskRCNN: load a model, run the five steps on an image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.engines import select as backends
from mrcnn_cv.errors import InputError, ModelFileError, UsageError
from mrcnn_cv.graph.ir import CROPS, IMAGE
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.inference.box_ops import Boxes, is_nonempty
from mrcnn_cv.inference.coordinates import Geometry, detector_postprocess, geometry
from mrcnn_cv.inference.detections import Detections, find_detections, limits
from mrcnn_cv.inference.masks import find_masks
from mrcnn_cv.inference.nets import Nets, build_nets, build_on_any
from mrcnn_cv.inference.preprocess.resize import prepare
from mrcnn_cv.inference.proposals import find_proposals, with_fewer_proposals
from mrcnn_cv.inference.reload import LoadedFrom, check_travels, load_again
from mrcnn_cv.inference.roi_align import channels_last, roi_align
from mrcnn_cv.inference.roi_pool import with_roi_pooling
from mrcnn_cv.model.definition import ModelDefinition
from mrcnn_cv.model.labels import find_class_ids, labels_for
from mrcnn_cv.model.validate import check_input
from mrcnn_cv.structures.instances import BackendUse, Instances
from mrcnn_cv.util.arguments import check_range, typed

Float = NDArray[np.float32]

MAX_REGIONS_AT_ONCE = 512
"""Regions that the box head takes at a time."""


class MaskRCNN:
    """A Mask R-CNN, or a Faster R-CNN (boxes without masks), that is ready to run. `MaskRCNN.load` makes one.

    Any number of threads may call `predict` at the same time; each of the three nets serves one thread at a time. It is
    pickled as what it was loaded from, and loaded again by the process that gets it; one that is forked has it.

    Attributes
    ----------
    definition
        Every number that the model file gives: resizing, anchors, thresholds, box encodings, masks.
    path
        The model file.
    labels
        Class id to name.
    warnings
        One sentence for each oddity found in the model file.
    """

    def __init__(
        self,
        definition: ModelDefinition,
        path: Path,
        plan: ShapeInference,
        nets: Nets,
        requested: str,
        chosen: backends.Probe,
        labels: dict[int, str],
    ) -> None:
        """Assemble a model from its parts; `load` does it for a file.

        Parameters
        ----------
        definition
            The definition, whose nets still have their weights.
        path
            The file that it came from.
        plan
            Shape inference of the backbone.
        nets
            The three nets as the chosen engine built them.
        requested
            The backend that was asked for.
        chosen
            The backend and device that were chosen.
        labels
            Class id to name.
        """
        self._plan = plan
        self._checked: set[tuple[int, ...]] = set()
        self._mask_plan = None if definition.mask_head is None else ShapeInference(definition.mask_head)
        # The nets hold the weights now; the graphs they were read from would only take up memory.
        self.definition = replace(
            definition,
            trunk=definition.trunk.without_weights(),
            box_head=definition.box_head.without_weights(),
            mask_head=None if definition.mask_head is None else definition.mask_head.without_weights(),
        )
        self.path = path
        self.labels = labels
        self.warnings = definition.warnings
        self._nets = nets
        self._requested = requested
        self._chosen = chosen
        self._backend: BackendUse | None = None
        self._loaded: LoadedFrom | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return load_again, (check_travels(self._loaded),)

    @classmethod
    @typed
    def load(
        cls,
        path: str | Path,
        backend: str = "auto",
        labels: str | Path | None = None,
        pipeline_config: str | Path | None = None,
        threads: int | None = None,
        device: str | None = None,
        fast: bool = False,
        roi: Literal["align", "pool"] = "align",
    ) -> MaskRCNN:
        """Load a model file.

        Parameters
        ----------
        path
            A `.pb` or `.onnx` file, weights (`.pth`, `.pkl`, `.safetensors`), the folder that contains one, or a folder
            that `mrcnn-cv models export` wrote.
        backend
            Name of a backend, such as "cpu", "cuda" or "openvino". Anything but "auto" runs there or raises
            BackendError.
        labels
            Label map (.pbtxt, .names, .txt, .json); None for the one beside the model, or COCO's for 90 classes.
        pipeline_config
            The Object Detection API's `pipeline.config` or Detectron2's `.yaml`; None for the one beside the model, if
            there is one.
        threads
            Number of threads, for the whole process (OpenCV has no other way); None for OpenCV's default.
        device
            OpenVINO's or ONNX Runtime's name of a device ("GPU", "CUDA"); None for the engine's default.
        fast
            Use a third of the proposals, which may miss instances.
        roi
            "pool" crops regions from feature maps by RoIPool, which rounds them to cells, whatever the model was
            trained with; "align" leaves the model's own method.

        Returns
        -------
        MaskRCNN
            The model, ready to predict.

        Raises
        ------
        ModelFileError
            If the file cannot be read, or is of an unsupported kind.
        LabelFileError
            If the label map cannot be read.
        BackendError
            If the backend or device is not available here.
        """
        check_range("threads", threads, 1)
        given = {name: value for name, value in locals().items() if name != "cls"}
        if threads is not None:
            backends.set_threads(threads)
        chosen = backends.choose(backend, device)
        file = open_model(Path(path), None if pipeline_config is None else Path(pipeline_config))
        names, notes = labels_for(
            file.definition.class_count, None if labels is None else Path(labels), file.path.parent
        )
        definition = replace(file.definition, warnings=(*file.definition.warnings, *notes))
        if fast:
            definition = with_fewer_proposals(definition)
        if roi == "pool":
            definition = with_roi_pooling(definition)
        plan = ShapeInference(definition.trunk)
        if backend == "auto" and device is None:
            nets, chosen, problems = build_on_any(definition, chosen)
            definition = replace(definition, warnings=(*definition.warnings, *problems))
        else:
            nets = build_nets(definition, chosen)
        model = cls(definition, file.path, plan, nets, backend, chosen, names)
        model._loaded = LoadedFrom.now(file.path, given)
        return model

    @typed
    def predict(
        self,
        image_bgr: NDArray[np.uint8],
        score_threshold: float | None = 0.5,
        mask_threshold: float = 0.5,
        nms_threshold: float | None = None,
        max_instances: int | None = None,
        classes: Sequence[int | str] | int | str | None = None,
    ) -> Instances:
        """Find the instances in an image.

        Parameters
        ----------
        image_bgr
            (H, W, 3) uint8, BGR as OpenCV reads it.
        score_threshold
            Minimum score, exclusive, from 0 to 1; None for the model's own value.
        mask_threshold
            Probability above which a pixel belongs to an instance, from 0 to 1.
        nms_threshold
            IoU above which the lower scored of two boxes of a class is dropped, from 0 to 1; None for the model's own
            value.
        max_instances
            Maximum number of instances, the best ones; None for the model's own value.
        classes
            Class ids or names to look for; None for all.

        Returns
        -------
        Instances
            Best score first; empty if nothing was found.

        Raises
        ------
        UsageError
            For an invalid threshold, an unknown class, or an array that is no such image.
        InputError
            For an empty image, or one that is too large for the model.
        """
        _check_image(image_bgr)
        check_range("score_threshold", score_threshold, 0, 1)
        check_range("mask_threshold", mask_threshold, 0, 1)
        check_range("nms_threshold", nms_threshold, 0, 1)
        check_range("max_instances", max_instances, 1)
        nms = limits(self.definition.detection_nms, score_threshold, nms_threshold, max_instances)
        wanted = None if classes is None else self._wanted(classes)

        clock = _Clock()
        with clock("resize"):
            network_input = prepare(image_bgr, self.definition.resize, self.definition.pixels)
        height, width = network_input.pixels.shape[2:]
        layout = geometry(network_input.size, network_input.offset, (height, width), self.definition.box_edges)
        self._check_input(network_input.pixels.shape, image_bgr.shape)
        with clock("trunk"):
            features, rpn_encodings, rpn_logits = self._backbone(network_input.pixels)
        with clock("proposals"):
            proposals = find_proposals(rpn_encodings, rpn_logits, self.definition, layout)
        with clock("box_head"):
            encodings, logits = self._box_head(features, proposals, (height, width))
        with clock("detections"):
            detections = find_detections(encodings, logits, proposals, self.definition, nms, layout, wanted)
        with clock("mask_head"):
            masks = self._masks(features, detections, layout, (height, width))
        fractions = layout.fractions_of_image(detections.boxes)
        return self._instances(detections, fractions, masks, image_bgr.shape[:2], mask_threshold, clock.milliseconds)

    def label(self, class_id: int) -> str:
        """The name of a class.

        Parameters
        ----------
        class_id
            Id of the label map.

        Returns
        -------
        str
            The name; the id as text where the label map has none.
        """
        return self.labels.get(class_id, str(class_id))

    @property
    def chosen_backend(self) -> str:
        """Name of the backend for which the nets were built."""
        return self._chosen.backend.name

    @property
    def backend(self) -> BackendUse:
        """The backend that was requested and the one that ran, known after the first prediction."""
        if self._backend is None:
            self._backend = backends.report(self._requested, self._chosen, self._nets.devices())
        return self._backend

    def _check_input(self, shape: tuple[int, ...], image: tuple[int, ...]) -> None:
        """No net is given an input for which it was not computed first what its layers make of it."""
        if shape not in self._checked:
            try:
                check_input(self._plan, {IMAGE: shape})
            except ModelFileError as error:
                raise InputError(f"the model cannot take an image of {image[1]}x{image[0]} pixels: {error}") from error
            if len(self._checked) == 256:
                self._checked.clear()
            self._checked.add(shape)

    def _backbone(self, pixels: Float) -> tuple[list[Float], list[Float], list[Float]]:
        """(feature maps, box encodings, objectness logits), the last two for each level of anchors."""
        outputs = self._nets.backbone.run({IMAGE: pixels})
        levels = len(self.definition.anchors)
        # Turned once for both heads.
        features = [channels_last(feature_map) for feature_map in outputs[: -2 * levels]]
        return features, outputs[-2 * levels : -levels], outputs[-levels:]

    def _box_head(self, features: list[Float], proposals: Boxes, padded_size: tuple[int, int]) -> list[Float]:
        if len(proposals) == 0:
            boxes = 1 if self.definition.class_agnostic_boxes else self.definition.class_count
            return [np.zeros((0, 4 * boxes), np.float32), np.zeros((0, self.definition.class_count + 1), np.float32)]
        # In equal portions: crops of a thousand regions at once would be most of what a run takes of memory.
        portions = np.array_split(proposals, -(-len(proposals) // MAX_REGIONS_AT_ONCE))
        found = [
            self._nets.box_head.run({CROPS: roi_align(features, portion, self.definition.crop, padded_size)})
            for portion in portions
        ]
        return found[0] if len(found) == 1 else [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def _masks(
        self, features: list[Float], detections: Detections, layout: Geometry, padded_size: tuple[int, int]
    ) -> Float | None:
        spec, head = self.definition.mask, self._nets.mask_head
        if spec is None or head is None or self._mask_plan is None:
            return None
        regions = (layout.fractions_of_image if spec.crop.relative_to_image else layout.fractions)(detections.boxes)
        return find_masks(head, self._mask_plan, features, regions, detections.classes, spec, padded_size)

    def _instances(
        self,
        detections: Detections,
        fractions: Boxes,
        masks: Float | None,
        size: tuple[int, ...],
        mask_threshold: float,
        timings_ms: dict[str, float],
    ) -> Instances:
        height, width = size
        boxes = detector_postprocess(fractions, (height, width), self.definition.box_edges)
        scores, classes = detections.scores, detections.classes
        if self.definition.round_boxes:
            # Of float32 something may be missing to a whole pixel.
            boxes = np.rint(boxes) if self.definition.box_edges == "centers" else np.floor(boxes + np.float32(1e-3))
        # What has no pixel left is nothing.
        kept = is_nonempty(boxes, 0.0)
        boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
        masks = None if masks is None else masks[kept]
        class_ids = (classes + 1).astype(np.int32)
        return Instances(
            boxes=boxes,
            scores=scores,
            class_ids=class_ids,
            labels=[self.label(int(class_id)) for class_id in class_ids],
            mask_probabilities=masks,
            image_size=(height, width),
            mask_threshold=mask_threshold,
            mask_sampling=self.definition.mask.sampling if self.definition.mask else "corners",
            model=self.path.name,
            backend=self.backend,
            timings_ms=timings_ms,
        )

    @typed
    def class_ids(self, classes: Sequence[int | str] | int | str) -> list[int]:
        """The class ids of names or ids.

        Parameters
        ----------
        classes
            Names, in any case, or ids.

        Returns
        -------
        list[int]
            One id for each.

        Raises
        ------
        UsageError
            For a class that the model does not have; the message suggests similar names.
        """
        return find_class_ids(classes, self.labels, self.definition.class_count)

    def _wanted(self, classes: Sequence[int | str] | int | str) -> NDArray[np.bool_]:
        wanted = np.zeros(self.definition.class_count, dtype=np.bool_)
        wanted[np.array(self.class_ids(classes), dtype=np.intp) - 1] = True
        return wanted


class _Clock:
    """Milliseconds by step."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.milliseconds[step] = (time.perf_counter() - start) * 1000


def _check_image(image: NDArray[np.uint8]) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        shape = getattr(image, "shape", type(image).__name__)
        raise UsageError(f"predict() takes a BGR image of shape (height, width, 3) and type uint8, not {shape}")
    if 0 in image.shape:
        raise InputError(f"the image is empty ({image.shape[1]}x{image.shape[0]} pixels)")
