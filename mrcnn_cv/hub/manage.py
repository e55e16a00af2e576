"""Registering the user's own models, and removing what is known by a name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mrcnn_cv.hub import cache, pull, user_models
from mrcnn_cv.hub.archive import is_archive
from mrcnn_cv.hub.matterport_settings import write_config
from mrcnn_cv.hub.registry import zoo_model
from mrcnn_cv.hub.resolve import archive_folder, unpacked


def register(
    name: str,
    path: Path,
    labels: Path | None = None,
    *,
    defaults: Mapping[str, str],
    config_values: Sequence[str] = (),
    overwrite: bool = False,
) -> Path | None:
    """Give a name to the model at `path`, its folder or its archive; the files stay where they are.

    defaults       as `UserModel` has them
    config_values  NAME=VALUE of a matterport Config, which are kept in a file beside the graph: the path of that file
                   is returned

    Raises UsageError for a name that is taken or cannot be one, ModelFileError, LabelFileError, OutputError.
    """
    from mrcnn_cv.importers.load import open_model
    from mrcnn_cv.model.labels import read_labels

    user_models.check_name(name, overwrite=overwrite)
    path = Path(os.path.abspath(path))
    config = write_config(path, list(config_values)) if config_values else None
    definition = open_model(unpacked(path) if os.path.isfile(path) and is_archive(path) else path).definition
    if labels is not None:
        labels = Path(os.path.abspath(labels))
        read_labels(labels, definition.class_count)
    model = user_models.UserModel(name, path, labels, defaults, definition.architecture, definition.class_count)
    user_models.add(model, overwrite=overwrite)
    return config


def remove(name: str) -> str | None:
    """Forget a registered model, or remove what was pulled or unpacked. In words, what was done; None: nothing."""
    if user_models.remove(name):
        return f"{name} is no longer registered; its files are where they were"
    model = zoo_model(name)
    if model is not None:
        return f"{model.name} is removed" if pull.remove(model.name) else None
    folder = archive_folder(Path(name))
    if not os.path.exists(folder):
        return None
    with cache.locked(folder.name, lambda: None), cache.writable(folder):
        cache.discard(folder)
    return f"what was unpacked of {name} is removed"
