"""Edits of files that know nothing of what is in them: of bytes, and of texts."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""What headers do not expect."""

NAMES = (
    *("..", "../../../../tmp/mrcnn-escaped.jpg", "/tmp/mrcnn-escaped.jpg", "C:\\mrcnn-escaped.jpg", "C:x.jpg"),
    *(
        "..\\..\\x.jpg",
        "\\\\host\\share\\x.jpg",
        "a/./b//c/../d.jpg",
        "./-x.jpg",
        ".hidden.jpg",
        "con.jpg",
        "aux",
        "a.",
    ),
    *(
        "\x1b[31mred\x1b[0m.jpg",
        "\x1b]0;title\x07.jpg",
        "\x9b31m.jpg",
        "a\nb\r.jpg",
        "a\0b.jpg",
        "\x7f.jpg",
        "\u202egpj.exe",
    ),
    *(
        "x" * 300 + ".jpg",
        "d/" * 3000 + "x.jpg",
        "9" * 5000 + ".jpg",
        "=1+1.jpg",
        "@x.jpg",
        '<b>&amp;".jpg',
        "{x}%s.jpg",
    ),
    *("\ud800.jpg", "\udce9.jpg", "🦊.jpg", "e\u0301.jpg", "é.jpg", " .jpg", "", ".", "/", "nul", "a:b.jpg", "~/x.jpg"),
)
"""Names that nobody honest gives."""

WORDS = (
    *("-1", "0", "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" + "0" * 400, "9" * 5000, "0x" + "f" * 6000),
    *("1e-400", "2147483648", "-2147483649", "9223372036854775808", "1.5", "true", "null", '""', "[]", "{}", "''"),
    *('"\\ud800"', '"\\u001b[31m"', '"\\u0000"', '"' + "A" * 70_000 + '"', "inf", "nan", "0b1", "1_000", "2001-99-99"),
    *("1:1:1.5", "!!timestamp x", "!!bool x", "!!int ''", "&a [*a]", "*a", "0o", "[[1]]", '{"a": 1}', "-0", "1e308"),
)
"""Values that nobody honest gives, in the spellings of several formats."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[\w.+]+|[{}\[\](),:=<>]')


def edited_bytes(data: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """`data` with one to eight random edits; others: files to take pieces from."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(10)
        if kind <= 2 and at < len(changed):
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 3 and at < len(changed):
            changed[at] = chance.randrange(256)
        elif kind == 4 or kind == 5:
            size = chance.choice((1, 2, 4, 8))
            number = chance.choice((*NUMBERS, chance.getrandbits(32))) & (1 << 8 * size) - 1
            changed[at : at + size] = number.to_bytes(size, chance.choice(("little", "big")))
        elif kind == 6:
            del changed[at : at + chance.choice((1, 4, 16, 256))]
        elif kind == 7:
            start = chance.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + chance.choice((1, 4, 16, 256, 4096))]
        elif kind == 8:
            changed[at:at] = chance.randbytes(chance.choice((1, 3, 16, 200)))
        elif others:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            changed[at : at + 64] = other[start : start + chance.choice((4, 64, 1024))]
        else:
            del changed[at:]
    if chance.random() < 0.1:
        del changed[chance.randrange(len(changed) + 1) :]
    return bytes(changed)


def edited_head(data: bytes, chance: random.Random, size: int = 64) -> bytes:
    """`data` with numbers in its first `size` bytes replaced by telling ones: sizes, counts and offsets are there."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(min(size, len(changed)) or 1)
        width = chance.choice((1, 2, 4))
        number = chance.choice(NUMBERS) & (1 << 8 * width) - 1
        changed[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))
    return bytes(changed)


def edited_text(text: str, chance: random.Random) -> str:
    """`text` with words swapped, repeated, dropped or replaced by WORDS and NAMES."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        tokens = list(_TOKEN.finditer(text))
        if not tokens:
            return text + chance.choice(WORDS)
        token = chance.choice(tokens)
        kind = chance.randrange(8)
        start, end = token.span()
        if kind <= 3:
            text = text[:start] + chance.choice(WORDS) + text[end:]
        elif kind == 4:
            text = text[:start] + quoted(chance.choice(NAMES)) + text[end:]
        elif kind == 5:
            text = text[:start] + text[end:]
        elif kind == 6:
            other = chance.choice(tokens)
            text = text[:start] + other.group() + text[end:]
        else:
            # A piece once more: fields and items twice.
            stop = min(len(text), end + chance.choice((10, 100, 1000)))
            text = text[:stop] + text[start:stop] * chance.choice((1, 1, 2, 50)) + text[stop:]
    return text


def quoted(name: str) -> str:
    """A text in double quotes with the escapes that JSON, TOML, YAML and label maps have in common."""
    spelled = (f"\\u{ord(each):04x}" if ord(each) < 32 or 0xD800 <= ord(each) < 0xE000 else each for each in name)
    return '"' + "".join("\\" + each if each in '"\\' and len(each) == 1 else each for each in spelled) + '"'


def encoded(text: str) -> bytes:
    """UTF-8, with what UTF-8 cannot say as the bytes that a careless program writes."""
    return text.encode("utf-8", "surrogatepass")
