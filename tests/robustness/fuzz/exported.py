"""Mutated folders of exported models: their numbers, and their nets with the digests that belong to them."""

from __future__ import annotations

import hashlib
import json
import lzma
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from mrcnn_cv.graph.protos import onnx_pb2 as pb
from mrcnn_cv.jobs.export import export
from tests.robustness.fuzz import models
from tests.robustness.fuzz.file_edits import WORDS, edited_text
from tests.robustness.fuzz.models import DATA, EXIT_CODES, attempt
from tests.robustness.fuzz.mutations import damaged, real, whole
from tests.robustness.fuzz.onnx_edits import edit
from tests.robustness.fuzz.worker import make_again

__all__ = ["EXIT_CODES", "attempt", "case"]

SEEDS = (
    models.Seed("tiny_mask_rcnn/frozen_inference_graph.pb.xz"),
    models.Seed("torchvision/mask_rcnn_v2.onnx.xz"),
    models.Seed("detectron2/r50.onnx.xz", "detectron2/r50-coffee.yaml"),
    models.Seed("matterport/plain.pb.xz", "matterport/plain_pad64.json"),
)


@cache
def _exported(seed: models.Seed) -> dict[str, bytes]:
    """The files of a good model."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / Path(seed.model).stem
        model.write_bytes(lzma.decompress((DATA / seed.model).read_bytes()))
        config = DATA / seed.config if seed.config else None
        done = export(model, Path(folder) / "exported", config)
        return {path.name: path.read_bytes() for path, _ in done.files}


def case(number: int, seed: int, folder: Path) -> Path:
    """One folder; its model.json."""
    chance = random.Random(f"{seed}/{number}")
    files = dict(_exported(chance.choice(SEEDS)))
    document = json.loads(files["model.json"])
    if chance.random() < 0.5:
        name = chance.choice([name for name in files if name.endswith(".onnx")])
        model = pb.ModelProto.FromString(files[name])
        edit(model, chance)
        files[name] = model.SerializeToString()
        if chance.random() < 0.1:
            files[name] = damaged(files[name], chance)
        entry = {"bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
        document["nets"][name] = entry
    else:
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            _edit_field(document["definition"], chance)
    text = json.dumps(document)
    files["model.json"] = (edited_text(text, chance) if chance.random() < 0.1 else text).encode(errors="surrogatepass")
    target = folder / "model"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name, data in files.items():
        (target / name).write_bytes(data)
    return target / "model.json"


def _edit_field(value: Any, chance: random.Random) -> None:
    """Walk to a field, and give it another value; mostly one of its own type."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(value[key], dict | list) and chance.random() < 0.9:
            value = value[key]
            continue
        value[key] = _other(value[key], chance)
        return


def _other(value: Any, chance: random.Random) -> Any:
    if chance.random() < 0.1:
        try:
            return json.loads(chance.choice(WORDS))
        except ValueError:
            return None
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float) or value is None:
        near = value or 0
        return chance.choice((whole(chance), real(chance), near + 1, near * 2, near // 2, -near, 0, 1, None))
    if isinstance(value, str):
        return chance.choice(_TEXTS)
    if isinstance(value, list):
        return chance.choice((value[:-1], [*value, *value[:1]], value * 2, value[::-1], []))
    return chance.choice((None, {}, [value]))


_TEXTS = (
    *("keep_aspect", "at_least", "at_most", "fixed", "identity", "bilinear", "nearest", "bicubic", "area"),
    *("antialiased", "down", "half_up", "crop_and_resize", "roi_align", "roi_pool", "corners", "centers", "expanded"),
    *("softmax", "sigmoid", "logits", "pixels", "floor", "mul", "add", "sub", "div", "", "\u202e"),
)


if __name__ == "__main__":
    make_again(case, attempt)
