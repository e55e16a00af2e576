"""The options that an error of the library asks for."""

from __future__ import annotations

from collections.abc import Mapping

from mrcnn_cv.errors import MrcnnCvError, Remedy

OPTIONS: Mapping[Remedy, str] = {
    Remedy.OVERWRITE: "--overwrite",
    Remedy.RESUME: "--resume",
    Remedy.OUTPUT_DIRECTORY: "-o",
    Remedy.RECORDS_FILE: "--json",
    Remedy.REPORT_FILE: "--json or --plot",
    Remedy.IMAGE_LIST: "--list",
    Remedy.FILE_PATTERNS: "--include-files",
    Remedy.START: "--start",
    Remedy.CAMERA_SIZE: "--camera-size",
    Remedy.MODEL: "--model",
    Remedy.REGISTER_MODEL: "mrcnn-cv models add NAME PATH --overwrite",
    Remedy.ARCHIVE: "--from",
    Remedy.LABELS: "--labels",
    Remedy.BACKEND: "--backend",
    Remedy.CPU_BACKEND: "--backend cpu",
    Remedy.DEVICE: "--device",
    Remedy.CODEC: "--codec",
    Remedy.CRF: "--crf",
    Remedy.ONE_WORKER: "--workers 1",
    Remedy.NO_WINDOW: "without --show",
    Remedy.SERVE: "--serve 8080",
    Remedy.SERVE_ADDRESS: "--serve",
}


def with_options(error: Exception) -> str:
    """The text of an error, with the options for what it tells the user to do in parentheses."""
    options = [OPTIONS[remedy] for remedy in error.remedies] if isinstance(error, MrcnnCvError) else []
    if not options:
        return str(error)
    *others, last = options
    return f"{error} ({', '.join(others)} or {last})" if others else f"{error} ({last})"
