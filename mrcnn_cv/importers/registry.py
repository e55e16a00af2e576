"""The families of models: a new one is a class in a file of its own, and a row here.

The first row that detects a file reads it, so the narrower come first. A file that no row can read is offered to the
entry points `mrcnn_cv.families` of installed packages.
"""

from __future__ import annotations

from mrcnn_cv.importers.base import Family
from mrcnn_cv.util.registry import Registry, lacks

FAMILIES: Registry[type[Family]] = Registry(
    "model family",
    "mrcnn_cv.families",
    {
        "exported": "mrcnn_cv.importers.exported.plugin:ExportedFamily",
        "detectron2": "mrcnn_cv.importers.pytorch.plugin:Detectron2",
        "torchvision": "mrcnn_cv.importers.pytorch.plugin:Torchvision",
        "matterport": "mrcnn_cv.importers.matterport.plugin:Matterport",
        "object-detection-api": "mrcnn_cv.importers.object_detection_api.plugin:ObjectDetectionApi",
        # Weights may be in a form that a reader of another package knows, which is asked where nothing here does.
        "torchvision-weights": "mrcnn_cv.importers.architectures.plugin:TorchvisionWeights",
        "detectron2-weights": "mrcnn_cv.importers.architectures.plugin:Detectron2Weights",
    },
    lacks("detect", "load"),
)
