"""The user's own models by name: models.json in the user's data folder, or in MRCNN_CV_HOME."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import ModelFileError, Remedy, UsageError
from mrcnn_cv.hub import cache
from mrcnn_cv.hub.registry import DEMO, zoo_model
from mrcnn_cv.util.files import UnfitFile, read_text, write_atomically

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OPTION = re.compile(r"[a-z0-9-]{1,64}")
_ENDINGS_OF_FILES = (".pb", ".gz", ".tgz", ".tar", ".zip", ".onnx", ".pbtxt", ".config")
_VERSION = 1

MAX_BYTES = 1 << 24
"""Of the list: tens of thousands of models."""


@dataclass(frozen=True)
class UserModel:
    """A registered model.

    path, labels     absolute
    defaults         values of options of `mrcnn-cv predict`, as text, by the option's long name without dashes
    family, classes  what the model was when it was registered
    """

    name: str
    path: Path
    labels: Path | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)
    family: str | None = None
    classes: int | None = None


def registry_path() -> Path:
    """The file with the registered models; it may not exist."""
    if os.environ.get(cache.HOME_VARIABLE):
        return cache.home() / "models.json"
    from platformdirs import user_data_path

    return user_data_path("mrcnn-cv", appauthor=False) / "models.json"


def user_models() -> dict[str, UserModel]:
    """All registered models by name, sorted; ModelFileError where the file is damaged."""
    path = registry_path()
    try:
        content = json.loads(read_text(path, "the list of registered models", MAX_BYTES))
    except FileNotFoundError:
        return {}
    except UnfitFile as error:
        raise ModelFileError(f"{path} {error}") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(_damaged(path)) from error
    if isinstance(content, dict) and isinstance(content.get("version"), int) and content["version"] > _VERSION:
        raise ModelFileError(f"{path} was written by a newer mrcnn-cv: update this one")
    try:
        found = {name: _parse(name, entry) for name, entry in content["models"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(_damaged(path)) from error
    return dict(sorted(found.items()))


def add(model: UserModel, *, overwrite: bool = False) -> None:
    """Register a model. UsageError for a name that is taken or cannot be one, OutputError where it cannot be kept."""
    check_name(model.name, overwrite=overwrite)

    def change(models: dict[str, UserModel]) -> None:
        if model.name in models and not overwrite:
            raise UsageError(
                f"there is a model {model.name} already ({models[model.name].path}): choose another name, or"
                " replace it",
                Remedy.OVERWRITE,
            )
        models[model.name] = model

    _change(change)


def remove(name: str) -> bool:
    """Forget a registered model; its files stay. False where there is none of that name."""
    if name not in user_models():
        return False
    _change(lambda models: models.pop(name, None))
    return True


def check_name(name: str, *, overwrite: bool = False) -> None:
    """UsageError where `name` cannot name a model, or, unless `overwrite`, is the zoo's."""
    if not _NAME.fullmatch(name) or name.lower().endswith(_ENDINGS_OF_FILES):
        raise UsageError(
            f"'{name}' cannot name a model: use up to 64 letters, digits, '-', '_' and '.', beginning with a letter or"
            " digit and not ending like a file"
        )
    if not overwrite and (name == DEMO or zoo_model(name) is not None):
        raise UsageError(
            f"{name} is a name of the model zoo: choose another, or use yours in its place", Remedy.OVERWRITE
        )


def _change(change: Callable[[dict[str, UserModel]], object]) -> None:
    path = registry_path()
    # A name that begins with a dot is no model's, so this lock is nobody else's.
    with cache.locked(".registered-models", lambda: None):
        models = user_models()
        change(models)
        content = {"version": _VERSION, "models": {name: _entry(model) for name, model in sorted(models.items())}}
        with cache.writable(path):
            write_atomically(path, (json.dumps(content, indent=2) + "\n").encode(), alone=True)


def _entry(model: UserModel) -> dict[str, Any]:
    entry = {
        "path": str(model.path),
        "labels": str(model.labels) if model.labels else None,
        "defaults": dict(model.defaults),
        "family": model.family,
        "classes": model.classes,
    }
    return {key: value for key, value in entry.items() if value not in (None, {})}


def _parse(name: str, entry: Mapping[str, Any]) -> UserModel:
    labels, defaults = entry.get("labels"), entry.get("defaults", {})
    family, classes = entry.get("family"), entry.get("classes")
    if not _NAME.fullmatch(name) or not isinstance(family, str | None) or not isinstance(classes, int | None):
        raise ValueError(name)
    if not isinstance(entry["path"], str) or not isinstance(labels, str | None) or not isinstance(defaults, dict):
        raise ValueError(name)
    if not all(_OPTION.fullmatch(key) for key in defaults):
        raise ValueError(name)
    return UserModel(
        name=name,
        path=Path(entry["path"]),
        labels=Path(labels) if labels else None,
        defaults={str(key): str(value) for key, value in defaults.items()},
        family=family,
        classes=classes,
    )


def _damaged(path: Path) -> str:
    return f"{path}, the list of registered models, is damaged: repair it or delete it"
