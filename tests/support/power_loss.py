"""A disk that loses its power: what is on it is what was synced, and nothing else."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Names = dict[str, int]


@dataclass(frozen=True)
class OnDisk:
    """What would be left: the names of each folder, and the bytes of each file, by inode."""

    root: int
    names: dict[int, Names]
    contents: dict[int, bytes]

    def files(self) -> dict[str, bytes]:
        """Bytes by path below the root; a file whose name is there and whose bytes are not is empty."""
        found: dict[str, bytes] = {}
        left = [("", self.root)]
        while left:
            prefix, folder = left.pop()
            for name, inode in self.names.get(folder, {}).items():
                if inode < 0:
                    left.append((f"{prefix}{name}/", -inode))
                else:
                    found[prefix + name] = self.contents.get(inode, b"")
        return found

    def restore(self, folder: Path) -> Path:
        """Make a folder of it."""
        for name, data in self.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder


@dataclass
class Disk:
    """Takes note of what is synced below a folder. What is there at the beginning is on the disk.

    history  what was on it after each sync of a file
    before   called before each sync and each file that takes its place: (what it is, path)
    """

    root: Path
    before: Callable[[str, Path], None] = lambda what, path: None
    history: list[OnDisk] = field(default_factory=list)
    _names: dict[int, Names] = field(default_factory=dict)
    _contents: dict[int, bytes] = field(default_factory=dict)
    _held: list[int] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of os.fsync and os.replace."""
        for path in (self.root, *self.root.rglob("*")):
            self._keep(path)
        replace = os.replace

        def replaced(source: Path, target: Path) -> None:
            with self._lock:
                self.before("replace", Path(target))
                if self.root in Path(target).parents:
                    assert self._contents.get(os.stat(source).st_ino) == Path(source).read_bytes(), target
            replace(source, target)

        monkeypatch.setattr(os, "fsync", self._sync)
        monkeypatch.setattr(os, "replace", replaced)

    @property
    def now(self) -> OnDisk:
        """What is on it."""
        return OnDisk(self.root.stat().st_ino, {**self._names}, {**self._contents})

    def close(self) -> None:
        """Let go of the files."""
        for handle in self._held:
            os.close(handle)

    def _sync(self, handle: int) -> None:
        status = os.fstat(handle)
        with self._lock:
            for path in (self.root, *self.root.rglob("*")):
                if path.exists() and os.path.samestat(path.stat(), status):
                    self.before("sync", path)
                    self._keep(path)
                    self.history.append(self.now)
                    return

    def _keep(self, path: Path) -> None:
        # While it is open its number goes to no other file.
        self._held.append(os.open(path, os.O_RDONLY))
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            self._names[status.st_ino] = {
                each.name: -each.inode() if each.is_dir() else each.inode() for each in os.scandir(path)
            }
        else:
            self._contents[status.st_ino] = path.read_bytes()
