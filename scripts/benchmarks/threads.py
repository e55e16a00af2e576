"""Images per second of one model that several threads use, against one thread: in turn, the median of the ratios.

python scripts/benchmarks/threads.py examples/shapes.jpg --threads 2 --rounds 9
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mrcnn_cv import MaskRCNN
from mrcnn_cv.engines.registry import BACKENDS
from mrcnn_cv.engines.select import probe
from mrcnn_cv.hub import demo_model


def seconds(model: MaskRCNN, image: NDArray[np.uint8], threads: int, count: int) -> float:
    """For `count` predictions by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(lambda _: model.predict(image), range(count)))
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--model", type=Path, help="[default: the demo model]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=24, help="predictions a round")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    image = np.asarray(cv2.imread(str(arguments.image)), np.uint8)
    for name in BACKENDS:
        if probe(name).problem is not None:
            continue
        model = MaskRCNN.load(arguments.model or demo_model(), backend=name)
        model.predict(image)
        ratios = []
        for _ in range(arguments.rounds):
            alone = seconds(model, image, 1, arguments.count)
            ratios.append(alone / seconds(model, image, arguments.threads, arguments.count))
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(f"{name}: {middle:.2f} times the images of one thread ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
