"""What decides the results of a run: written before its first image, and held against those of a run that goes on."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import Remedy, UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.util.redact import redact_url
from mrcnn_cv.util.version import __version__


def run_metadata(sources: Sequence[str], model: MaskRCNN, backend: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata (JSON) of a run. options: those that decide its results."""
    digest = hashlib.sha256()
    with model.path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return {
        "sources": list(sources),
        "options": dict(options),
        "model": {"file": model.path.name, "sha256": digest.hexdigest()},
        "versions": versions(),
        "backend": backend,
    }


def versions() -> dict[str, str]:
    """What ran: of mrcnn-cv, OpenCV, numpy and Python."""
    import numpy as np

    from mrcnn_cv.util.opencv import cv2

    python = ".".join(map(str, sys.version_info[:3]))
    return {"mrcnn_cv": __version__, "opencv": cv2.__version__, "numpy": np.__version__, "python": python}


def check_same(previous: Mapping[str, Any], metadata: Mapping[str, Any], directory: Path) -> None:
    """UsageError, with every difference, where a run that is resumed was another one."""
    different = []
    for group in ("sources", "options", "model"):
        before, now = without_secrets(previous).get(group), _as_json(without_secrets(metadata).get(group))
        if isinstance(before, dict) and isinstance(now, dict):
            names = [name for name in {**before, **now} if not _is_equal(before.get(name), now.get(name))]
            different += [f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}" for name in names]
        elif before != now:
            different.append(f"{group}: was {_short(before)}, is {_short(now)}")
    if different:
        raise UsageError(
            f"the run in {directory} was another one ({'; '.join(different)}): resume it with what it was started with,"
            " start a new one that overwrites it, or choose another output folder",
            Remedy.RESUME,
            Remedy.OVERWRITE,
            Remedy.OUTPUT_DIRECTORY,
        )


def without_secrets(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata without secrets of addresses: a run goes on also where these have changed, as signatures do."""
    sources = metadata.get("sources")
    if not isinstance(sources, list):
        return dict(metadata)
    return {**metadata, "sources": [redact_url(each) if isinstance(each, str) else each for each in sources]}


def _is_equal(before: Any, now: Any) -> bool:
    """Of values of an option: classes, formats and hidden parts are the same in any order."""
    if isinstance(before, list) and isinstance(now, list):
        return sorted(map(str, before)) == sorted(map(str, now))
    return bool(before == now)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, ensure_ascii=False))
