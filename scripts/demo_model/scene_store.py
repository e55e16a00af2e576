"""A ring of ready-made scenes in a folder, filled by one process and sampled by another.

Arrays are memory-mapped `.npy` files, so that the trainer never waits for a scene: it draws from those that are there
while the maker replaces the oldest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MAX_INSTANCES = 24


@dataclass(frozen=True)
class Batch:
    """n scenes at the network's input size (h, w)."""

    images: np.ndarray
    """(n, h, w, 3) uint8, RGB"""
    instance_maps: np.ndarray
    """(n, h, w) uint8: 0 is background, k is the k-th instance"""
    boxes: np.ndarray
    """(n, MAX_INSTANCES, 4) float32: ymin, xmin, ymax, xmax of the visible part, normalised"""
    classes: np.ndarray
    """(n, MAX_INSTANCES) int32, from 0"""
    counts: np.ndarray
    """(n,) int32: how many instances each scene has"""


class SceneStore:
    """The ring; `written` counts all scenes ever put in, so slots up to min(written, capacity) are valid."""

    def __init__(self, folder: Path, mode: str) -> None:
        self._arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode=mode) for name in (*Batch.__annotations__, "written")
        }

    @classmethod
    def create(cls, folder: Path, capacity: int, height: int, width: int) -> SceneStore:
        """Make a new, empty ring for scenes of `height` x `width` pixels."""
        folder.mkdir(parents=True, exist_ok=True)
        layouts = {
            "images": (np.uint8, (capacity, height, width, 3)),
            "instance_maps": (np.uint8, (capacity, height, width)),
            "boxes": (np.float32, (capacity, MAX_INSTANCES, 4)),
            "classes": (np.int32, (capacity, MAX_INSTANCES)),
            "counts": (np.int32, (capacity,)),
            "written": (np.int64, (1,)),
        }
        for name, (kind, shape) in layouts.items():
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape)
        return cls(folder, "r+")

    @classmethod
    def open(cls, folder: Path, least: int = 64, patience: float = 120.0) -> SceneStore:
        """Open for reading; waits up to `patience` seconds until `least` scenes are there."""
        give_up = time.time() + patience
        while time.time() < give_up:
            if (folder / "written.npy").exists():
                store = cls(folder, "r")
                if store.written >= least:
                    return store
            time.sleep(0.5)
        raise TimeoutError(f"{folder} has no {least} scenes yet: is make_data.py running?")

    @classmethod
    def resume(cls, folder: Path, capacity: int, height: int, width: int) -> SceneStore:
        """Open for writing: the ring that is in `folder`, whatever its capacity, or a new one."""
        if (folder / "written.npy").exists():
            return cls(folder, "r+")
        return cls.create(folder, capacity, height, width)

    @property
    def written(self) -> int:
        """Number of scenes ever put in."""
        return int(self._arrays["written"][0])

    @property
    def capacity(self) -> int:
        """Number of slots."""
        return len(self._arrays["counts"])

    def put(self, image: np.ndarray, instance_map: np.ndarray, boxes: np.ndarray, classes: np.ndarray) -> None:
        """Replace the oldest scene; arrays are one scene's rows of `Batch`."""
        slot, count = self.written % self.capacity, len(boxes)
        self._arrays["images"][slot] = image
        self._arrays["instance_maps"][slot] = instance_map
        self._arrays["boxes"][slot] = 0
        self._arrays["boxes"][slot, :count] = boxes
        self._arrays["classes"][slot, :count] = classes
        self._arrays["counts"][slot] = count
        self._arrays["written"][0] += 1

    def sample(self, rng: np.random.Generator, size: int) -> Batch:
        """Draw `size` scenes, each mirrored and recoloured at random."""
        slots = rng.integers(min(self.written, self.capacity), size=size)
        fields = {name: self._arrays[name][slots] for name in Batch.__annotations__}
        for index in range(size):
            _augment(fields, index, rng)
        return Batch(**fields)


def _augment(fields: dict[str, np.ndarray], index: int, rng: np.random.Generator) -> None:
    """Mirror one scene in place, and permute or shift its colors; every shape class survives all of that."""
    image, instances, boxes = fields["images"][index], fields["instance_maps"][index], fields["boxes"][index]
    for axis in (0, 1):
        if rng.random() < 0.5:
            image, instances = np.flip(image, axis), np.flip(instances, axis)
            boxes[:, [axis, axis + 2]] = 1 - boxes[:, [axis + 2, axis]]
    if rng.random() < 0.5:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.5:
        table = (np.arange(256) / 255.0) ** rng.uniform(0.7, 1.4) * rng.uniform(0.75, 1.15) * 255
        image = np.clip(table, 0, 255).astype(np.uint8)[image]
    fields["images"][index], fields["instance_maps"][index] = image.copy(), instances.copy()
