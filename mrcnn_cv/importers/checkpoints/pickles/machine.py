"""The machine that a pickle is a program for, with every step that imports or calls something taken out.

What such a step would have made is one of the few values of `known_globals`, or an `Opaque`: a name that can be told,
and nothing else. Of Python's own values a pickle can make numbers, texts, bytes, lists, tuples and dicts; sets are
lists here. Steps and bytes are those of Lib/pickletools.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import cast

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.checkpoints.limits import MAX_MARKS, MAX_MEMO, MAX_STACK, CheckpointBudget
from mrcnn_cv.importers.checkpoints.pickles.known_globals import find_global, make
from mrcnn_cv.importers.checkpoints.pickles.numpy_objects import NumpyArray, NumpyDtype
from mrcnn_cv.importers.checkpoints.pickles.reading import PickleBytes, damaged
from mrcnn_cv.importers.checkpoints.pickles.values import Opaque

_STOP = 0x2E
_HASHED_ALIKE = 1 << 63
_MAX_PROTOCOL = 5


def run_pickle(
    data: memoryview, start: int, budget: CheckpointBudget, persistent: Callable[[object], object] | None = None
) -> tuple[object, int]:
    """(the value of the pickle that begins at `start`, where it ends).

    persistent: what a persistent id stands for; None: there are none. Raises ModelFileError without the file's name.
    """
    machine = PickleMachine(PickleBytes(data, start, budget), persistent)
    return machine.run(), machine.input.position


class PickleMachine:
    """One pickle, its stack and its memo."""

    def __init__(self, source: PickleBytes, persistent: Callable[[object], object] | None) -> None:
        self.input = source
        self._persistent = persistent
        self._stack: list[object] = []
        self._below: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self._globals: dict[str, object] = {}

    def run(self) -> object:
        """The value that is left at the end."""
        source, budget = self.input, self.input.budget
        while True:
            budget.step()
            code = source.byte()
            if code == _STOP:
                return self.pop()
            step = _STEPS.get(code)
            if step is None:
                damaged(f"a step 0x{code:02x} that is none, or is not read")
            step(self)

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        if len(self._stack) >= MAX_STACK:
            raise ModelFileError(f"has a pickle that puts off more than {MAX_STACK:,} values, so it holds no detector")
        self._stack.append(value)

    def pop(self) -> object:
        """Take the last value."""
        if not self._stack:
            damaged("a value is missing")
        return self._stack.pop()

    def drop(self) -> None:
        """Take the last value away, or the mark of a container that is empty."""
        if self._stack:
            self.pop()
        else:
            self.pop_mark()

    def top(self) -> object:
        """The last value."""
        if not self._stack:
            damaged("a value is missing")
        return self._stack[-1]

    def mark(self) -> None:
        """Begin a container."""
        if len(self._below) >= MAX_MARKS:
            raise ModelFileError(f"has a pickle of more than {MAX_MARKS:,} levels, so it holds no detector")
        self._below.append(self._stack)
        self._stack = []

    def pop_mark(self) -> list[object]:
        """All values since the last mark."""
        if not self._below:
            damaged("a container ends that was not begun")
        items, self._stack = self._stack, self._below.pop()
        return items

    def put(self, index: int) -> None:
        """Keep the last value."""
        if len(self._memo) >= MAX_MEMO:
            raise ModelFileError(f"has a pickle that keeps more than {MAX_MEMO:,} values, so it holds no detector")
        self._memo[index] = self.top()

    def memoize(self) -> None:
        """Keep the last value under the next number."""
        self.put(len(self._memo))

    def get(self, index: int) -> None:
        """Push a value that was kept."""
        if index not in self._memo:
            damaged(f"value {index} was not kept")
        self.push(self._memo[index])

    def tuple_of(self, count: int) -> None:
        """Make a tuple of the last values."""
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def append(self, items: list[object]) -> None:
        """Add items to the list on the stack."""
        found = self.top()
        if isinstance(found, list):
            found.extend(items)
        elif not isinstance(found, Opaque):
            damaged("items of what is no list")

    def set_items(self, items: list[object]) -> None:
        """Add keys and values to the dict on the stack."""
        found = self.top()
        if len(items) % 2:
            damaged("a key without a value")
        if isinstance(found, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                found[self.key(key)] = value
        elif not isinstance(found, Opaque):
            damaged("keys of what is no dict")

    def key(self, value: object) -> object:
        """A value as the key of a dict; one whose hash is dear, or that others can be made to share, as an Opaque."""
        if isinstance(value, memoryview) and len(value) <= 64:
            return bytes(value)
        if value is None or isinstance(value, str | float | Opaque):
            return value
        if isinstance(value, int) and -_HASHED_ALIKE < value < _HASHED_ALIKE:
            return value
        return Opaque(f"a key of the type {type(value).__name__}")

    def find(self, module: object, name: object) -> None:
        """Push what a name stands for."""
        if not isinstance(module, str) or not isinstance(name, str):
            damaged("a name that is none")
        full = f"{module}.{name}"
        self.input.budget.keep(len(full))
        if full not in self._globals:
            self._globals[full] = find_global(full)
        self.push(self._globals[full])

    def call(self, called: object, arguments: object) -> None:
        """Push what a call stands for; nothing is called."""
        self.push(make(called, arguments, self.input.budget))

    def build(self) -> None:
        """Give an object its state: only arrays and their types have one here."""
        state, found = self.pop(), self.top()
        if isinstance(found, NumpyArray | NumpyDtype):
            found.build(state)

    def persistent_id(self) -> None:
        """Push what stands outside of the pickle."""
        value = self.pop()
        self.push(Opaque("a persistent id") if self._persistent is None else self._persistent(value))


def _integer_line(machine: PickleMachine) -> None:
    line = machine.input.line()
    if line in ("00", "01"):
        machine.push(line == "01")
    else:
        _long_line(machine, line)


def _long_line(machine: PickleMachine, line: str | None = None) -> None:
    text = (machine.input.line() if line is None else line).rstrip("L")
    try:
        machine.push(int(text))
    except ValueError:
        damaged("a number that is none")


def _float_line(machine: PickleMachine) -> None:
    try:
        machine.push(float(machine.input.line()))
    except ValueError:
        damaged("a number that is none")


def _protocol(machine: PickleMachine) -> None:
    version = machine.input.byte()
    if version > _MAX_PROTOCOL:
        damaged(f"protocol {version}")


def _dict(machine: PickleMachine) -> None:
    items = machine.pop_mark()
    machine.push({})
    machine.set_items(items)


def _set_item(machine: PickleMachine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _instance(machine: PickleMachine) -> None:
    items = machine.pop_mark()
    module, name = machine.input.line(), machine.input.line()
    machine.find(module, name)
    machine.call(machine.pop(), tuple(items))


def _object(machine: PickleMachine) -> None:
    items = machine.pop_mark()
    if not items:
        damaged("an object without a class")
    machine.call(items[0], tuple(items[1:]))


def _reduce(machine: PickleMachine) -> None:
    arguments, called = machine.pop(), machine.pop()
    machine.call(called, arguments)


def _new_object_ex(machine: PickleMachine) -> None:
    machine.pop()
    _reduce(machine)


def _global(machine: PickleMachine) -> None:
    module, name = machine.input.line(), machine.input.line()
    machine.find(module, name)


def _stack_global(machine: PickleMachine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.find(module, name)


def _index_line(machine: PickleMachine) -> int:
    line = machine.input.line()
    if not line.isdecimal() or len(line) > 10:
        damaged("a number of a value that is none")
    return int(line)


def _push(read: Callable[[PickleBytes], object]) -> Callable[[PickleMachine], None]:
    return lambda machine: machine.push(read(machine.input))


def _binary_float(source: PickleBytes) -> float:
    return cast(float, struct.unpack(">d", source.view(8))[0])


_STEPS: Mapping[int, Callable[[PickleMachine], object]] = {
    # Constants and numbers.
    ord("N"): lambda machine: machine.push(None),
    0x88: lambda machine: machine.push(True),
    0x89: lambda machine: machine.push(False),
    ord("I"): _integer_line,
    ord("L"): _long_line,
    ord("F"): _float_line,
    ord("J"): _push(lambda source: source.whole(4, signed=True)),
    ord("K"): _push(lambda source: source.byte()),
    ord("M"): _push(lambda source: source.whole(2)),
    ord("G"): _push(_binary_float),
    0x8A: _push(lambda source: source.integer(source.byte())),
    0x8B: _push(lambda source: source.integer(source.whole(4, signed=True))),
    # Texts and bytes.
    ord("S"): _push(lambda source: source.byte_string_line()),
    ord("T"): _push(lambda source: source.byte_string(source.whole(4, signed=True))),
    ord("U"): _push(lambda source: source.byte_string(source.byte())),
    ord("V"): _push(lambda source: source.text_line()),
    ord("X"): _push(lambda source: source.text(source.whole(4))),
    0x8C: _push(lambda source: source.text(source.byte())),
    0x8D: _push(lambda source: source.text(source.whole(8))),
    ord("B"): _push(lambda source: source.view(source.whole(4))),
    ord("C"): _push(lambda source: source.view(source.byte())),
    0x8E: _push(lambda source: source.view(source.whole(8))),
    0x96: _push(lambda source: source.view(source.whole(8))),
    # Containers.
    ord("("): PickleMachine.mark,
    ord(")"): lambda machine: machine.push(()),
    ord("]"): lambda machine: machine.push([]),
    ord("}"): lambda machine: machine.push({}),
    0x8F: lambda machine: machine.push([]),
    ord("t"): lambda machine: machine.push(tuple(machine.pop_mark())),
    0x85: lambda machine: machine.tuple_of(1),
    0x86: lambda machine: machine.tuple_of(2),
    0x87: lambda machine: machine.tuple_of(3),
    ord("l"): lambda machine: machine.push(machine.pop_mark()),
    0x91: lambda machine: machine.push(machine.pop_mark()),
    ord("d"): _dict,
    ord("a"): lambda machine: machine.append([machine.pop()]),
    ord("e"): lambda machine: machine.append(machine.pop_mark()),
    0x90: lambda machine: machine.append(machine.pop_mark()),
    ord("s"): _set_item,
    ord("u"): lambda machine: machine.set_items(machine.pop_mark()),
    # The stack and the memo.
    ord("0"): PickleMachine.drop,
    ord("1"): lambda machine: machine.pop_mark(),
    ord("2"): lambda machine: machine.push(machine.top()),
    ord("p"): lambda machine: machine.put(_index_line(machine)),
    ord("q"): lambda machine: machine.put(machine.input.byte()),
    ord("r"): lambda machine: machine.put(machine.input.whole(4)),
    0x94: PickleMachine.memoize,
    ord("g"): lambda machine: machine.get(_index_line(machine)),
    ord("h"): lambda machine: machine.get(machine.input.byte()),
    ord("j"): lambda machine: machine.get(machine.input.whole(4)),
    # Names, and what would be calls.
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): _reduce,
    0x81: _reduce,
    0x92: _new_object_ex,
    ord("i"): _instance,
    ord("o"): _object,
    ord("b"): PickleMachine.build,
    ord("Q"): PickleMachine.persistent_id,
    # How the pickle is laid out.
    0x80: _protocol,
    0x95: lambda machine: machine.input.whole(8),
}
"""Left out: what needs a table of the reading program (EXT1, EXT2, EXT4, NEXT_BUFFER, READONLY_BUFFER), and PERSID, the
persistent ids of protocol 0, which torch does not write."""
