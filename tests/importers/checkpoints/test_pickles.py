"""The machine that reads pickles: what Python's own makes of them, without doing anything."""

from __future__ import annotations

import collections
import pickle
import struct
import time
from typing import Any

import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.checkpoints import limits
from mrcnn_cv.importers.checkpoints.limits import CheckpointBudget
from mrcnn_cv.importers.checkpoints.pickles import machine
from mrcnn_cv.importers.checkpoints.pickles.machine import run_pickle
from mrcnn_cv.importers.checkpoints.pickles.values import LongString, Opaque
from tests.support.checkpoints import Call, Global, Raw, pickled

PLAIN: dict[str, Any] = {
    "nothing": None,
    "yes or no": [True, False],
    "numbers": [0, 1, 255, 256, 65535, 65536, -1, -(1 << 31), 1 << 31, 1 << 62, -(1 << 200), 0.0, -2.5, 1e300],
    "texts": ["", "a", "é", "\n'\"\\", "雪", "x" * 255, "y" * 300],
    "containers": [[], {}, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [[[]]], {"a": {1: (None,)}, None: 2.5}],
    "many": list(range(3000)),
    "dict of many": {str(number): number for number in range(3000)},
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
}


def run(data: bytes) -> Any:
    value, end = run_pickle(memoryview(data), 0, CheckpointBudget())
    assert end == len(data)
    return value


def refused(data: bytes) -> str:
    with pytest.raises(ModelFileError) as caught:
        run(data)
    return str(caught.value)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", PLAIN.values(), ids=PLAIN)
def test_plain_values_are_what_python_reads(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert run(data) == pickle.loads(data)


@pytest.mark.parametrize("protocol", range(6))
def test_a_value_that_is_used_twice_is_one(protocol: int) -> None:
    shared: list[Any] = [1]
    first, second = run(pickle.dumps([shared, shared], protocol))
    assert first is second


@pytest.mark.parametrize("protocol", range(6))
def test_a_list_may_hold_itself(protocol: int) -> None:
    value: list[Any] = []
    value.append(value)
    found = run(pickle.dumps(value, protocol))
    assert found[0] is found


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [{1, 2}, frozenset({1, 2})])
def test_sets_are_lists(value: Any, protocol: int) -> None:
    assert sorted(run(pickle.dumps(value, protocol))) == [1, 2]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("size", [0, 3, 5000])
def test_bytes_are_not_copied(protocol: int, size: int) -> None:
    value = bytes(range(256)) * 20
    found = run(pickle.dumps([value[:size], bytearray(value[:size])], protocol))
    for each in found:
        if protocol >= 3 or size == 0:
            # Python 3 writes a bytearray in protocols 3 and 4 as a call with bytes.
            assert isinstance(each, memoryview)
            assert bytes(each) == value[:size]
        elif isinstance(each, LongString):
            assert bytes(each.data(CheckpointBudget())) == value[:size]
        else:
            assert each.encode("latin-1") == value[:size]


@pytest.mark.parametrize("protocol", range(6))
def test_long_texts_stay_in_the_file_until_they_are_asked_for(protocol: int) -> None:
    text = "é雪\\n'" * 2000
    found = run(pickle.dumps([text], protocol))[0]
    assert isinstance(found, LongString)
    assert found.text() == text


class Hostile:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("exit 7",)


@pytest.mark.parametrize("protocol", range(6))
def test_calls_are_names(protocol: int) -> None:
    found = run(pickle.dumps({"a": Hostile()}, protocol))
    assert isinstance(found["a"], Opaque)
    assert found["a"].name.endswith(".system")


@pytest.mark.parametrize("step", [b"R", b"\x81"])
@pytest.mark.parametrize("called", [Global("builtins exec"), Call(Global("operator attrgetter"), ("x",)), 5, [1], None])
def test_whatever_is_called_nothing_happens(called: object, step: bytes) -> None:
    assert isinstance(run(pickled(Call(called, ("1 / 0",), {"a": 1}, step))), Opaque)
    assert isinstance(run(pickled(Raw(b"(S'1 / 0'\nibuiltins\nexec\n"))), Opaque)
    assert isinstance(run(pickled(Raw(b"(cbuiltins\nexec\nS'1 / 0'\no"))), Opaque)
    assert isinstance(run(pickled(Raw(b"cbuiltins\nexec\nS'1 / 0'\n\x85}\x92"))), Opaque)


def test_what_an_object_that_is_not_read_is_given_is_left_out() -> None:
    made = Raw(b"crob\nin\n)R(K\x01K\x02eK\x03a(K\x01K\x02uK\x01K\x02s")
    assert isinstance(run(pickled(made)), Opaque)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (b"", "a value is missing"),
        (b"e", "was not begun"),
        (b"t", "was not begun"),
        (b"K\x01a", "a value is missing"),
        (b"K\x01K\x02a", "no list"),
        (b"K\x01K\x02K\x03s", "no dict"),
        (b"}(K\x01u", "a key without a value"),
        (b"h\x05", "value 5 was not kept"),
        (b"g7\n", "value 7 was not kept"),
        (b"gx\n", "damaged"),
        (b"Ix\n", "a number that is none"),
        (b"L1e5\n", "a number that is none"),
        (b"Fx\n", "a number that is none"),
        (b"S'\\x'\n", "a text that is none"),
        (b"Sx\n", "without quotes"),
        (b"X\x01\0\0\0\xff", "a text that is none"),
        (b"\x80\x06", "protocol 6"),
        (b"\x82\x01", "0x82"),
        (b"\x97", "0x97"),
        (b"\xff", "0xff"),
        (b"P1\n", "0x50"),
        (b"K\x01K\x02\x93", "a name that is none"),
        (b"(o", "without a class"),
        (b"\x8b\xff\xff\xff\xff", "a number of -1 bytes"),
        (b"\x8b\xff\xff\xff\x7f", "bytes"),
        (b"T\xff\xff\xff\xff", "ends in the middle"),
        (b"\x8e" + b"\xff" * 8, "ends in the middle"),
        (b"c" + b"x" * 5000 + b"\n", "without an end"),
        (b"cx", "ends in the middle"),
    ],
)
def test_damaged_pickles_are_refused_in_a_sentence(steps: bytes, told: str) -> None:
    text = refused(b"\x80\x02" + steps + b".")
    assert told in text
    assert text.endswith("copy or download it again")


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the limits, of which the tests would take seconds."""
    for module, name, value in [
        (limits, "MAX_OPCODES", 20_000),
        (limits, "MAX_STRUCTURE", 1 << 20),
        (machine, "MAX_STACK", 5000),
        (machine, "MAX_MEMO", 5000),
        (machine, "MAX_MARKS", 100),
    ]:
        assert getattr(module, name) > value
        monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"N0" * 10_001, "more than 20,000 steps"),
        (b"(" * 101, "more than 100 levels"),
        (b"N" * 5001, "puts off more than 5,000 values"),
        (b"N" + b"\x94" * 5001, "keeps more than 5,000 values"),
        ((b"X\xff\x0f\0\0" + b"x" * 4095 + b"0") * 300, "more than 1 MiB beside its weights"),
    ],
    ids=["steps", "levels", "stack", "memo", "texts"],
)
@pytest.mark.usefixtures("small_limits")
def test_what_grows_is_bounded(data: bytes, told: str) -> None:
    assert told in refused(data)


@pytest.mark.usefixtures("small_limits")
def test_an_ordered_dict_of_pairs_counts_each_time() -> None:
    pairs = b"](" + b"(X\x01\0\0\0aNt" * 200 + b"eq\x000"
    again = b"ccollections\nOrderedDict\n(h\x00tR0" * 200
    assert "steps" in refused(pairs + again + b"N.")


def test_keys_that_are_dear_to_hash_are_names() -> None:
    """2 to the 60th values in a tuple of tuples; and numbers that all have the same hash."""
    doubled = b"}(" + b")q\x000" + b"(h\x00h\x00tq\x000" * 60 + b"h\x00Nu."
    found = run(doubled)
    assert [type(key) for key in found] == [Opaque]
    same = b"}(" + b"".join(
        b"\x8a\x0b" + (number * ((1 << 61) - 1)).to_bytes(11, "little") + b"N" for number in range(30_000)
    )
    start = time.process_time()
    assert len(run(same + b"u.")) == 30_000
    assert time.process_time() - start < 3


def test_levels_need_no_recursion() -> None:
    depth = 20_000
    found = run(b"]" * depth + b"a" * (depth - 1) + b".")
    for _ in range(depth - 1):
        (found,) = found


def test_a_tensor_of_a_class_in_a_class_needs_none_either() -> None:
    rebuild = b"ctorch._tensor\n_rebuild_from_type_v2\nq\x000N\x85q\x010"
    nested = b"(h\x00Nh\x01tq\x010" * 20_000
    assert isinstance(run(rebuild + nested + b"h\x00h\x01R."), Opaque)


def test_pickles_may_follow_each_other() -> None:
    data = pickle.dumps(1, 2) + pickle.dumps("b", 4)
    first, end = run_pickle(memoryview(data), 0, CheckpointBudget())
    assert (first, run_pickle(memoryview(data), end, CheckpointBudget())) == (1, ("b", len(data)))


@pytest.mark.usefixtures("small_limits")
def test_steps_of_a_file_count_together() -> None:
    budget = CheckpointBudget()
    data = memoryview(b"N0" * 7000 + b"N.")
    run_pickle(data, 0, budget)
    with pytest.raises(ModelFileError, match="steps"):
        run_pickle(data, 0, budget)


def test_a_text_is_decoded_in_pieces_that_may_part_a_character() -> None:
    value = bytes(range(256)) * 5000
    text = value.decode("latin-1").encode("utf-8")
    data = b"X" + struct.pack("<I", len(text)) + text + b"."
    assert bytes(run(data).data(CheckpointBudget())) == value
