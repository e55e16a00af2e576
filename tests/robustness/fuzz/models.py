"""What the targets for models share: seeds, how a case is written, and how far an attempt goes."""

from __future__ import annotations

import lzma
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv import MaskRCNN
from mrcnn_cv.engines.opencv import blas_conv as products
from mrcnn_cv.engines.opencv import winograd
from mrcnn_cv.errors import InputError
from mrcnn_cv.jobs import inspect
from tests.robustness.fuzz.mutations import damaged, renumbered
from tests.robustness.fuzz.worker import ROOT

DATA = ROOT / "tests" / "data"

EXIT_CODES = {3}

_GAIN, _CHANNELS = products.MIN_GAIN, products.MIN_CHANNELS
_OF_BACKBONES, _OF_HEADS = winograd.MIN_CHANNELS, winograd.MIN_CHANNELS_OF_HEADS


class Seed(NamedTuple):
    """A good model: where its packed file lies in the tests' data, and the config that lies beside it when it runs."""

    model: str
    config: str = ""
    config_name: str = ""


@cache
def _unpacked(model: str) -> bytes:
    return lzma.decompress((DATA / model).read_bytes())


def write(
    number: int,
    seed: int,
    folder: Path,
    seeds: tuple[Seed, ...],
    name: str,
    edited: Callable[[bytes, random.Random], bytes],
) -> Path:
    """One mutated model with its config: mostly edits that know the format (`edited`), the rest damaged bytes."""
    chance = random.Random(f"{seed}/{number}")
    chosen = chance.choice(seeds)
    data, path = _unpacked(chosen.model), folder / name
    config = (DATA / chosen.config).read_text() if chosen.config else ""
    kind = chance.random()
    if kind < 0.75:
        data = edited(data, chance)
    elif kind < 0.85:
        data = damaged(data, chance)
    if config and (kind > 0.85 or chance.random() < 0.05):
        config = renumbered(config, chance)
    elif kind > 0.85:
        data = damaged(edited(data, chance), chance)
    path.write_bytes(data)
    if config:
        (folder / chosen.config_name).write_text(config)
    return path


@cache
def _picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def _take_narrow_for_wide(is_so: bool) -> None:
    """The nets of seeds are too narrow for what engines do to wide ones."""
    products.MIN_GAIN = 0 if is_so else _GAIN
    products.MIN_CHANNELS = 1 if is_so else _CHANNELS
    winograd.MIN_CHANNELS = dict.fromkeys(_OF_BACKBONES, 1) if is_so else _OF_BACKBONES
    winograd.MIN_CHANNELS_OF_HEADS = 1 if is_so else _OF_HEADS


def attempt(path: Path) -> str:
    """Open a model, build its nets, and predict; a tenth of those that can are inspected as well."""
    _take_narrow_for_wide(path.stat().st_size % 2 == 0)
    model = MaskRCNN.load(path, backend="cpu", threads=1)
    try:
        found = model.predict(_picture(), score_threshold=0.0)
    except InputError as error:
        # The model is fine for other images: this one goes to the list of those that failed.
        return f"refused: {error}"
    assert np.isfinite(found.boxes).all(), "a box that is no number"
    assert np.isfinite(found.scores).all(), "a score that is no number"
    if model.definition.score_activation != "identity":
        assert ((found.scores >= 0) & (found.scores <= 1)).all(), "a score that is none"
    assert found.mask_probabilities is None or np.isfinite(found.mask_probabilities).all(), "a mask without numbers"
    height, width = found.image_size
    inside = (found.boxes >= 0) & (found.boxes <= [width, height, width, height])
    assert inside.all(), "a box outside"
    for index in range(min(len(found), 3)):
        found.local_mask(index)
    if path.stat().st_size % 10 == 0:
        inspect(path)
    return "accepted"
