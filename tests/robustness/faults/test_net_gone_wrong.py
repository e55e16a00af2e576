"""A net that puts out no numbers, from one end to the other: every format stays valid, and nothing is a traceback."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv import cli
from mrcnn_cv.outputs.registry import FORMATS
from tests.inference.test_nonfinite import BAD
from tests.support.opencv import OpenCvNet
from tests.support.parity import Float

TEXTS = (".json", ".jsonl", ".csv", ".xml", ".txt")
OF_PICTURES = ",".join(name for name in FORMATS if name not in ("frames", "parquet"))


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("share", "finds_something"), [(0.1, True), (1.0, False)])
def test_every_format_stays_valid(
    share: float,
    finds_something: bool,
    tmp_path: Path,
    photo_path: Path,
    tiny_graph: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    random, values, run = np.random.default_rng(0), np.array(list(BAD.values()), np.float32), OpenCvNet.run

    def spoilt(self: Any, inputs: Mapping[str, Float]) -> list[Float]:
        outputs = [np.array(each) for each in run(self, inputs)]
        for each in outputs:
            # One bad number in a feature map spoils all regions.
            chosen = random.random(each.shape) < (share if share == 1.0 or "crops" in inputs else 0)
            each[chosen] = random.choice(values, int(chosen.sum()))
        return outputs

    monkeypatch.setattr(OpenCvNet, "run", spoilt)
    monkeypatch.chdir(tmp_path)
    asked = [str(photo_path), "--model", str(tiny_graph), "--backend", "cpu", "--score", "0", "--max-instances", "4"]
    assert cli._run([*asked, "--save", OF_PICTURES, "--soft-edges", "--json", "all.jsonl", "--polygons"]) == 0
    assert "Traceback" not in capfd.readouterr().err
    assert bool(json.loads((tmp_path / "all.jsonl").read_bytes())["instances"]) is finds_something
    texts = {path: path.read_text("utf-8-sig") for path in tmp_path.rglob("*") if path.suffix in TEXTS}
    assert len(texts) >= 8
    for path, text in texts.items():
        for line in text.splitlines() if path.suffix == ".jsonl" else [text] if path.suffix == ".json" else []:
            json.loads(line, parse_constant=refuse)
        assert not {"nan", "inf", "-inf"} & set(text.lower().replace(",", " ").replace(">", " ").split()), path
