"""Models that mrcnn-cv knows. So far one: the small demo model that the package brings along."""

from __future__ import annotations

from pathlib import Path

from mrcnn_cv.errors import ModelFileError

_PACKAGE = Path(__file__).resolve().parent


def demo_model() -> Path:
    """The folder of the demo model: frozen graph, pipeline.config, label map and model card.

    In an installed package it lies inside it; in a checkout in models/ beside it.
    """
    for root in (_PACKAGE, _PACKAGE.parent):
        folder = root / "models" / "demo"
        if (folder / "frozen_inference_graph.pb").is_file():
            return folder
    raise ModelFileError("the demo model is missing from this installation: install mrcnn-cv again, or give --model")
