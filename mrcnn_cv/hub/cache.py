"""Where models lie on this machine, and how they get there whole or not at all.

    HOME/zoo/NAME/           an unpacked model, with a record of where it came from (pulled.json)
    HOME/downloads/NAME.part what has arrived of an archive, with notes on it (NAME.part.json)
    HOME/archives/KEY/       what was unpacked of a .tar.gz that --model named
    HOME/locks/NAME.lock     held while any of these is written

HOME is MRCNN_CV_HOME, or the platform's folder for caches.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import OutputError
from mrcnn_cv.hub.registry import GRAPH_NAME
from mrcnn_cv.util.files import try_lock, why_unwritable

HOME_VARIABLE = "MRCNN_CV_HOME"
RECORD_NAME = "pulled.json"

_LOCK_POLL_SECONDS = 0.1


def home() -> Path:
    """The folder of the cache; it may not exist yet."""
    moved = os.environ.get(HOME_VARIABLE)
    if moved:
        return Path(moved).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("mrcnn-cv", appauthor=False)


def model_folder(name: str) -> Path:
    """Where the unpacked zoo model `name` lies, or would."""
    return home() / "zoo" / name


def part_path(name: str) -> Path:
    """Where the archive of `name` arrives."""
    return home() / "downloads" / f"{name}.part"


def archives_folder() -> Path:
    """Where archives that --model named are unpacked."""
    return home() / "archives"


def record(folder: Path) -> Mapping[str, Any] | None:
    """What is known about an installed model; None unless its graph is there in full."""
    try:
        found = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        complete = (folder / GRAPH_NAME).stat().st_size == found["graph_size"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if complete else None


def is_pulled(name: str) -> bool:
    """True where the zoo model `name` is ready to be opened."""
    return record(model_folder(name)) is not None


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """OutputError, one sentence, for an OSError from writing at `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError(why_unwritable(error, path, f"set {HOME_VARIABLE} to a folder elsewhere")) from error


def install(folder: Path, fill: Callable[[Path], Mapping[str, Any]]) -> None:
    """Make `folder`: `fill` gets an empty folder beside it and returns what `record` shall say; then it is renamed.

    Whatever was there is replaced; whatever goes wrong leaves it as it was. To be called under the lock of the model.
    """
    with writable(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        temporary = _beside(folder)
        temporary.mkdir()
    try:
        facts = fill(temporary)
        with writable(folder):
            size = (temporary / GRAPH_NAME).stat().st_size
            text = json.dumps({**facts, "graph_size": size}, indent=2)
            (temporary / RECORD_NAME).write_text(text, encoding="utf-8")
            _swap(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _swap(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`, which a rename alone cannot do to a folder with something in it."""
    if not os.path.lexists(folder):
        os.replace(new, folder)
        return
    old = _beside(folder)
    os.replace(folder, old)
    try:
        os.replace(new, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove an installed model; first out of sight, so that nobody meets half of it. OSError where that fails."""
    if os.path.lexists(folder):
        away = _beside(folder)
        os.replace(folder, away)
        shutil.rmtree(away, ignore_errors=True)


def _beside(folder: Path) -> Path:
    return folder.parent / f".{folder.name}~{secrets.token_hex(6)}"


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed has left."""
    for left in folder.parent.glob(f".{folder.name}~*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def locked(name: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of `name`; `waiting` is called once where another process has it.

    The operating system holds it, so that it is free again however a process ended. OutputError where there is none.
    """
    path = home() / "locks" / f"{name}.lock"
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b")  # noqa: SIM115 (closed below; what is raised within must not pass through `writable`)
    with file:
        with writable(path):
            if not try_lock(file):
                waiting()
                while not try_lock(file):
                    time.sleep(_LOCK_POLL_SECONDS)
        # Closing the file frees the lock. The file stays: who deletes it takes it from under those that wait.
        yield
