"""mrcnn-cv: run a frozen Mask R-CNN through OpenCV.

    from mrcnn_cv import MaskRCNN
    model = MaskRCNN.load("frozen_inference_graph.pb")
    found = model.predict(image_bgr)

Names are imported when they are first used, so that the command line answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mrcnn_cv.util.version import __version__

if TYPE_CHECKING:
    from mrcnn_cv.drawing.annotate import Style
    from mrcnn_cv.errors import (
        BackendError,
        InputError,
        LabelFileError,
        ModelFileError,
        MrcnnCvError,
        OutputError,
        UsageError,
    )
    from mrcnn_cv.inference.predictor import MaskRCNN
    from mrcnn_cv.structures.instances import BackendUse, Instances


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

_HOMES = {
    "MaskRCNN": "inference.predictor",
    "Instances": "structures.instances",
    "BackendUse": "structures.instances",
    "Style": "drawing.annotate",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mrcnn_cv' has no attribute '{name}'")
    return getattr(import_module(f"mrcnn_cv.{_HOMES.get(name, 'errors')}"), name)
