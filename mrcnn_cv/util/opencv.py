"""The one place that imports cv2: without its system libraries, or with variables of the environment that OpenCV cannot
read, there is a sentence, not a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mrcnn_cv.errors import BackendError, UsageError


def _check_variables() -> None:
    """UsageError where OpenCV cannot read a variable of the environment: it then aborts, so a child process tries."""
    given = ", ".join(f"{name}='{value}'" for name, value in sorted(os.environ.items()) if name.startswith("OPENCV_"))
    if not given or not sys.executable:
        return
    code = f"import sys; sys.path[:] = {sys.path!r}; import cv2; cv2.getNumThreads(); cv2.dnn.Net()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, stdin=subprocess.DEVNULL)
    # An import that fails ends with 1, and says more when it is tried here.
    if done.returncode not in (0, 1) or b"stoull" in done.stderr:
        raise UsageError(f"OpenCV does not start with these environment variables, correct or unset them: {given}")


_check_variables()

try:
    import cv2

    cv2.dnn.Net  # noqa: B018  (two OpenCV packages installed over each other leave a cv2 without contents)
except ModuleNotFoundError as error:
    raise BackendError(
        "OpenCV is not installed: pip install opencv-python, or opencv-python-headless on a server"
    ) from error
except ImportError as error:
    raise BackendError(
        f"OpenCV cannot be imported ({error}): on a server or in a slim container either install the system libraries"
        " (Debian and Ubuntu: apt-get install libgl1 libglib2.0-0) or replace the package:"
        " pip uninstall opencv-python, then pip install opencv-python-headless"
    ) from error
except AttributeError as error:
    raise BackendError(
        f"the installation of OpenCV is broken ({error}): pip uninstall opencv-python opencv-python-headless,"
        " then pip install one of them"
    ) from error

__all__ = ["cv2", "quiet", "signals_deferred"]

_lock = threading.Lock()
_users = 0
_level_before = 0


@contextmanager
def quiet() -> Iterator[None]:
    """OpenCV's log is off for as long as any thread is inside: where our own error says it better, and once."""
    global _users, _level_before
    with _lock:
        if _users == 0:
            _level_before = _set_log_level(0)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set_log_level(_level_before)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """What Python does at a signal (Ctrl-C), it does when the block ends: for calls of another overload than the first.

    OpenCV then asks Python for the words in which the first one refused the arguments, and does not expect that a
    signal that has come in the meantime ends that: the process crashes (opencv-python 5.0.0.93).
    """
    if threading.current_thread() is not threading.main_thread():
        # Python handles signals in the main one alone.
        yield
        return
    came: list[int] = []
    before: dict[int, Any] = {}
    try:
        for number in signal.valid_signals():
            if callable(handler := signal.getsignal(number)):
                before[number] = handler
                signal.signal(number, lambda sent, frame: came.append(sent))
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for sent in came:
            signal.raise_signal(sent)


def _set_log_level(level: int) -> int:
    """Set OpenCV's log level (0 is silent); returns the one before."""
    # OpenCV 5.0 moved the functions; the type stubs know only one of the places.
    home: Any = cv2 if hasattr(cv2, "setLogLevel") else getattr(cv2.utils, "logging")  # noqa: B009
    before = int(home.getLogLevel())
    home.setLogLevel(level)
    return before
