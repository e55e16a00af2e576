"""What the runs of `random_kills.py` work on, and what they make of it when nobody kills them."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.cli.fork_server import Forked, ForkServer, environment
from tests.conftest import read_image
from tests.robustness.faults.kill_checks import Tree, tree
from tests.support.videos import stamp, write_video

DATA = Path(__file__).parents[2] / "data"
IMAGES = 8
FRAMES = 14
UNPAINTED = ("--opacity", "0", "--hide", "labels,boxes,scores,contours")
"""Leaves the frames as they are, so that their numbers can be read."""

RECORDS = "all.jsonl"
PATCHES = {"mrcnn_cv.outputs.video.writer:SEGMENT_SECONDS": 0.2}
"""Parts of videos, and checkpoints, end after a few frames."""

SOURCES = {"images": "in", "watch": "in", "archive": "in.zip", "video": "clip.mp4"}


@dataclass
class Inputs:
    """Images, an archive, a video, a data set and two models, made once, and the runs over them.

    root  a folder for them, and for the runs to which others are compared
    """

    root: Path
    server: ForkServer
    _known: dict[tuple[str, ...], Tree] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source = self.root / "source"
        for name in ("tiny_mask_rcnn", "tiny_faster_rcnn"):
            folder = self.root / name
            folder.mkdir(parents=True)
            packed = DATA / name / "frozen_inference_graph.pb.xz"
            (folder / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
            shutil.copy(DATA / name / "pipeline.config", folder)
        self._make_images()
        self._make_video()
        self._make_dataset()

    @property
    def model(self) -> Path:
        """That runs, but for the second one of a comparison."""
        return self.root / "tiny_mask_rcnn"

    @property
    def other_model(self) -> Path:
        """See above."""
        return self.root / "tiny_faster_rcnn"

    def place(self, folder: Path) -> Path:
        """A folder to run in, with the inputs."""
        shutil.copytree(self.source, folder, copy_function=os.link)
        return folder

    def start(self, folder: Path, *arguments: str, ends_at: tuple[int, int] | None = None) -> Forked:
        """The program at work in a folder; its messages go into the file `stderr` there."""
        ours = {"MRCNN_CV_MODEL": str(self.model), "MRCNN_CV_BACKEND": "cpu", "TMPDIR": str(folder.parent)}
        with (folder / "stderr").open("ab") as messages:
            return self.server.start(
                arguments,
                environment(ours),
                folder,
                stdout=subprocess.DEVNULL,
                stderr=messages,
                patches=PATCHES,
                ends_at=ends_at,
            )

    def reference(self, *arguments: str) -> Tree:
        """What a run makes that nobody ends."""
        if arguments not in self._known:
            folder = self.place(self.root / f"reference-{len(self._known)}")
            code = self.start(folder, *arguments).wait()
            if code != 0:
                raise AssertionError(f"{arguments}: exit code {code}: {(folder / 'stderr').read_text()}")
            self._known[arguments] = tree(folder, self.source)
        return self._known[arguments]

    def _make_images(self) -> None:
        photo = read_image(DATA / "images" / "coffee.png")
        for number in range(IMAGES):
            path = self.source / "in" / "abc"[number % 3] / f"{number // 2}{('.png', '.jpg')[number % 2]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.roll(photo, 9 * number, axis=1))
        with zipfile.ZipFile(self.source / "in.zip", "w") as archive:
            for path in sorted((self.source / "in").rglob("*.*")):
                archive.write(path, path.relative_to(self.source / "in").as_posix())

    def _make_video(self) -> None:
        photo = read_image(DATA / "images" / "coffee.png")
        frames = []
        for number in range(FRAMES):
            frame = np.asarray(np.roll(photo, 5 * number, axis=1), np.uint8)
            # `read_stamp` looks at a quarter of the height.
            frame[30:50] = stamp(number, 240, 160)[30:50]
            frames.append(frame)
        write_video(self.source / "clip.mp4", frames, rate=12, sound="aac", options={"g": "4"})

    def _make_dataset(self) -> None:
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, path in enumerate(sorted((self.source / "in").rglob("*.*")), start=1):
            name = path.relative_to(self.source / "in").as_posix()
            images.append({"id": number, "file_name": name, "width": 240, "height": 160})
            box = [20 + number, 30, 60, 50]
            left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
                }
            )
        categories = [{"id": number, "name": name} for number, name in enumerate(("cup", "spoon", "plate"), start=1)]
        data = {"images": images, "annotations": annotations, "categories": categories}
        (self.source / "data.json").write_text(json.dumps(data))
        (self.source / "labels.txt").write_text("cup\nspoon\nplate\n")
