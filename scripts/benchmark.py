"""Time and memory of mrcnn-cv against the tutorials' way: the whole graph in one forward, with a .pbtxt.

    python scripts/benchmark.py frozen_inference_graph.pb whole_graph.pbtxt photo.png

Both take the same picture in the same process, in turn, so that a machine that slows down slows both. The whole graph
gets the picture already resized; mrcnn-cv does its own resizing inside the measured time. `--memory` instead runs each
in a process of its own and compares their peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mrcnn_cv import MaskRCNN

NETS = ("trunk", "box_head", "mask_head")


def whole_graph(graph: Path, text_graph: Path, image: Path) -> Callable[[], Any]:
    """The tutorials' way, ready to run: boxes and all masks of the graph in one forward."""
    engine: dict[str, Any] = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    net = cv2.dnn.readNetFromTensorflow(str(graph), str(text_graph), **engine)
    picture = _read(image)
    factor = min(800 / min(picture.shape[:2]), 1365 / max(picture.shape[:2]))
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    blob = cv2.dnn.blobFromImage(picture, 1.0, size, swapRB=True, crop=False)

    def forward() -> Any:
        net.setInput(blob)
        return net.forward(["detection_out_final", "detection_masks"])

    return forward


def ours(graph: Path, image: Path, kept: int, steps: list[dict[str, float]]) -> Callable[[], Any]:
    """`predict` and `draw`, ready to run; adds the milliseconds of each step to `steps`."""
    model = MaskRCNN.load(graph, backend="cpu")
    picture = _read(image)

    def predict() -> Any:
        found = model.predict(picture, score_threshold=None, max_instances=kept)
        start = time.perf_counter()
        found.draw(picture)
        steps.append({**found.timings_ms, "draw": (time.perf_counter() - start) * 1000})
        return found

    return predict


def _read(image: Path) -> Any:
    picture = cv2.imdecode(np.frombuffer(image.read_bytes(), dtype=np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise SystemExit(f"{image} is not an image")
    return picture


def time_both(arguments: argparse.Namespace) -> dict[str, Any]:
    """Medians of interleaved runs, and the ratio of each pair of neighbours."""
    steps: list[dict[str, float]] = []
    theirs = whole_graph(arguments.graph, arguments.text_graph, arguments.image)
    mine = ours(arguments.graph, arguments.image, arguments.kept, steps)
    theirs(), mine()
    steps.clear()
    pairs = [(_milliseconds(theirs), _milliseconds(mine)) for _ in range(arguments.runs)]
    ratios = sorted(whole / own for whole, own in pairs)
    outside = [sum(value for name, value in each.items() if name not in NETS) / sum(each.values()) for each in steps]
    return {
        "opencv": cv2.__version__,
        "threads": cv2.getNumThreads(),
        "kept": arguments.kept,
        "whole_graph_ms": round(statistics.median(whole for whole, _ in pairs)),
        "mrcnn_cv_ms": round(statistics.median(own for _, own in pairs)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(ratios[0], 3), round(ratios[-1], 3)],
        "outside_nets": round(statistics.median(outside), 4),
        "steps_ms": {name: round(statistics.median(each[name] for each in steps), 1) for name in steps[0]},
    }


def _milliseconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def compare_memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Peak memory in MiB of a process that loads the graph and runs it twice, for either way."""
    command = [sys.executable, __file__, str(arguments.graph), str(arguments.text_graph), str(arguments.image)]
    command += ["--threads", str(arguments.threads), "--kept", str(arguments.kept), "--peak-of"]
    peaks = {
        way: int(subprocess.run([*command, way], check=True, capture_output=True, text=True).stdout)
        for way in ("whole_graph", "mrcnn_cv")
    }
    return {"opencv": cv2.__version__, "peak_mib": peaks}


def print_peak(arguments: argparse.Namespace) -> None:
    """Run one way twice and print this process's peak memory in MiB."""
    work = (
        whole_graph(arguments.graph, arguments.text_graph, arguments.image)
        if arguments.peak_of == "whole_graph"
        else ours(arguments.graph, arguments.image, arguments.kept, [])
    )
    work(), work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak // (1 << 20) if sys.platform == "darwin" else peak // 1024)


def main() -> None:
    """Parse, measure, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path)
    parser.add_argument("text_graph", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--kept", type=int, default=5, help="max_instances (default 5)")
    parser.add_argument("--runs", type=int, default=7, help="measured pairs (default 7)")
    parser.add_argument("--threads", type=int, default=2, help="OpenCV's threads (default 2)")
    parser.add_argument("--memory", action="store_true", help="compare peak memory instead of time")
    parser.add_argument("--peak-of", choices=["whole_graph", "mrcnn_cv"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    if arguments.peak_of:
        print_peak(arguments)
    else:
        print(json.dumps(compare_memory(arguments) if arguments.memory else time_both(arguments), indent=2))


if __name__ == "__main__":
    main()
