"""From the text of --model to a path: a file or folder, a .tar.gz, a registered name, or a name of the zoo."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from mrcnn_cv.errors import ModelFileError, Remedy
from mrcnn_cv.hub import cache, registry, user_models
from mrcnn_cv.hub.registry import DEMO, ZooModel

_ENDINGS_OF_MODELS = (".pb", ".pbtxt", ".gz", ".tgz", ".zip", ".h5", ".onnx")


class PullListener:
    """Told what a pull does; the methods do nothing here."""

    def note(self, text: str) -> None:
        """Something that a user may want to know."""

    def progress(self, done: int, total: int) -> None:
        """So many bytes of the archive are here."""


@dataclass(frozen=True)
class ResolvedModel:
    """A model that is ready to be opened.

    path       a file or folder for `open_model`
    name       the name that led to it; None where --model was a path
    labels     the label file registered with the name
    defaults   options registered with the name, as text: what neither command line nor environment sets
    """

    path: Path
    name: str | None = None
    labels: Path | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)


def resolve_model(
    text: str | Path,
    *,
    may_pull: Callable[[ZooModel], bool] | bool = False,
    listener: PullListener | None = None,
) -> ResolvedModel:
    """What `text` means: an existing path first, then a registered name, then a name of the zoo.

    may_pull   whether a zoo model that is not in the cache may be pulled; a function is asked at need
    A path that does not exist and cannot be a name is returned as it is: opening it says what there is to say.
    ModelFileError for a name that is unknown or not pulled, and for an archive that cannot be unpacked.
    """
    path = Path(text)
    if os.path.exists(path):
        return ResolvedModel(unpacked(path) if os.path.isfile(path) and _is_archive(path) else path)
    name = str(text)
    if not _may_be_name(name) or name.lower().endswith(_ENDINGS_OF_MODELS):
        return ResolvedModel(path)
    return by_name(name, may_pull=may_pull, listener=listener)


def by_name(
    name: str,
    *,
    may_pull: Callable[[ZooModel], bool] | bool = False,
    listener: PullListener | None = None,
) -> ResolvedModel:
    """The model that is registered as `name`, or else the zoo's; as `resolve_model`, but a path is not meant."""
    users = user_models.user_models()
    if name in users:
        return _registered(users[name])
    if name == DEMO:
        return ResolvedModel(registry.demo_model(), name)
    model = registry.zoo_model(name)
    if model is None:
        raise ModelFileError(f"there is no model file and no model of the name {name}: {_hint(name, users)}")
    if not cache.is_pulled(model.name):
        if not (may_pull(model) if callable(may_pull) else may_pull):
            raise ModelFileError(not_pulled(model))
        # The HTTP client is wanted here only.
        from mrcnn_cv.hub.pull import pull

        pull(model, listener=listener)
    return ResolvedModel(cache.model_folder(model.name), model.name)


def not_pulled(model: ZooModel) -> str:
    """The sentence for a model of the zoo that is not here yet."""
    return f"the model {model.name} is not on this machine yet: get it with 'mrcnn-cv models pull {model.name}'"


def unpacked(path: Path) -> Path:
    """The folder in the cache with what is needed of the .tar.gz at `path`; unpacked anew where the file has changed.

    The folder is named after the place of the archive, so that there is never more than one of each.
    """
    from mrcnn_cv.hub.archive import unpack

    folder = archive_folder(path)
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns]

    def known() -> bool:
        return (cache.record(folder) or {}).get("stamp") == stamp

    def fill(temporary: Path) -> Mapping[str, object]:
        try:
            file = path.open("rb")
        except OSError as error:
            raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error
        with file:
            unpack(file, str(path), temporary)
        return {"archive": os.path.abspath(path), "stamp": stamp}

    if not known():
        with cache.locked(folder.name, lambda: None):
            if not known():
                cache.install(folder, fill)
    return folder


def archive_folder(path: Path) -> Path:
    """Where the archive at `path` is unpacked to."""
    key = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:16]
    return cache.archives_folder() / f"archive-{key}"


def _is_archive(path: Path) -> bool:
    from mrcnn_cv.hub.archive import is_archive

    return is_archive(path)


def _registered(model: user_models.UserModel) -> ResolvedModel:
    for what, path in (("model", model.path), ("label file", model.labels)):
        if path is not None and not os.path.exists(path):
            raise ModelFileError(
                f"the {what} {path}, registered as {model.name}, is not there any more: bring it back, or register it"
                f" again as {model.name}",
                Remedy.REGISTER_MODEL,
            )
    path = model.path
    if os.path.isfile(path) and _is_archive(path):
        path = unpacked(path)
    return ResolvedModel(path, model.name, model.labels, model.defaults)


def _may_be_name(text: str) -> bool:
    return not any(mark in text for mark in ("/", "\\", "\0"))


def _hint(name: str, users: Mapping[str, object]) -> str:
    known = [*users, *registry.zoo_models(), DEMO]
    near = get_close_matches(name, known, n=1, cutoff=0.75) or [each for each in known if name and name in each]
    return f"did you mean {' or '.join(near)}?" if near else "'mrcnn-cv models list' shows the names"
