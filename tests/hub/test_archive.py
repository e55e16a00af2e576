"""Archives that nobody vouches for: three files come out, or nothing."""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.hub.archive import Limits, is_archive, unpack
from tests.hub.conftest import member, packed

GRAPH = "frozen_inference_graph.pb"
LABELS = b"item {\n  id: 1\n  name: 'cup'\n}\n"


def opened(data: bytes, folder: Path, limits: Limits | None = None) -> dict[str, bytes]:
    """What comes out."""
    folder.mkdir(exist_ok=True)
    unpack(io.BytesIO(data), "x.tar.gz", folder, limits)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_graph_config_and_label_map_come_out(tmp_path: Path) -> None:
    data = packed(
        member("m/pipeline.config", b"model {}"),
        member(f"m/{GRAPH}", b"graph" * 1000),
        member("m/mscoco_labels.pbtxt", LABELS),
        member("m/graph.pbtxt", b"node {\n}\n"),
        member("m/saved_model/saved_model.pb", b"x"),
    )
    expected = {GRAPH: b"graph" * 1000, "pipeline.config": b"model {}", "label_map.pbtxt": LABELS}
    assert opened(data, tmp_path / "out") == expected


@pytest.mark.parametrize("reverse", [False, True])
def test_the_graph_nearest_to_the_top_with_what_lies_beside_it(tmp_path: Path, reverse: bool) -> None:
    members = [
        member(f"a/b/{GRAPH}", b"deep" * 999),
        member("a/b/pipeline.config", b"deep"),
        member("a/b/label_map.pbtxt", LABELS + b"# deep"),
        member(f"./a/{GRAPH}", b"top"),
        member("a/pipeline.config", b"top"),
        member("a/label_map.pbtxt", LABELS),
    ]
    data = packed(*(reversed(members) if reverse else members))
    assert opened(data, tmp_path) == {GRAPH: b"top", "pipeline.config": b"top", "label_map.pbtxt": LABELS}


def test_of_two_label_maps_the_one_with_the_usual_name(tmp_path: Path) -> None:
    first = [member(GRAPH, b"g"), member("one.pbtxt", LABELS), member("two.pbtxt", LABELS)]
    assert set(opened(packed(*first), tmp_path / "a")) == {GRAPH}
    named = member("label_map.pbtxt", LABELS + b"\n")
    assert opened(packed(*first, named), tmp_path / "b")["label_map.pbtxt"] == LABELS + b"\n"


LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("/etc/evil", {}, "leads out of its folder"),
        (f"/{GRAPH}", {}, "leads out of its folder"),
        ("../evil", {}, "leads out of its folder"),
        (f"m/../../{GRAPH}", {}, "leads out of its folder"),
        ("m/..", {"type": tarfile.DIRTYPE}, "leads out of its folder"),
        ("m\\..\\..\\evil", {}, "leads out of its folder"),
        ("C:/evil", {}, "leads out of its folder"),
        (f"m/{GRAPH}", LINK, "a link or a device"),
        ("m/innocent", LINK, "a link or a device"),
        ("m/hard", {"type": tarfile.LNKTYPE, "linkname": f"m/{GRAPH}"}, "a link or a device"),
        ("m/device", {"type": tarfile.CHRTYPE, "devmajor": 1}, "a link or a device"),
        ("m/block", {"type": tarfile.BLKTYPE}, "a link or a device"),
        ("m/pipe", {"type": tarfile.FIFOTYPE}, "a link or a device"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_names_and_kinds_that_no_honest_archive_has(
    tmp_path: Path, name: str, fields: dict[str, Any], says: str, first: bool
) -> None:
    members = [member(f"m/{GRAPH}", b"graph"), member(name, **fields)]
    with pytest.raises(ModelFileError, match=says) as refusal:
        opened(packed(*(reversed(members) if first else members)), tmp_path / "out")
    assert name in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def _declared(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """An archive with the header of a member of `size` bytes, and hardly any of them."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024), mtime=0)


@pytest.mark.parametrize("size", [(2 << 30) + 1, 100 << 30])
def test_a_graph_of_a_size_that_no_graph_has(tmp_path: Path, size: int) -> None:
    with pytest.raises(ModelFileError, match=r"a frozen_inference_graph\.pb of [\d,]+ bytes, which no graph has"):
        opened(_declared(f"m/{GRAPH}", size), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_graph(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="of 0 bytes"):
        opened(packed(member(GRAPH)), tmp_path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ModelFileError, match="a header of an absurd size"):
        opened(_declared("m/x", 4 << 30, kind), tmp_path)


def test_a_sparse_map_that_would_fill_the_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("m/x")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    entry = b"00000000001 " * 42 + b"\1".ljust(8, b"\0")
    with pytest.raises(ModelFileError, match="a header of an absurd size"):
        opened(gzip.compress(bytes(header) + entry * 20_000, 1), tmp_path)


def test_a_bomb_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    zeros = bytes(3 << 20)
    bomb = packed(member(GRAPH, b"graph"), *(member(f"m/{number}", zeros) for number in range(4)), level=9)
    assert len(bomb) < 50_000
    small = replace(Limits(), total=8 << 20)
    with pytest.raises(ModelFileError, match="unpacks to more than 8,388,608 bytes"):
        opened(bomb, tmp_path, small)
    # The same behind the end of the archive.
    tail = gzip.compress(gzip.decompress(packed(member(GRAPH, b"graph"))) + zeros * 4)
    with pytest.raises(ModelFileError, match="unpacks to more than"):
        opened(tail, tmp_path, small)


def test_archives_in_archives_stay_packed(tmp_path: Path) -> None:
    inner = packed(member(GRAPH, b"graph"))
    with pytest.raises(ModelFileError, match="holds no frozen_inference_graph"):
        opened(packed(member("inner.tar.gz", inner)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_too_many_members(tmp_path: Path) -> None:
    data = packed(*(member(str(number)) for number in range(11)), member(GRAPH, b"graph"))
    with pytest.raises(ModelFileError, match="more than 10 files"):
        opened(data, tmp_path, replace(Limits(), members=10))


def test_a_label_map_or_config_of_an_absurd_size_is_left_out(tmp_path: Path) -> None:
    big = b"#" * (2 << 20)
    data = packed(member("label_map.pbtxt", LABELS + big), member("pipeline.config", big), member(GRAPH, b"graph"))
    assert opened(data, tmp_path) == {GRAPH: b"graph"}


def test_damaged_archives(tmp_path: Path, archive: bytes) -> None:
    for data in (
        archive[: len(archive) // 2],
        archive[:-4],
        archive[:5000] + b"\0\0\0\0" + archive[5004:],
        archive[:-8] + bytes(8),
        gzip.compress(b"not a tar archive, only compressed" * 100),
        gzip.compress(b""),
        b"PK\x03\x04 a zip archive",
        b"",
    ):
        with pytest.raises(ModelFileError, match=r"^x\.tar\.gz ") as refusal:
            opened(data, tmp_path)
        assert "\n" not in str(refusal.value)


def test_a_damaged_header_is_refused_and_damaged_contents_are_what_they_are(tmp_path: Path) -> None:
    config, graph = b"c", b"graph" * 200
    good = gzip.decompress(packed(member("m/pipeline.config", config), member(f"m/{GRAPH}", graph)))
    for at in range(0, 1600, 3):
        spoilt = good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :]
        header, within = at // 1024, at % 1024
        # A block of 512 bytes each; of the header its checksum is wrong, but for the byte after the checksum's end.
        if within < 512 and within != 155:
            says = ("is damaged or not a", "holds no frozen_inference_graph.pb")[header]
            with pytest.raises(ModelFileError, match=says):
                opened(gzip.compress(spoilt, 1), tmp_path)
        else:
            contents = {"pipeline.config": spoilt[512:513], GRAPH: spoilt[1536 : 1536 + len(graph)]}
            assert opened(gzip.compress(spoilt, 1), tmp_path) == contents


def test_what_counts_as_an_archive(tmp_path: Path, archive: bytes, tiny_graph: Path) -> None:
    path = tmp_path / "named.pb"
    path.write_bytes(archive)
    assert is_archive(path)
    assert not is_archive(tiny_graph)
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "missing")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_inside_of_headers(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 512
    data = gzip.compress((info.tobuf() + b"12 path=abc\n".ljust(512, b"\0")) * 3000)
    with pytest.raises(ModelFileError, match=r"^x\.tar\.gz is damaged or not a \.tar\.gz archive"):
        opened(data, tmp_path)
