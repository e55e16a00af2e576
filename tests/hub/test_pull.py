"""Pulling a model: from servers good and bad, through proxies, from files; whole, verified, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.errors import ModelFileError, OutputError, Remedy, UsageError
from mrcnn_cv.hub import archive as archives
from mrcnn_cv.hub import cache
from mrcnn_cv.hub.download import PartialFile, RetryPolicy
from mrcnn_cv.hub.pull import locate, pull, remove
from mrcnn_cv.hub.registry import ZooModel
from mrcnn_cv.importers.load import open_model
from tests.hub.conftest import HASTE, NAME, Notes, files_in, member, packed, zoo_entry
from tests.hub.server import (
    Server,
    Step,
    announce,
    drop,
    endless,
    ignore_range,
    instead,
    other_range,
    redirect,
    stall,
    status,
    trickle,
    web_page,
)

INSTALLED = {f"zoo/{NAME}/{name}" for name in ("frozen_inference_graph.pb", "pipeline.config", "pulled.json")}


def test_what_is_pulled_can_be_run_and_nothing_else_is_kept(
    model: ZooModel, server: Server, home: Path, tiny_graph: Path, notes: Notes
) -> None:
    folder = pull(model, retry=HASTE, listener=notes)
    assert files_in(home) == INSTALLED
    assert (folder / "frozen_inference_graph.pb").read_bytes() == tiny_graph.read_bytes()
    assert open_model(folder).definition.class_count == 3
    assert notes.steps[-1] == (model.size, model.size)
    assert notes.texts == []
    assert server.seen[0][0] == f"/models/{NAME}_2018_01_28.tar.gz"


def test_what_is_here_is_not_pulled_again_unless_asked_for(model: ZooModel, server: Server) -> None:
    pull(model)
    pull(model)
    assert len(server.seen) == 1
    pull(model, again=True)
    assert len(server.seen) == 2
    assert cache.is_pulled(NAME)


def test_a_model_that_lost_part_of_its_graph_is_pulled_again(model: ZooModel, server: Server) -> None:
    graph = pull(model) / "frozen_inference_graph.pb"
    os.truncate(graph, 100)
    pull(model)
    assert len(server.seen) == 2
    assert graph.stat().st_size > 100


@pytest.mark.parametrize(
    ("script", "resumes"),
    [
        ([drop(1000)], True),
        ([drop(1000), drop(0), drop(2000)], True),
        ([drop(0)], False),
        ([stall(1000)], True),
        ([trickle(0.01)], True),
        ([status(503), status(503)], False),
        ([status(429, Retry_After="1")], False),
        ([drop(1000), ignore_range], True),
        ([drop(1000), other_range], True),
        ([drop(1000), status(416)], True),
        ([drop(2000), status(500)], True),
        ([endless], False),
    ],
    ids=lambda value: None if isinstance(value, bool) else "-".join(getattr(s, "__qualname__", "") for s in value),
)
def test_a_server_that_fails_for_a_while(
    model: ZooModel, server: Server, script: list[Step], resumes: bool, home: Path
) -> None:
    server.script = list(script)
    pull(model, retry=HASTE)
    assert files_in(home) == INSTALLED
    assert any(server.ranges()) == resumes


def test_a_pull_that_was_given_up_is_resumed_by_the_next(model: ZooModel, server: Server, notes: Notes) -> None:
    server.script = [drop(3000), drop(0), drop(0), drop(0)]
    with pytest.raises(ModelFileError, match=f"3,000 of {model.size:,} bytes are here, the same command goes on"):
        pull(model, retry=HASTE, listener=notes)
    assert "trying again" in notes.texts[0]
    server.script = []
    pull(model, retry=HASTE)
    assert server.seen[-1][1]["range"] == "bytes=3000-"
    assert server.seen[-1][1]["if-range"] == '"first"'
    assert cache.is_pulled(NAME)


def test_a_file_that_changed_at_the_server_is_fetched_anew(model: ZooModel, server: Server) -> None:
    right, server.data, server.tag = server.data, bytes(len(server.data)), '"old"'
    server.script = [drop(3000), drop(0), drop(0)]
    with pytest.raises(ModelFileError):
        pull(model, retry=HASTE)
    server.data, server.tag = right, '"new"'
    pull(model, retry=HASTE)
    assert cache.is_pulled(NAME)
    # The server itself sent the whole file, as If-Range asks for.
    assert len(server.seen) == 4


def test_pieces_of_different_files_are_noticed_and_the_file_is_fetched_anew_once(
    model: ZooModel, server: Server, notes: Notes
) -> None:
    right, server.data = server.data, bytes(len(server.data))
    server.script = [drop(3000), drop(0), drop(0)]
    with pytest.raises(ModelFileError):
        pull(model, retry=HASTE)
    server.data = right  # under the same tag
    pull(model, retry=HASTE, listener=notes)
    assert "starting anew" in notes.texts[-1]
    assert server.ranges()[-2:] == ["bytes=3000-", None]
    assert cache.is_pulled(NAME)


def test_a_part_goes_on_from_another_mirror(model: ZooModel, server: Server) -> None:
    server.script = [drop(3000), drop(0), drop(0)]
    with pytest.raises(ModelFileError):
        pull(model, retry=HASTE)
    pull(model, f"{server.address}/mirror/", retry=HASTE)
    path, headers = server.seen[-1]
    assert path == f"/mirror/{NAME}_2018_01_28.tar.gz"
    assert headers["range"] == "bytes=3000-"
    assert "if-range" not in headers


def test_bytes_of_an_archive_with_other_checksums_are_no_use(server: Server, archive: bytes) -> None:
    entry = zoo_entry(archive, server.address, checksums={"sha256": "0" * 64})
    server.script = [drop(3000), drop(0), drop(0)]
    with pytest.raises(ModelFileError):
        pull(entry, retry=HASTE)
    pull(zoo_entry(archive, server.address), retry=HASTE)
    assert server.ranges()[-1] is None


@pytest.mark.parametrize(
    ("script", "says", "requests"),
    [
        ([status(404)], "the server answers 404 Not Found", 1),
        ([status(403)], "403", 1),
        ([status(204)], "status 204", 1),
        ([status(503)] * 9, "503", 3),
        ([stall(0)] * 9, "does not answer", 3),
        ([drop(0)] * 9, "the connection ended too early", 3),
        ([web_page], "offers a web page instead of the archive", 1),
        ([announce(7)], "offers 7 bytes instead of the archive's", 1),
        ([announce(10**12)], "offers 1000000000000 bytes", 1),
        ([redirect("/models/again")] * 99, "redirects in a circle or too often", 3),
        ([redirect(f"/{number}") for number in range(99)], "redirects in a circle or too often", 6),
        ([redirect("file:///etc/passwd")], "redirects to file:///etc/passwd, which is not followed", 1),
        ([redirect("ftp://127.0.0.1/x")], "redirects to ftp://127.0.0.1/x, which is not followed", 1),
        ([redirect("data:,x", 308)], "not followed", 1),
        ([redirect("http://[/")], "is no address", 1),
        ([redirect("http://127.0.0.1:port/")], "is no address", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_server_that_does_not_have_it(
    model: ZooModel, server: Server, script: list[Step], says: str, requests: int, home: Path
) -> None:
    server.script = list(script)
    with pytest.raises(ModelFileError, match=says) as refusal:
        pull(model, retry=HASTE)
    assert refusal.value.remedies == (Remedy.ARCHIVE,)
    assert "\n" not in str(refusal.value)
    assert len(server.seen) == requests
    assert not any(name.startswith("zoo/") for name in files_in(home))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed_also_by_a_resumed_pull(model: ZooModel, server: Server, code: int) -> None:
    server.script = [redirect("/elsewhere", code), drop(1000), redirect(f"{server.address}/elsewhere", code)]
    pull(model, retry=HASTE)
    assert server.seen[-1][0] == "/elsewhere"
    assert server.seen[-1][1]["range"] == "bytes=1000-"


def test_wrong_bytes_leave_nothing_behind(model: ZooModel, server: Server, home: Path) -> None:
    server.script = [instead(bytes(model.size))]
    with pytest.raises(ModelFileError, match=r"its sha256 is .* instead of .*: nothing of it was kept"):
        pull(model, retry=HASTE)
    assert files_in(home) == set()
    assert len(server.seen) == 1


def test_never_more_than_the_archive_is_written(model: ZooModel, server: Server, notes: Notes) -> None:
    server.script = [endless]
    pull(model, retry=HASTE, listener=notes)
    assert max(done for done, _ in notes.steps) == model.size


def test_every_checksum_counts(server: Server, archive: bytes) -> None:
    sums = {name: hashlib.new(name, archive).hexdigest() for name in ("sha1", "sha256", "sha384")}
    pull(zoo_entry(archive, server.address, checksums=sums), again=True)
    for name in sums:
        wrong = {**sums, name: "0" * len(sums[name])}
        with pytest.raises(ModelFileError, match=f"its {name} is"):
            pull(zoo_entry(archive, server.address, checksums=wrong), again=True)
    # What was there before a pull that failed is there still.
    assert cache.is_pulled(NAME)


def test_checksum_of_the_graph_where_it_is_known(server: Server, archive: bytes, home: Path) -> None:
    with pytest.raises(ModelFileError, match="holds another frozen_inference_graph"):
        pull(zoo_entry(archive, server.address, graph_checksums={"sha1": "0" * 40}))
    assert files_in(home) == set()


def test_a_verified_archive_without_a_graph_leaves_nothing_behind(server: Server, home: Path) -> None:
    server.data = packed(member("top/readme", b"nothing"))
    with pytest.raises(ModelFileError, match="holds no frozen_inference_graph"):
        pull(zoo_entry(server.data, server.address))
    assert files_in(home) == set()


def test_without_a_network_it_says_so_at_once(archive: bytes, notes: Notes) -> None:
    entry = zoo_entry(archive, "http://models.invalid")
    with pytest.raises(ModelFileError, match=r"there is no network or no such host .*give the file"):
        pull(entry, listener=notes)
    assert notes.texts == []


def test_a_refused_connection(server: Server, archive: bytes) -> None:
    entry = zoo_entry(archive, "http://127.0.0.1:9")
    with pytest.raises(ModelFileError, match="the connection was refused"):
        pull(entry, retry=HASTE)


def test_proxy_of_the_environment(server: Server, archive: bytes, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    pull(zoo_entry(archive, "http://models.invalid"))
    assert server.seen[0][0] == f"http://models.invalid/models/{NAME}_2018_01_28.tar.gz"
    assert files_in(home) == INSTALLED


def test_a_proxy_that_is_not_there_is_named_without_its_password(
    archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    with pytest.raises(ModelFileError, match=r"through the proxy http://127\.0\.0\.1:9") as refusal:
        pull(zoo_entry(archive, "http://models.invalid"), retry=HASTE)
    assert "secret" not in str(refusal.value)


def test_no_proxy_of_the_environment(model: ZooModel, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    pull(model, retry=HASTE)
    assert cache.is_pulled(NAME)


@pytest.mark.parametrize("value", ['"a\r\n b"', 'W/"weak"', "no quotes", '"ü"'])
def test_a_tag_that_cannot_be_sent_back(model: ZooModel, server: Server, value: str) -> None:
    server.tag = value
    server.script = [drop(3000)]
    pull(model, retry=HASTE)
    assert "if-range" not in server.seen[-1][1]
    assert server.ranges()[-1] == "bytes=3000-"


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_file_brought_by_hand(
    model: ZooModel, server: Server, archive: bytes, tmp_path: Path, as_folder: bool
) -> None:
    path = tmp_path / model.archive_name
    path.write_bytes(archive)
    pull(model, str(tmp_path if as_folder else path))
    assert cache.is_pulled(NAME)
    assert server.seen == []
    assert path.read_bytes() == archive


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[:-1], r"it has [\d,]+ bytes instead of"),
        (lambda data: data[:-1] + b"x", "its sha256 is"),
        (lambda data: b"", "it has 0 bytes"),
    ],
)
def test_a_wrong_file_is_refused_and_left_alone(
    model: ZooModel, archive: bytes, tmp_path: Path, home: Path, change: Callable[[bytes], bytes], says: str
) -> None:
    path = tmp_path / "brought.tar.gz"
    path.write_bytes(change(archive))
    with pytest.raises(ModelFileError, match=f"brought.tar.gz is not the archive of {NAME}, {says}"):
        pull(model, str(path))
    assert path.exists()
    assert files_in(home) == set()


def test_where_archives_are_looked_for(model: ZooModel, tmp_path: Path) -> None:
    name = model.archive_name
    assert locate(model, None) == model.url
    assert locate(model, "https://mirror.example/x/other.tar.gz?a=b") == "https://mirror.example/x/other.tar.gz?a=b"
    assert locate(model, "https://mirror.example/x?key=1") == f"https://mirror.example/x/{name}?key=1"
    assert locate(model, "http://mirror.example") == f"http://mirror.example/{name}"
    with pytest.raises(ModelFileError, match=r"there is no file .*: check the path"):
        locate(model, str(tmp_path / "missing.tar.gz"))
    for address in ("http://me:secret@mirror.example/x", "http://me:pass@secret@mirror.example/x"):
        with pytest.raises(UsageError, match="user name") as refusal:
            locate(model, address)
        assert "secret" not in str(refusal.value)
    for address in ("file:///etc/passwd", "ftp://x/y.tar.gz", "http://", "http://a b/", "data://x", "http://[/"):
        with pytest.raises(UsageError, match="is not an address to pull from"):
            locate(model, address)


def test_no_room_is_told_before_anything_is_fetched(
    model: ZooModel, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"has room for 1,000 bytes.*MRCNN_CV_HOME"):
        pull(model)
    assert server.seen == []


class _FullDisk:
    def __enter__(self) -> _FullDisk:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_during_the_download(
    model: ZooModel, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PartialFile, "append", lambda part: _FullDisk())
    with pytest.raises(OutputError, match="the disk is full: free some space, or set MRCNN_CV_HOME") as refusal:
        pull(model, retry=HASTE)
    assert refusal.value.exit_code == 6
    assert len(server.seen) == 1


def test_a_disk_that_fills_up_while_unpacking_keeps_the_download(
    model: ZooModel, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(archives, "open", lambda *args: _FullDisk(), raising=False)
        with pytest.raises(OutputError, match="the disk is full"):
            pull(model)
    assert files_in(home) == {f"downloads/{NAME}.part", f"downloads/{NAME}.part.json"}
    pull(model)
    assert len(server.seen) == 1
    assert files_in(home) == INSTALLED


def test_a_file_where_the_cache_should_be(model: ZooModel, home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(OutputError, match=r"is a file or lies in one: .*MRCNN_CV_HOME"):
        pull(model)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_without_permission(model: ZooModel, home: Path) -> None:
    home.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="permission denied"):
        pull(model)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_cache_that_cannot_be_written(
    model: ZooModel, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match=f"{says}.*MRCNN_CV_HOME"):
        pull(model)


def test_what_is_pulled_can_be_used_in_a_cache_that_cannot_be_written(
    model: ZooModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(model)

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert open_model(pull(model)).definition.class_count == 3


def test_a_model_in_place_survives_a_new_pull_that_fails_at_the_last_step(
    model: ZooModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pull(model)
    replace = os.replace

    def fail_to_install(source: Any, target: Any) -> None:
        if Path(target) == folder and "pulled.json" in os.listdir(source) and not (Path(source) / "old").exists():
            raise PermissionError(errno.EACCES, "Permission denied")
        replace(source, target)

    (folder / "old").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_to_install)
        with pytest.raises(OutputError):
            pull(model, again=True)
    assert (folder / "old").exists()
    assert os.listdir(folder.parent) == [NAME]


def test_remove(model: ZooModel, server: Server, home: Path) -> None:
    assert not remove(NAME)
    pull(model)
    assert remove(NAME)
    assert files_in(home) == set()
    server.script = [drop(1000), drop(0), drop(0)]
    with pytest.raises(ModelFileError):
        pull(model, retry=HASTE)
    assert remove(NAME)
    assert files_in(home) == set()


def test_damaged_notes_on_a_part_are_no_obstacle(model: ZooModel, server: Server, home: Path) -> None:
    downloads: Mapping[str, bytes] = {f"{NAME}.part": b"x" * 10, f"{NAME}.part.json": b"{"}
    (home / "downloads").mkdir(parents=True)
    for name, data in downloads.items():
        (home / "downloads" / name).write_bytes(data)
    pull(model)
    assert server.ranges() == [None]


def test_patience_is_that_of_a_person_by_default() -> None:
    assert RetryPolicy() == RetryPolicy(timeout=30.0, attempts=5, first_wait=1.0, longest_wait=60.0)
