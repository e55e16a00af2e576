"""The output folder: where each file goes, and how it gets there whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from mrcnn_cv.errors import OutputConflict, OutputError, Remedy
from mrcnn_cv.outputs.storage.ownership import Fingerprinted, OwnershipLog, fingerprint_of, new_digest
from mrcnn_cv.outputs.storage.protected_inputs import ProtectedInputs
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.util import filenames
from mrcnn_cv.util.durable import sync, sync_file, sync_name
from mrcnn_cv.util.files import why_unwritable

_TEMPORARY = re.compile(r"\.mrcnn-cv-[0-9a-f]{12}\.tmp")


def is_temporary(path: Path) -> bool:
    """Whether a file is named like one that a run writes and then moves to its place."""
    return _TEMPORARY.fullmatch(path.name) is not None


@dataclass
class _Arrival:
    """A file that is being made. content: its size and fingerprint, where they are known."""

    temporary: Path
    content: tuple[int, str] | None = None


_written = threading.local()


@contextmanager
def written_files() -> Iterator[list[tuple[Path, int]]]:
    """(path, size) of every file that this thread puts into output folders inside of the block."""
    files: list[tuple[Path, int]] = []
    _written.files = files
    try:
        yield files
    finally:
        _written.files = None


class OutputDirectory:
    """One folder of outputs for one run. Several threads may write into it.

    directory  made at the first write, with its parents
    overwrite  True replaces files that are not ours; outputs of an earlier run, unchanged since, always are replaced
    protected  the inputs of the run in their order: never written to, and named in that order, so that a name does not
               depend on which of them could be read
    reserved   names in the folder that no output of an input takes: a folder of images named so gets a ~ behind it
    not_folders  names, or paths below the folder, of which that holds for folders alone
    remedy     what an OutputError tells the user to do
    durable    what was written is on the disk, with its name, when a method returns that wrote it
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        overwrite: bool = False,
        protected: Iterable[str | Path] = (),
        reserved: Iterable[str] = (),
        not_folders: Iterable[str] = (),
        remedy: Remedy = Remedy.OUTPUT_DIRECTORY,
        durable: bool = False,
    ) -> None:
        self.directory = Path(directory)
        self.overwrite = overwrite
        self.remedy = remedy
        self.durable = durable
        self._synced: set[Path] = set()
        self._ownership = OwnershipLog(self.directory, durable)
        self._inputs = ProtectedInputs(self._ownership.names)
        self._bases: dict[str, str] = {}
        self._stems: dict[str, str] = {}
        self._taken_stems: set[str] = set()
        self._reserved = frozenset(map(filenames.path_key, reserved))
        self._claims: dict[str, str] = dict.fromkeys(self._reserved, "")
        self._not_folders = self._reserved.union(map(filenames.path_key, not_folders))
        self._claimed: dict[tuple[str, str, bool], str] = {}
        self._folders: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._lock = threading.RLock()
        for path in map(Path, protected):
            self.protect(path, PurePosixPath(path.name))

    def protect(self, path: Path, output_path: PurePosixPath | None = None) -> None:
        """Take note of an input before the run: never write to it, and reserve the name of its outputs."""
        self._inputs.add(path)
        if output_path is not None:
            self._base(os.path.abspath(path), str(output_path))

    def check(self) -> None:
        """OutputError where it is plain before any work that the folder cannot be used; makes nothing."""
        folder = self.directory
        try:
            os.lstat(folder)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                shown = f"{str(folder)[:80]}..."
                raise OutputError(
                    f"{shown} cannot be made, its name is too long for this file system: {self.remedy}", self.remedy
                ) from error
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        if not os.path.isdir(folder):
            raise OutputError(f"{folder} is a file, not a folder: {self.remedy}", self.remedy)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"no permission to write into the folder {folder}: {self.remedy}", self.remedy)

    def path_for(self, frame: Frame, suffix: str | None = None, *, kind: str = "", stem: bool = False) -> Path:
        """Where the output of `frame` goes: its input's place, with `suffix` (".json") after its name.

        The same for every frame of one input; different for different inputs, also where they have the same file name
        or names that differ by case alone (photo.jpg, photo-2.jpg); never an input (photo-masks.jpg). kind: a folder of
        its own below this one ("masks"), with the same tree in it. stem: `suffix` takes the place of the input's own.
        """
        if frame.path is not None:
            return self.path_of(frame.path, suffix, kind=kind, stem=stem, output_path=frame.output_path)
        name = str(frame.output_path or filenames.file_name(frame.name))
        return self._path(name if frame.output_path else frame.name, name, suffix, kind, stem)

    def path_of(
        self,
        path: Path,
        suffix: str | None = None,
        *,
        kind: str = "",
        stem: bool = False,
        output_path: PurePosixPath | None = None,
    ) -> Path:
        """As `path_for`, for the input file `path` as a whole."""
        key = os.path.abspath(path)
        if key not in self._bases:
            # An image that arrived while the run goes on.
            self.protect(path)
        return self._path(key, str(output_path or path.name), suffix, kind, stem)

    def _path(self, key: str, name: str, suffix: str | None, kind: str, stem: bool) -> Path:
        with self._lock:
            base = self._base(key, name)
            if stem:
                base = self._stems[key]
            wanted = self._wanted(base, suffix, kind)
            if self.directory / wanted in self._inputs:
                wanted = self._wanted(filenames.tagged_name(base), suffix, kind)
            # A name without any suffix is that of an image's own folder, which others may lie in.
            is_file = bool(suffix) or not stem
            return self.directory / self._claim(key, wanted, inputs_too=False, kind=kind if is_file else None)

    def _wanted(self, base: str, suffix: str | None, kind: str) -> str:
        output_path = self._folder_for(PurePosixPath(base).parent, kind) / PurePosixPath(base).name
        return str(output_path.with_name(filenames.truncate_name(output_path.name + (suffix or ""))))

    def _folder_for(self, folder: PurePosixPath, kind: str) -> PurePosixPath:
        """The place of a folder of the inputs' tree: its own, or with a ~ where a file has or gets that name."""
        place = PurePosixPath(kind)
        for part in folder.parts:
            wanted = str(place / part)
            if wanted not in self._renamed:
                name = wanted
                while self._is_kept_from_folders(name, kind):
                    name = f"{name}~"
                self._renamed[wanted] = name
            place = PurePosixPath(self._renamed[wanted])
        return place

    def _is_kept_from_folders(self, name: str, kind: str) -> bool:
        # Inside of a format's own folder the tree of the inputs meets nothing else.
        if not kind and filenames.path_key(name) in self._not_folders:
            return True
        path = self.directory / name
        return os.path.lexists(path) and not os.path.isdir(path)

    def write(self, path: Path, data: bytes) -> None:
        """Put `data` at `path`, a path from `path_for`, whole or not at all.

        OutputConflict where something lies there that is neither ours nor may be overwritten, or where this place
        cannot be written; OutputError where nothing can.
        """
        with self.replacing(path) as file:
            file.write(data)

    @contextmanager
    def replacing(self, path: Path) -> Iterator[BinaryIO]:
        """As `write`, for data that comes in pieces: the file that this gives takes the place of `path` at the end."""
        with self._arriving(path, self.directory) as arrival, open(arrival.temporary, "xb") as file:
            seen = Fingerprinted(file)
            yield cast(BinaryIO, seen)
            arrival.content = seen.size, seen.hexdigest()
            if self.durable:
                file.flush()
                sync(file.fileno())

    @contextmanager
    def placing(self, path: Path) -> Iterator[Path]:
        """As `replacing`, for a writer that wants a name rather than a file: it gives the name of a file to make."""
        with self._arriving(path, path.parent) as arrival:
            yield arrival.temporary

    @contextmanager
    def _arriving(self, path: Path, directory: Path) -> Iterator[_Arrival]:
        """A temporary file in `directory` that takes the place of `path` at the end of the block."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self.check_replaceable(path)
            arrival = _Arrival(directory / f".mrcnn-cv-{_tag(path)}{secrets.token_hex(3)}.tmp")
            try:
                yield arrival
                if arrival.content is None:
                    with arrival.temporary.open("rb") as file:
                        arrival.content = fingerprint_of(file)
                    if self.durable:
                        sync_file(arrival.temporary)
                with self._reaching(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                self.note(path, *arrival.content)
                with self._reaching(path):
                    os.replace(arrival.temporary, path)
                if self.durable:
                    sync_name(path, self._synced)
                _report(path, arrival.content[0])
            finally:
                arrival.temporary.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(error, path, self.remedy) from error

    @contextmanager
    def _reaching(self, path: Path) -> Iterator[None]:
        """OutputConflict for an OSError that is about this place, and not about the disk."""
        try:
            yield
        except OSError as error:
            if error.errno in _OF_ONE_PLACE:
                raise unwritable(error, path, self.remedy, OutputConflict) from error
            raise

    def sweep(self, target: Path | None = None) -> None:
        """Remove what a run that was killed had half written, where it is resumed; OutputError where that cannot be.

        target: of this file alone, in a folder in which others may be at work
        """
        try:
            for path in self.directory.glob(f".mrcnn-cv-{'' if target is None else _tag(target)}*.tmp"):
                if is_temporary(path) and os.path.isfile(path) and not os.path.islink(path):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(error, self.directory, self.remedy) from error

    def copy(self, source: Path, path: Path) -> None:
        """Put the file `source` at `path` as well: by a hard link where the file system has them, else as a copy."""
        try:
            if os.path.lexists(path) and os.path.samefile(source, path):
                if self._inputs.is_our_link(path):
                    # Whoever edited the input in place has edited this as well.
                    with path.open("rb") as file:
                        self.note(path, *fingerprint_of(file))
                if self.durable:
                    sync_name(path, self._synced)
                _report(path, path.stat().st_size)
                return
        except OSError as error:
            raise unwritable(error, path, self.remedy) from error
        with self._arriving(path, self.directory) as arrival:
            try:
                os.link(os.path.realpath(source), arrival.temporary)
            except OSError:
                # The source may be gone.
                with self._reaching(path):
                    shutil.copyfile(source, arrival.temporary)

    def discard(self, path: Path) -> None:
        """Remove the file at `path` (in this folder) where it is an unchanged output of an earlier run."""
        try:
            if path not in self._inputs and self._ownership.owns(path):
                path.unlink()
        except OSError as error:
            raise unwritable(error, path, self.remedy) from error

    def check_replaceable(self, path: Path, is_ours: Callable[[], bool] = lambda: False) -> None:
        """OutputConflict where a file at `path` (in this folder) must be left alone.

        is_ours: another way to tell, where it is no unchanged output.
        """
        if not os.path.lexists(path):
            return
        if os.path.isdir(path):
            raise OutputConflict(f"{path} is a folder, so no file can be written there: {self.remedy}", self.remedy)
        if path in self._inputs:
            raise OutputConflict(f"{path} is an input of this run and is never overwritten: {self.remedy}", self.remedy)
        if not (self.overwrite or self._ownership.owns(path) or self._inputs.is_our_link(path) or is_ours()):
            raise OutputConflict(
                f"{path} exists and is not an unchanged output of mrcnn-cv: move it, or {Remedy.OVERWRITE}",
                Remedy.OVERWRITE,
            )

    def note(self, path: Path, size: int, fingerprint: str, grows: bool = False) -> None:
        """Record a file in this folder that was written piece by piece, so that a later run may replace it.

        grows: these bytes are its beginning, more is to come.
        """
        with self._lock:
            self._ownership.add(path, size, fingerprint, grows)

    def known_part(self, path: Path) -> int | None:
        """How many bytes at the beginning of a file that grew are ours for certain; None: it is another file."""
        return self._ownership.known_part(path)

    def _base(self, key: str, name: str) -> str:
        """The input's name, made different from those of all inputs before it."""
        if key not in self._bases:
            self._bases[key] = self._claim(key, name, inputs_too=True)
            self._stems[key] = self._new_stem(self._bases[key])
            self._folders.update(filenames.path_key(str(folder)) for folder in PurePosixPath(name).parents)
        return self._bases[key]

    def _new_stem(self, base: str) -> str:
        """The name without its suffix, made different from those of all inputs before it."""
        output_path = PurePosixPath(base)
        number = 1
        while True:
            stem = str(output_path.with_name(output_path.stem if number == 1 else f"{output_path.stem}-{number}"))
            if filenames.path_key(stem) not in self._taken_stems:
                self._taken_stems.add(filenames.path_key(stem))
                return stem
            number += 1

    def _claim(self, key: str, wanted: str, *, inputs_too: bool, kind: str | None = None) -> str:
        """`wanted`, or the first number of it that belongs to no other input; the same at every call.

        kind: of a file's name, which must not be that of a folder of the inputs' tree; None: of others.
        """
        if (key, wanted, inputs_too) in self._claimed:
            return self._claimed[key, wanted, inputs_too]
        # Thousands of inputs may share a name (scene-1/image.jpg, ...): go on where the last of them ended.
        number = 1 if self._owner(wanted, key) == key else self._numbers.get(filenames.path_key(wanted), 1)
        name = filenames.numbered_name(wanted, number)
        while (
            self._owner(name, key) != key
            or (not inputs_too and self.directory / name in self._inputs)
            or (kind is not None and self._is_folders(name, kind))
        ):
            number += 1
            name = filenames.numbered_name(wanted, number)
        self._claims[filenames.path_key(name)] = key
        self._numbers[filenames.path_key(wanted)] = number
        self._claimed[key, wanted, inputs_too] = name
        return name

    def _is_folders(self, name: str, kind: str) -> bool:
        """Whether a folder of the inputs' tree has the name of this file."""
        return filenames.path_key(str(PurePosixPath(name).relative_to(kind))) in self._folders

    def _owner(self, name: str, key: str) -> str:
        return self._claims.get(filenames.path_key(name), key)


def _tag(path: Path) -> str:
    """Six digits by which a file on its way to `path` is known."""
    return new_digest(os.fsencode(path.name)).hexdigest()[:6]


def _report(path: Path, size: int) -> None:
    """To `written_files`, where this thread is inside of it."""
    if (files := getattr(_written, "files", None)) is not None:
        files.append((path, size))


_OF_ONE_PLACE = {
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EACCES, errno.EPERM),
    *(errno.ENOENT, errno.ENAMETOOLONG, getattr(errno, "ELOOP", errno.ENOTDIR)),
}
"""Why one file cannot be written where others can."""


def unwritable(
    error: OSError,
    path: Path,
    remedy: Remedy = Remedy.OUTPUT_DIRECTORY,
    kind: type[OutputError] = OutputError,
) -> OutputError:
    """The OutputError for an OSError from writing `path`."""
    if error.errno == errno.ENAMETOOLONG:
        shorter = "rename the input" if remedy is Remedy.OUTPUT_DIRECTORY else str(remedy)
        return kind(f"{path} cannot be written, its name is too long for this file system: {shorter}", remedy)
    return kind(why_unwritable(error, path, str(remedy)), remedy)
