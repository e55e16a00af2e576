"""Time a batch run against the plain loop over `predict` and overlays, and against the nets alone, in turn.

python scripts/benchmarks/batch.py examples/shapes.jpg --images 200 --runs 3
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

# As the command line does: threads of OpenBLAS would spin beside OpenCV's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np

from mrcnn_cv import MaskRCNN
from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.engines.select import available_processors
from mrcnn_cv.hub import demo_model
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.outputs.base import OutputSettings
from mrcnn_cv.outputs.registry import make_sinks
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.pipeline import Thresholds, run
from mrcnn_cv.pipeline.thread_executor import ModelPool, ThreadExecutor, layouts_for


def plain_loop(model: MaskRCNN, pictures: list[Path], out: Path) -> None:
    """What a user writes first."""
    for path in pictures:
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(out / path.name), model.predict(np.asarray(image, np.uint8)).draw(np.asarray(image, np.uint8)))


def nets_alone(model: MaskRCNN, pictures: list[Path]) -> None:
    """The same predictions on one image that is decoded already, and nothing written."""
    image = np.asarray(cv2.imread(str(pictures[0])), np.uint8)
    for _ in pictures:
        model.predict(image)


def batch(model: MaskRCNN, graph: Path, folder: Path, out: Path, options: argparse.Namespace) -> ThreadExecutor:
    """A run as the command line puts it together."""
    items = list_images([str(folder)], DirectoryScan()).items
    plans = layouts_for(options.workers, None, model.chosen_backend, len(items))
    crew = ThreadExecutor(ModelPool(model, lambda: MaskRCNN.load(graph, options.backend)), plans)
    sinks = make_sinks(["overlay"], OutputDirectory(out), OutputSettings({}, "", Style()))
    run(crew, items, sinks, Thresholds(), [])
    return crew


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--model", type=Path, help="a frozen graph; the demo model where it is not given")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--plain-backend", help="of the plain loop; that of --backend where it is not given")
    parser.add_argument("--workers", type=int, help="as --workers; auto where it is not given")
    options = parser.parse_args()
    graph = options.model or demo_model()
    model = MaskRCNN.load(graph, options.backend)
    plain = MaskRCNN.load(graph, options.plain_backend) if options.plain_backend else model
    threads = available_processors()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "in")
        folder.mkdir()
        for number in range(options.images):
            shutil.copy(options.image, folder / f"{number}{options.image.suffix}")
        pictures = sorted(folder.iterdir())
        seconds: dict[str, list[float]] = {"plain loop": [], "nets alone": [], "batch": []}
        for turn in range(options.runs):
            out = Path(name, f"out{turn}")
            (out / "plain").mkdir(parents=True)
            for what in seconds:
                cv2.setNumThreads(threads)
                start = time.perf_counter()
                if what == "plain loop":
                    plain_loop(plain, pictures, out / "plain")
                elif what == "nets alone":
                    nets_alone(model, pictures)
                else:
                    crew = batch(model, graph, folder, out / "batch", options)
                    print(f"chosen: {crew.chosen}")
                seconds[what].append(time.perf_counter() - start)
        for what, values in seconds.items():
            each = statistics.median(values) / options.images
            print(f"{what:12} {1000 * each:7.1f} ms per image, {1 / each:6.1f} images per second")
        for what in ("plain loop", "nets alone"):
            ratios = [one / other for one, other in zip(seconds[what], seconds["batch"], strict=True)]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"batch is {statistics.median(ratios):.2f} times as fast as the {what} ({spread})")


if __name__ == "__main__":
    main()
