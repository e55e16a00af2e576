"""Archives of models as the zoo has them, and as nobody honest packs them."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
from pathlib import Path

from mrcnn_cv.hub import resolve_model
from tests.robustness.fuzz.file_edits import NAMES, edited_bytes
from tests.robustness.fuzz.worker import make_again

EXIT_CODES = {3}

_KNOWN = {"frozen_inference_graph.pb", "pipeline.config", "label_map.pbtxt", "pulled.json"}


def case(number: int, seed: int, folder: Path) -> Path:
    """One .tar.gz."""
    chance = random.Random(f"{seed}/{number}")
    data = _tar(chance)
    if chance.random() < 0.5:
        data = edited_bytes(data, chance)
    if chance.random() < 0.2:
        data += bytes(chance.choice((1 << 20, 1 << 24, 1 << 27 if number % 40 == 0 else 1 << 16)))
    data = gzip.compress(data, 1, mtime=0)
    if chance.random() < 0.3:
        data = edited_bytes(data, chance)
    path = folder / "model.tar.gz"
    path.write_bytes(data)
    return path


def attempt(path: Path) -> str:
    """As --model does: unpack it into the cache, under names of ours and nowhere else."""
    home = path.parent / "home"
    os.environ["MRCNN_CV_HOME"] = str(home)
    try:
        found = resolve_model(path)
    finally:
        made = [each for each in home.rglob("*") if each.is_file() or each.is_symlink()]
        assert not [each for each in made if each.is_symlink()]
        assert {each.name for each in made if each.suffix != ".lock"} <= _KNOWN, made
        assert {each.name for each in path.parent.iterdir()} <= {path.name, "home"}
    return "accepted" if found.path != path else "refused: no archive"


def _tar(chance: random.Random) -> bytes:
    file = io.BytesIO()
    form = chance.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT))
    top = chance.choice(("model_2018", "model_2018", ".", "..", "/tmp", "a/b"))
    with tarfile.TarFile(fileobj=file, mode="w", format=form, encoding="utf-8", errors="replace") as archive:
        names = ["frozen_inference_graph.pb", "pipeline.config", "label_map.pbtxt", "x.pbtxt", chance.choice(NAMES)]
        chance.shuffle(names)
        for name in names[chance.randrange(3) :]:
            info = tarfile.TarInfo(f"{top}/{name}"[:30_000].replace("\0", "?"))
            kinds = (tarfile.REGTYPE,) * 12 + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE)
            info.type = chance.choice(kinds)
            info.linkname = chance.choice(("/etc/passwd", "../../x", "pipeline.config"))
            data = chance.choice((b"item { id: 1 name: 'a' }\n", b"x" * 3000)) if info.type == tarfile.REGTYPE else b""
            info.size = len(data)
            if form == tarfile.PAX_FORMAT and chance.random() < 0.2:
                keys = ("GNU.sparse.major", "GNU.sparse.realsize", "size", "path", "hdrcharset", "GNU.sparse.map")
                values = ("1", "-1", str(1 << 40), "x", "0,1,2", "9" * 5000, "../x", "\x1b[31m")
                info.pax_headers = {chance.choice(keys): chance.choice(values)}
            try:
                archive.addfile(info, io.BytesIO(data))
            except (ValueError, UnicodeError):
                continue
    data = file.getvalue()
    if chance.random() < 0.1:
        data = nested_headers(chance) + data
    return edited_headers(data, chance)


def nested_headers(chance: random.Random) -> bytes:
    """Headers that tarfile reads each inside of the one before it."""
    info = tarfile.TarInfo("x")
    info.type, info.size = chance.choice((tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE)), 512
    return (info.tobuf() + b"12 path=abc\n".ljust(512, b"\0")) * chance.choice((10, 3000))


def edited_headers(data: bytes, chance: random.Random) -> bytes:
    """Sizes and kinds in some headers, with right checksums."""
    changed = bytearray(data)
    sizes = (b"77777777777\0", b"\x80" + b"\0" * 3 + b"\xff" * 8, b"-0000000001\0", b"00000000000\0", b"0000400000\0\0")
    for _ in range(chance.choice((0, 0, 1, 2))):
        block = 512 * chance.randrange(max(1, len(changed) // 512))
        changed[block + 124 : block + 136] = chance.choice(sizes)
        changed[block + 156 : block + 157] = chance.choice((b"0", b"x", b"L", b"g", b"S", b"K", b"5"))
        header = bytes(changed[block : block + 148]) + b" " * 8 + bytes(changed[block + 156 : block + 512])
        changed[block + 148 : block + 156] = b"%06o\0 " % sum(header)
    return bytes(changed)


if __name__ == "__main__":
    make_again(case, attempt)
