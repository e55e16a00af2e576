"""Small sums inside a graph, evaluated as TensorFlow would."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import ArrayLike

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.constant_folding import NotConstant
from mrcnn_cv.importers.tensorflow.constant_folding import TensorFlowConstantFolder
from tests.importers.graphs import Builder

GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def evaluate(op: str, *inputs: ArrayLike, **attributes: object) -> np.ndarray:
    """The value of one op on constants: float32, or int32 for whole numbers."""
    builder = Builder()
    names = []
    for index, value in enumerate(inputs):
        array = np.array(value)
        dtype = "int32" if array.dtype.kind == "i" else "bool" if array.dtype.kind == "b" else "float32"
        names.append(builder.const(f"c{index}", array, dtype))
    builder.node("x", op, names, **attributes)
    return TensorFlowConstantFolder(builder.graph()).value("x")


@pytest.mark.parametrize(
    ("op", "inputs", "expected"),
    [
        ("Identity", [[1.5]], [1.5]),
        ("Add", [[1.0, 2.0], 3.0], [4, 5]),
        ("AddV2", [[[1.0], [2.0]], [10.0, 20.0]], [[11, 21], [12, 22]]),
        ("Sub", [[5.0, 2.0], 3.0], [2, -1]),
        ("Mul", [[5.0, 2.0], [2.0, 3.0]], [10, 6]),
        ("RealDiv", [[1.0], [3.0]], np.float32(1) / np.float32(3)),
        ("RealDiv", [[1.0, 0.0], 0.0], [np.inf, np.nan]),
        ("Minimum", [[5, 2], 3], [3, 2]),
        ("Maximum", [[5, 2], 3], [5, 3]),
        ("Sqrt", [[16.0, 2.0]], np.sqrt(np.array([16, 2], np.float32))),
        ("Rsqrt", [[16.0, 4.0]], [0.25, 0.5]),
        ("Neg", [[1, -2]], [-1, 2]),
        ("Rank", [GRID], 3),
        ("Size", [GRID], 24),
        ("Shape", [GRID], [2, 3, 4]),
        ("Reshape", [GRID, [4, -1]], GRID.reshape(4, 6)),
        ("Reshape", [GRID, [-1]], GRID.ravel()),
        ("ExpandDims", [GRID, 1], GRID[:, None]),
        ("ExpandDims", [GRID, -1], GRID[..., None]),
        ("Fill", [[2, 3], 7.0], [[7, 7, 7], [7, 7, 7]]),
        ("Tile", [[[1, 2]], [2, 2]], [[1, 2, 1, 2], [1, 2, 1, 2]]),
        ("Range", [2, 11, 3], [2, 5, 8]),
        ("Range", [5, 2, -1], [5, 4, 3]),
        ("Range", [3, 3, 1], []),
        ("ConcatV2", [[[1, 2]], [[3, 4]], 0], [[1, 2], [3, 4]]),
        ("ConcatV2", [[[1, 2]], [[3, 4]], -1], [[1, 2, 3, 4]]),
        ("Slice", [GRID, [0, 1, 2], [1, -1, 2]], GRID[:1, 1:, 2:4]),
    ],
)
def test_ops(op: str, inputs: list[ArrayLike], expected: ArrayLike) -> None:
    np.testing.assert_array_equal(evaluate(op, *inputs), np.array(expected))


@pytest.mark.parametrize(
    ("arguments", "masks", "expected"),
    [
        (([0], [1], [1]), {"shrink_axis_mask": 1}, GRID[0]),
        (([-1], [0], [1]), {"shrink_axis_mask": 1}, GRID[-1]),
        (([0, 1], [2, 3], [1, 1]), {}, GRID[0:2, 1:3]),
        (([1, 1], [1, 2], [1, 1]), {"begin_mask": 1, "end_mask": 2}, GRID[:1, 1:]),
        (([0, 0, 3], [2, 3, 0], [1, 2, -1]), {}, GRID[:2, :3:2, 3:0:-1]),
        (([0, 0, 3], [2, 3, 0], [1, 2, -1]), {"end_mask": 4, "shrink_axis_mask": 1}, GRID[0, :3:2, 3::-1]),
    ],
)
def test_strided_slices_and_their_masks(
    arguments: tuple[list[int], ...], masks: dict[str, int], expected: np.ndarray
) -> None:
    np.testing.assert_array_equal(evaluate("StridedSlice", GRID, *arguments, **masks), expected)


@pytest.mark.parametrize("mask", ["ellipsis_mask", "new_axis_mask"])
def test_rare_slices_are_left_alone(mask: str) -> None:
    with pytest.raises(NotConstant):
        evaluate("StridedSlice", GRID, [0], [1], [1], **{mask: 1})


def test_pack_and_squeeze() -> None:
    np.testing.assert_array_equal(evaluate("Pack", [1, 2], [3, 4], axis=0), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(evaluate("Pack", [1, 2], [3, 4], axis=1), [[1, 3], [2, 4]])
    assert evaluate("Squeeze", GRID[None, :1]).shape == (3, 4)
    assert evaluate("Squeeze", GRID[None, :1], squeeze_dims=[0]).shape == (1, 3, 4)


def test_casts_round_towards_zero_and_change_the_type() -> None:
    found = evaluate("Cast", [1.9, -1.9], DstT=3)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [1, -1])
    assert evaluate("Cast", [1], DstT=1).dtype == np.float32
    with pytest.raises(NotConstant):
        evaluate("Cast", [1], DstT=7)


def test_half_precision_constants_become_floats() -> None:
    builder = Builder()
    builder.const("half", [0.1, 2.0], "float16")
    builder.node("cast", "Cast", ["half"], DstT=1)
    found = TensorFlowConstantFolder(builder.graph()).value("cast")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([0.1, 2], np.float16).astype(np.float32))


def test_float32_sums_are_rounded_as_tensorflow_rounds_them() -> None:
    found = evaluate("Mul", [0.1], [3.0])
    assert found.dtype == np.float32
    assert found[0] == np.float32(0.1) * np.float32(3)


def test_what_depends_on_the_image_says_so() -> None:
    builder = Builder()
    builder.node("image", "Placeholder")
    builder.const("two", 2.0)
    builder.node("x", "Mul", ["image", "two"])
    builder.node("shape", "Shape", ["image"])
    values = TensorFlowConstantFolder(builder.graph())
    for name in ("x", "shape"):
        with pytest.raises(NotConstant, match="Placeholder"):
            values.value(name)


def test_a_feature_maps_shape_may_be_assumed() -> None:
    builder = Builder()
    builder.node("map", "Placeholder")
    builder.node("shape", "Shape", ["map"])
    for name, value in (("one", [1]), ("two", [2]), ("step", [1])):
        builder.const(name, value, "int32")
    builder.node("rows", "StridedSlice", ["shape", "one", "two", "step"], shrink_axis_mask=1)
    assert TensorFlowConstantFolder(builder.graph(), feature_shape=(1, 30, 40, 5)).value("rows") == 30


def test_other_outputs_of_a_node_are_not_its_first() -> None:
    builder = Builder()
    builder.const("c", [1.0])
    builder.node("x", "Neg", ["c:1"])
    with pytest.raises(NotConstant, match="part of a tensor"):
        TensorFlowConstantFolder(builder.graph()).value("x")


def test_a_circle_is_not_constant() -> None:
    builder = Builder()
    builder.node("a", "Neg", ["b"])
    builder.node("b", "Neg", ["a"])
    with pytest.raises(NotConstant, match="itself"):
        TensorFlowConstantFolder(builder.graph()).value("a")


def test_a_circle_through_shapes_is_not_constant_either() -> None:
    builder = Builder()
    builder.node("a", "Shape", ["b"])
    builder.node("b", "Neg", ["a"])
    with pytest.raises(ModelFileError, match="too long a row of shapes of shapes"):
        TensorFlowConstantFolder(builder.graph()).value("a")


def test_shared_sums_are_computed_once() -> None:
    """Sixty doublings of one sum by itself; without memory that would be 2 ** 60 steps."""
    builder = Builder()
    builder.const("x0", 1.0, "float64")
    for index in range(60):
        builder.node(f"x{index + 1}", "Add", [f"x{index}", f"x{index}"])
    assert TensorFlowConstantFolder(builder.graph()).value("x60") == 2.0**60


@pytest.mark.parametrize("op", ["Neg", "Identity"])
def test_a_very_deep_sum_does_not_overflow_the_stack(op: str) -> None:
    builder = Builder()
    previous = builder.const("c", 1.0)
    for index in range(20000):
        previous = builder.node(f"x{index}", op, [previous])
    assert TensorFlowConstantFolder(builder.graph()).value(previous) == 1


def test_shapes_of_shapes_without_end_are_refused() -> None:
    builder = Builder()
    previous = builder.const("c", 1.0)
    for index in range(5000):
        previous = builder.node(f"x{index}", "Shape", [previous])
    with pytest.raises(ModelFileError, match="shapes of shapes"):
        TensorFlowConstantFolder(builder.graph()).value(previous)


BIG = 1 << 30
LONG = np.zeros(9000, np.float32)


@pytest.mark.parametrize(
    "make",
    [
        lambda: evaluate("Fill", [BIG, BIG], 1.0),
        lambda: evaluate("Fill", [-BIG, -BIG], 1.0),
        lambda: evaluate("Tile", [[1.0]], [BIG, BIG]),
        lambda: evaluate("Tile", [[1.0]], [-1, BIG]),
        lambda: evaluate("Range", 0, BIG, 1),
        lambda: evaluate("Range", 0, 10, 0),
        lambda: evaluate("Range", 0.0, 1.0, 1e-30),
        lambda: evaluate("Range", 0.0, float("nan"), 1.0),
        lambda: evaluate("Range", [0, 1], 5, 1),
        lambda: evaluate("Add", LONG[:, None], LONG[None]),
        lambda: evaluate("Maximum", LONG[:, None], LONG[None]),
        lambda: evaluate("ConcatV2", *[np.zeros(1 << 16, np.float32)] * 300, 0),
        lambda: evaluate("Pack", *[np.zeros(1 << 16, np.float32)] * 300),
        lambda: evaluate("Reshape", GRID, [5, 5]),
        lambda: evaluate("Reshape", GRID, [-1, -1]),
        lambda: evaluate("Slice", GRID, [0], [1, 1]),
        lambda: evaluate("StridedSlice", GRID, [0], [1], [0]),
        lambda: evaluate("StridedSlice", GRID, [9], [10], [1], shrink_axis_mask=1),
        lambda: evaluate("StridedSlice", GRID, [0, 0], [1], [1]),
        lambda: evaluate("ConcatV2", GRID, GRID, 7),
        lambda: evaluate("Add", [1.0, 2.0], [1.0, 2.0, 3.0]),
        lambda: evaluate("Sub", True, False),
        lambda: evaluate("Neg", True),
        lambda: evaluate("Squeeze", GRID, squeeze_dims=[0]),
        lambda: evaluate("ExpandDims", GRID, 9),
        lambda: evaluate("ExpandDims", GRID, [0, 1]),
        lambda: evaluate("Mul", 1.0, 2.0, 3.0),
    ],
)
def test_nonsense_is_refused_at_once_and_in_little_memory(make: Callable[[], object]) -> None:
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(ModelFileError):
            make()
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 5
