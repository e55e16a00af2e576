"""What nobody honest puts into weights files: programs of pickles, bombs of YAML, headers and archives that lie."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from typing import Any

from tests.robustness.fuzz.file_edits import WORDS, edited_text, encoded
from tests.robustness.fuzz.mutations import whole

CONFIG = """!!python/object/new:detectron.utils.collections.AttrDict
dictitems:
  CLIP: !!python/object/apply:numpy.core.multiarray.scalar
  - &id001 !!python/object/apply:numpy.dtype
    args: [f8, 0, 1]
    state: !!python/tuple [3, <, null, null, null, -1, -1, 0]
  - !!binary qeISGmmKEEA=
  MEANS: !!python/object/apply:numpy.core.multiarray._reconstruct
    args: [!!python/name:numpy.ndarray '', !!python/tuple [0], b]
    state: !!python/tuple [1, !!python/tuple [1, 1, 3], *id001, false, !!binary 0LNZ9bm+WUB/arx0k/xcQK+UZYhjsV5A]
  SIZES: !!python/tuple [32, 64.5, 1e-5]
  NAME: !!python/unicode 'x'
"""


_STEPS = b".0123()[]{}lteasudbQRPoicgjhpqrNIJKLMFGSTUVXBC" + bytes(range(0x80, 0x99))


def program(chance: random.Random) -> bytes:
    """Steps that grow: of everything that there is to have too much of."""
    count = chance.choice((100, 20_000, 1 << 18))
    return chance.choice(
        (
            b"(" * count,
            b"]" * count,
            b"](" * min(count, 1000) + b"e" * min(count, 1000),
            b"]" + b"(h\x00h\x00h\x00h\x00t\x94h\x00" * min(count, 20_000),
            b"]q\x00" + b"]q\x01(h\x00h\x00eh\x01q\x00" * count,
            b")" + b"q\x00(h\x00h\x00t" * count,
            b"}"
            + b"".join(
                b"\x8a\x0b" + (n * ((1 << 61) - 1)).to_bytes(11, "little") + b"Ns" for n in range(min(count, 20_000))
            ),
            b"}q\x00(" + b")q\x01" + b"(h\x01h\x01tq\x01" * 60 + b"Nu",
            b"X\xff\x0f\0\0" + b"x" * 4095 + b"q\x00" + b"c_codecs\nencode\nq\x01" + b"h\x01(h\x00h\x00tR" * count,
            b"]q\x00" + b"h\x00h\x00a" * count,
            b"\x8b" + struct.pack("<i", chance.choice((-1, 300, 1 << 20))) + b"\xff" * 300,
            b"I" + b"9" * chance.choice((100, 5000)) + b"\n",
            b"S'" + b"\\x41" * count + b"'\n",
            b"V" + b"\\u0041" * count + b"\n",
            b"".join(bytes([chance.choice(_STEPS), chance.randrange(256)]) for _ in range(200)),
        )
    )


def config(chance: random.Random) -> str:
    """A config that was changed, or a bomb."""
    bombs = (
        "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*{'a' if not n else f'b{n - 1}'}, *a]\n" for n in range(3)),
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
        "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)),
        "&a [*a]",
        "[" * 5000,
        "{a: " * 3000,
        "!!python/object/apply:os.system [x]",
        "!!python/object/new:builtins.exec {args: [x], state: {a: 1}}",
        "? [a, b]\n: c",
        "a: " + chance.choice(WORDS),
        "x" * 300_000,
    )
    return edited_text(CONFIG, chance) if chance.random() < 0.6 else chance.choice(bombs)


def hostile_safetensors(chance: random.Random) -> bytes:
    """A file with a header that lies."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for name in ("a", "b", chance.choice(("c", "", "x" * 300, "\x1b[31m", "\ud800"))):
        size = chance.choice((0, 4, 24, whole(chance)))
        start = chance.choice((0, 24, whole(chance)))
        shape = [chance.choice((0, 1, 2, 3, whole(chance))) for _ in range(chance.randrange(4))]
        entry = {
            "dtype": chance.choice(("F32", "BF16", "F8_E4M3", "I64", 5)),
            "shape": shape,
            "data_offsets": [start, start + size],
        }
        header[name] = chance.choice(
            (entry, entry, entry, None, [1], {**entry, "shape": "ab"}, {**entry, "data_offsets": [0]})
        )
    text = json.dumps(header).encode()
    if chance.random() < 0.5:
        text = encoded(edited_text(text.decode(), chance))
    if chance.random() < 0.1:
        text = chance.choice(
            (b"{" * 100_000, b'{"a":' * 50_000, b'{"a":' + b"9" * 50_000 + b"}", b"{" + b"[],[]" * 99_999)
        )
    size = len(text) if chance.random() < 0.9 else whole(chance) & ((1 << 64) - 1)
    return struct.pack("<Q", size) + text + bytes(chance.choice((0, 24, 100, 5000)))


def hostile_npz(chance: random.Random) -> bytes:
    """An archive with headers that lie, or that are none."""
    headers = (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (99999999999, 99999999999), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807), }",
        "{'descr': '>u8', 'fortran_order': False, 'shape': (), }",
        "{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': (), }",
        "(" * 3000,
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name in (
            "a.npy",
            chance.choice(("b.npy", "b:0.npy", "a:0.npy", "x" * 300 + ".npy", "../a.npy", "data.pkl")),
        ):
            header = edited_text(headers[0], chance) if chance.random() < 0.4 else chance.choice(headers)
            text = encoded(header)[:60_000]
            size = struct.pack("<H", len(text)) if chance.random() < 0.9 else b"\xff\xff"
            zeros = chance.choice((0, 24, 24, 24, 1 << 20, 1 << 26 if chance.random() < 0.05 else 8))
            archive.writestr(
                name, b"\x93NUMPY" + bytes([chance.choice((1, 1, 1, 2, 3, 9)), 0]) + size + text + bytes(zeros)
            )
    return file.getvalue()


def edited_zip(data: bytes, chance: random.Random) -> bytes:
    """Numbers in the headers of an archive replaced."""
    changed = bytearray(data)
    marks = [at for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6") for at in _places(data, mark)]
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.choice(marks) + chance.randrange(4, 46)
        size = chance.choice((1, 2, 4))
        number = chance.choice((0, 1, 8, 0xFFFF, 0xFFFFFFFF, len(data), chance.getrandbits(32))) & ((1 << 8 * size) - 1)
        changed[at : at + size] = number.to_bytes(size, "little")
    return bytes(changed)


def _places(data: bytes, mark: bytes) -> list[int]:
    found: list[int] = []
    at = data.find(mark)
    while at >= 0 and len(found) < 100:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


def other_steps(data: bytes, chance: random.Random) -> bytes:
    """Some bytes become steps of pickles."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 8))):
        changed[chance.randrange(len(changed))] = chance.choice(_STEPS)
    return bytes(changed)
