"""mrcnn-cv: run a frozen Mask R-CNN through OpenCV.

    from mrcnn_cv import MaskRCNN
    model = MaskRCNN.load("frozen_inference_graph.pb")
    found = model.predict(image_bgr)

Names are imported when they are first used, so that the command line answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mrcnn_cv.draw import Style
    from mrcnn_cv.errors import (
        BackendError,
        InputError,
        LabelFileError,
        ModelFileError,
        MrcnnCvError,
        OutputError,
        UsageError,
    )
    from mrcnn_cv.instances import BackendUse, Instances
    from mrcnn_cv.rcnn.model import MaskRCNN

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "BackendUse",
    "InputError",
    "Instances",
    "LabelFileError",
    "MaskRCNN",
    "ModelFileError",
    "MrcnnCvError",
    "OutputError",
    "Style",
    "UsageError",
    "__version__",
]

_HOMES = {"MaskRCNN": "rcnn.model", "Instances": "instances", "BackendUse": "instances", "Style": "draw"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mrcnn_cv' has no attribute '{name}'")
    return getattr(import_module(f"mrcnn_cv.{_HOMES.get(name, 'errors')}"), name)
