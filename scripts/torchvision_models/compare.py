"""mrcnn-cv against torch on a full-size model: every detection, and the time of a prediction.

    python compare.py work/maskrcnn_resnet50_fpn.onnx work/maskrcnn_resnet50_fpn.photo.npz photo.png
    python compare.py work/maskrcnn_resnet50_fpn.onnx --race .venv-torch/bin/python photo.png

The first line takes torch's answers from `full_size.py answer`; the second lets torch (in a process of its own, with as
many threads) and mrcnn-cv predict in turn, so that a machine that slows down slows both.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from mrcnn_cv import MaskRCNN

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.support.torchvision_parity import TorchAnswer, outliers


def compare(model: MaskRCNN, answer: Path, photo: Path) -> None:
    """Print how many of torch's detections are found, and the largest differences."""
    image = cv2.imread(str(photo))
    found = model.predict(image, score_threshold=None)
    with np.load(answer) as arrays:
        different, largest = outliers(found, TorchAnswer(**arrays))
    print(f"{answer.name}: {len(different)} of torch's detections differ; largest differences {largest}")
    for each in different:
        print("   ", each)


def race(model: MaskRCNN, path: Path, python: Path, photo: Path, rounds: int, threads: int) -> None:
    """Print the median times of both, and of our steps."""
    server = Path(__file__).with_name("full_size.py")
    command = [str(python), str(server), "serve", str(path.with_suffix(".pt")), str(photo), "--threads", str(threads)]
    image = cv2.imread(str(photo))
    theirs, ours, steps = [], [], []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as torch:
        assert torch.stdin is not None
        assert torch.stdout is not None
        for turn in range(rounds + 1):
            torch.stdin.write("\n")
            torch.stdin.flush()
            milliseconds = float(torch.stdout.readline())
            start = time.perf_counter()
            found = model.predict(image, score_threshold=None)
            if turn > 0:
                theirs.append(milliseconds)
                ours.append((time.perf_counter() - start) * 1000)
                steps.append(found.timings_ms)
        torch.stdin.close()
    print(f"torch {statistics.median(theirs):.0f} ms, mrcnn-cv {statistics.median(ours):.0f} ms, median of {rounds}")
    print(f"ratio {statistics.median(our / their for our, their in zip(ours, theirs, strict=True)):.2f}")
    print({name: round(statistics.median(step[name] for step in steps), 1) for name in steps[0]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--race", type=Path, metavar="PYTHON", help="the python of an environment with torchvision")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backend", default="cpu")
    options = parser.parse_args()
    model = MaskRCNN.load(options.model, backend=options.backend, threads=options.threads)
    if options.race is not None:
        race(model, options.model, options.race, options.files[0], options.rounds, options.threads)
    else:
        compare(model, *options.files)


if __name__ == "__main__":
    main()
