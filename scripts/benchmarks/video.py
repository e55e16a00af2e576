"""Time a painted video from file to file against the nets alone, in turn in one run; --memory: over how many frames.

python scripts/benchmarks/video.py [VIDEO] [--model GRAPH] [--frames 200] [--runs 3]

Without a VIDEO it makes one: 1280 x 720, H.264, the demo model's own kind of image.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from mrcnn_cv import MaskRCNN
from mrcnn_cv.engines.select import available_processors
from mrcnn_cv.hub import demo_model
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.structures.frame import Frame

SHAPES = Path(__file__).parents[2] / "examples" / "shapes.jpg"
SIZE = (1280, 720)


def make_clip(path: Path, frames: int) -> None:
    """A window that wanders over the shapes that the demo model knows."""
    picture = cv2.imread(str(SHAPES))
    assert picture is not None
    larger = (SIZE[0] + 200, SIZE[1] + 200)
    picture = np.asarray(cv2.resize(picture, larger, interpolation=cv2.INTER_CUBIC), np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            left, top = (round(100 + 100 * np.sin(number * step)) for step in (0.031, 0.023))
            view = np.ascontiguousarray(picture[top : top + SIZE[1], left : left + SIZE[0]], np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="bgr24")))
        file.mux(stream.encode(None))


def nets_alone(model: MaskRCNN, clip: Path, frames: int) -> float:
    """Frames per second of predictions on frames that are decoded already, and nothing written."""
    # A few dozen images stand for all: thousands of them would not fit.
    images = [frame.image for frame in islice(open_video(clip), 48) if isinstance(frame, Frame)]
    cv2.setNumThreads(available_processors())
    model.predict(images[0])
    start = time.perf_counter()
    for number in range(frames):
        model.predict(images[number % len(images)])
    return frames / (time.perf_counter() - start)


def program(clip: Path, out: Path, options: argparse.Namespace, graph: Path) -> subprocess.Popen[bytes]:
    """The program as a user starts it."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "mrcnn_cv", str(clip), "-o", str(out), "--model", str(graph)]
    return subprocess.Popen([*command, "--progress", "json", *options.options.split()], stderr=subprocess.PIPE)


def whole_way(clip: Path, out: Path, options: argparse.Namespace, graph: Path) -> float:
    """Frames per second that the program reports for decoding, inference, painting and encoding."""
    import json

    process = program(clip, out, options, graph)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr.decode()
    last = [json.loads(line) for line in stderr.splitlines() if line.startswith(b"{")][-1]
    return float(last["frames_per_second"])


def memory(clip: Path, out: Path, options: argparse.Namespace, graph: Path) -> None:
    """Print the resident size in MiB while the program runs (Linux)."""
    process = program(clip, out, options, graph)
    sizes = []
    while process.poll() is None:
        time.sleep(0.5)
        try:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        except OSError:
            break
        sizes.append(pages * os.sysconf("SC_PAGE_SIZE") >> 20)
    process.communicate()
    steps = [sizes[len(sizes) * tenth // 10] for tenth in range(1, 10)]
    print("resident MiB after each tenth of the run:", ", ".join(map(str, steps)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--model", type=Path, help="a frozen graph; the demo model where it is not given")
    parser.add_argument("--frames", type=int, default=200, help="of the video that is made")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--options", default="", help="more of them for mrcnn-cv, in one word: '--workers 2 --track'")
    options = parser.parse_args()
    graph = options.model or demo_model()
    with tempfile.TemporaryDirectory() as name:
        clip = options.video or Path(name, "clip.mp4")
        if options.video is None:
            make_clip(clip, options.frames)
        out = Path(name, "out")
        if options.memory:
            memory(clip, out, options, graph)
            return
        model = MaskRCNN.load(graph)
        ratios = []
        for _ in range(options.runs):
            alone = nets_alone(model, clip, options.frames)
            whole = whole_way(clip, out, options, graph)
            ratios.append(whole / alone)
            print(f"nets alone {alone:6.1f}, file to file {whole:6.1f} frames per second: {ratios[-1]:.2f}")
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"file to file is {statistics.median(ratios):.2f} of the nets alone ({spread})")


if __name__ == "__main__":
    main()
