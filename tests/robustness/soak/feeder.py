"""Mixed input for a folder that is watched: images good and bad, and what ought to become of each."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

Image = np.ndarray[Any, Any]
Fate = Literal["done", "failed", "either", "none", "any"]
"""What the run has to say of a file at the end: done, failed, one of both, nothing, or whatever it likes."""

MOST_FILES = 900
"""Older ones are taken out of the folder again, as somebody does who tidies up."""

_SIDES = (1, 2, 7, 31, 64, 120, 240, 480, 640, 800, 1280)
_FORMATS = (".jpg", ".jpg", ".jpg", ".png", ".bmp", ".webp", ".tiff", ".jpeg", ".JPG", ".ppm")
_STEPS = 4


@dataclass
class Feeder:
    """Puts one file a turn into `folder`; `expected` says of every place what ought to become of it."""

    folder: Path
    base: Image
    random: random.Random
    expected: dict[str, Fate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._number = 0
        self._unfinished: list[Iterator[None]] = []
        self._there: list[Path] = []
        self._kinds = (
            *(self._whole,) * 8,
            *(self._truncated, self._corrupt, self._empty, self._not_an_image, self._left_out, self._half_written),
            *(self._slowly_written, self._vanishing, self._replaced, self._broken_link, self._odd_times),
        )

    def turn(self) -> None:
        """Begin one file, and take a step with those that are not yet as they are to be."""
        going = list(self._unfinished)
        self._number += 1
        self.random.choice(self._kinds)()
        self._unfinished = [step for step in self._unfinished if step not in going or next(step, self) is None]
        while len(self._there) > MOST_FILES:
            self._there.pop(0).unlink(missing_ok=True)

    def finish(self) -> None:
        """Bring all files into their last state."""
        for step in self._unfinished:
            for _ in step:
                pass
        self._unfinished = []

    def _picture(self) -> tuple[bytes, str]:
        """(bytes, suffix) of a good image that is like no other."""
        width, height = self._side(), self._side()
        # A line of one pixel's width has no image left at the model's size, and is refused.
        width, height = max(width, height // 100), max(height, width // 100)
        image = cv2.resize(self.base, (width, height), interpolation=cv2.INTER_AREA)
        image = np.roll(image, (self.random.randrange(height), self.random.randrange(width)), (0, 1))
        if self.random.random() < 0.1:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        suffix = self.random.choice(_FORMATS)
        if suffix == ".ppm" and image.ndim == 2:
            suffix = ".png"
        return cv2.imencode(suffix.lower(), image)[1].tobytes(), suffix

    def _side(self) -> int:
        """One of those that are the end of something, or any: engines keep what they compile for a size."""
        return self.random.choice(_SIDES) if self.random.random() < 0.5 else self.random.randrange(1, _SIDES[-1])

    def _path(self, suffix: str, fate: Fate) -> Path:
        """A new place, now and then in a subfolder or with an unusual name."""
        name = self.random.choice(("img", "img", "img", "with space ", "größe-", "写真", "a'b-"))
        place = f"{name}{self._number}{suffix}"
        if self.random.random() < 0.3:
            place = f"sub {self.random.randrange(5)}/deeper/{place}"
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        self.expected[place] = fate
        self._there.append(path)
        return path

    def _whole(self) -> None:
        data, suffix = self._picture()
        self._path(suffix, "done").write_bytes(data)

    def _truncated(self) -> None:
        """What a decoder makes of it is its own business, but it has to be told of."""
        data, suffix = self._picture()
        self._path(suffix, "either").write_bytes(data[: self.random.randrange(1, len(data))])

    def _corrupt(self) -> None:
        data, suffix = self._picture()
        changed = bytearray(data)
        for _ in range(self.random.randrange(1, 40)):
            changed[self.random.randrange(len(changed))] = self.random.randrange(256)
        self._path(suffix, "either").write_bytes(changed)

    def _empty(self) -> None:
        self._path(".jpg", "failed").touch()

    def _not_an_image(self) -> None:
        what = self.random.choice((b"no image\n" * 9, b"<html>404</html>", b"PK\3\4" + bytes(50), bytes(5000)))
        self._path(".jpg", "failed").write_bytes(what)

    def _left_out(self) -> None:
        self._path(self.random.choice((".txt", ".pdf", ".json", "")), "none").write_text("not for you")

    def _half_written(self) -> None:
        """Left lying half written for longer than the program waits, then completed: it has to come again."""
        data, suffix = self._picture()
        path = self._path(suffix, "done")
        path.write_bytes(data[: len(data) // 2])
        self._unfinished.append(self._after(_STEPS, lambda: path.write_bytes(data)))

    def _slowly_written(self) -> None:
        data, suffix = self._picture()
        path = self._path(suffix, "done")

        def steps() -> Iterator[None]:
            with path.open("wb", buffering=0) as file:
                for number in range(_STEPS):
                    file.write(data[number * len(data) // _STEPS : (number + 1) * len(data) // _STEPS])
                    yield

        self._begin(steps())

    def _vanishing(self) -> None:
        data, suffix = self._picture()
        path = self._path(suffix, "any")
        path.write_bytes(data)
        self._begin(self._after(self.random.randrange(4), lambda: path.unlink(missing_ok=True)))

    def _replaced(self) -> None:
        """Another image under the same name, after the first one was taken; as one step, so that it is never half."""
        (data, suffix), other = self._picture(), self._picture()
        path = self._path(suffix, "done")
        path.write_bytes(data)

        def replace() -> None:
            fresh = path.with_name(f".{path.name}.new")
            # A suffix is no promise: what counts is what the file holds.
            fresh.write_bytes(other[0])
            os.replace(fresh, path)

        self._begin(self._after(_STEPS, replace))

    def _broken_link(self) -> None:
        # Windows lets few people make links.
        with suppress(OSError):
            self._path(".png", "none").symlink_to(self.folder / "nowhere")

    def _odd_times(self) -> None:
        """As an unpacked archive or a camera with a wrong clock has them."""
        data, suffix = self._picture()
        path = self._path(suffix, "done")
        path.write_bytes(data)
        shutil.copystat(self.folder, path)
        os.utime(path, (self.random.choice((0, 2**31 - 2, 4e9)),) * 2)

    def _begin(self, steps: Iterator[None]) -> None:
        if next(steps, self) is None:
            self._unfinished.append(steps)

    @staticmethod
    def _after(turns: int, act: Any) -> Iterator[None]:
        for _ in range(turns):
            yield
        act()
