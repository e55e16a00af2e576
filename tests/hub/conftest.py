"""A cache of one's own, archives made of the tiny graphs, a server for them, and no network beyond this machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.hub import registry
from mrcnn_cv.hub.download import RetryPolicy
from mrcnn_cv.hub.registry import ZooModel
from mrcnn_cv.hub.resolve import PullListener
from tests.hub.server import Server

NAME = "tiny_mask_rcnn_coco"
OTHER = "tiny_faster_rcnn_coco"
HASTE = RetryPolicy(timeout=0.3, attempts=3, first_wait=0.01, longest_wait=0.05)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache; nothing of the machine's own settings reaches a test, and no test reaches the network."""
    for variable in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    known = socket.getaddrinfo

    def only_here(host: Any, *args: Any, **options: Any) -> Any:
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    folder = tmp_path / "home"
    monkeypatch.setenv("MRCNN_CV_HOME", str(folder))
    return folder


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A member of an archive; `fields` are those of TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def packed(*members: tuple[tarfile.TarInfo, bytes], level: int = 1) -> bytes:
    """A .tar.gz, the same for the same members."""
    raw = io.BytesIO()
    with tarfile.TarFile(fileobj=raw, mode="w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), level, mtime=0)


def released(folder: Path, name: str) -> bytes:
    """An archive laid out like those of the zoo, of the model in `folder`."""
    top = f"{name}_2018_01_28"
    graph = (folder / "frozen_inference_graph.pb").read_bytes()
    return packed(
        member(top, type=tarfile.DIRTYPE, mode=0o755),
        member(f"{top}/model.ckpt.index", b"index" * 100),
        member(f"{top}/checkpoint", b"model_checkpoint_path"),
        member(f"{top}/pipeline.config", (folder / "pipeline.config").read_bytes()),
        member(f"{top}/frozen_inference_graph.pb", graph),
        member(f"{top}/saved_model/saved_model.pb", b"saved" * 100),
        member(f"{top}/saved_model/variables", type=tarfile.DIRTYPE, mode=0o755),
    )


@pytest.fixture(scope="session")
def archive(graphs: Path) -> bytes:
    """The released archive of the tiny Mask R-CNN."""
    return released(graphs / "tiny_mask_rcnn", NAME)


@pytest.fixture
def server(archive: bytes) -> Iterator[Server]:
    """A server of that archive."""
    server = Server(archive)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


Make = Callable[..., ZooModel]


def zoo_entry(data: bytes, address: str, name: str = NAME, **changes: Any) -> ZooModel:
    """The registry's entry for an archive."""
    facts: dict[str, Any] = {
        "family": "Mask R-CNN",
        "backbone": "tiny",
        "dataset": "none",
        "classes": 3,
        "url": f"{address}/models/{name}_2018_01_28.tar.gz",
        "size": len(data),
        "checksums": {"sha256": hashlib.sha256(data).hexdigest()},
        "licence": "Apache-2.0",
    }
    return ZooModel(name, **{**facts, **changes})


@pytest.fixture
def model(server: Server, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> ZooModel:
    """The only model of the zoo."""
    entry = zoo_entry(archive, server.address)
    monkeypatch.setattr(registry, "zoo_models", lambda: {NAME: entry})
    return entry


class Notes(PullListener):
    """Remembers what a pull told."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def note(self, text: str) -> None:
        self.texts.append(text)

    def progress(self, done: int, total: int) -> None:
        self.steps.append((done, total))


@pytest.fixture
def notes() -> Notes:
    return Notes()


def files_in(folder: Path) -> set[str]:
    """Every file below a folder, locks aside."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "locks"
    }
