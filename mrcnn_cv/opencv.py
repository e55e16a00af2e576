"""The one place that imports cv2, so that a machine without its system libraries gets a sentence, not a traceback."""

from __future__ import annotations

from mrcnn_cv.errors import BackendError

try:
    import cv2
except ImportError as error:
    raise BackendError(
        f"OpenCV cannot be imported ({error}): on a server or in a slim container either install the system libraries"
        " (Debian and Ubuntu: apt-get install libgl1 libglib2.0-0) or replace the package:"
        " pip uninstall opencv-python, then pip install opencv-python-headless"
    ) from error

__all__ = ["cv2"]
