"""Convolutions of 3x3 by Winograd's minimal filtering give what cv2.dnn and plain numpy give for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from mrcnn_cv.engines.opencv import winograd
from mrcnn_cv.engines.opencv.blas_conv import Product
from mrcnn_cv.engines.opencv.hybrid import HybridNet, pieces_of
from mrcnn_cv.engines.opencv.packed import packed
from mrcnn_cv.engines.opencv.winograd import Winograd, WinogradOrProduct
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph import ir
from mrcnn_cv.util import blas
from mrcnn_cv.util.mapped_file import MappedFile
from mrcnn_cv.util.opencv import cv2
from tests.engines.heads import Head, check_against_numpy, check_equal
from tests.support.opencv import OpenCvNet, classic_only

CHANNELS = 40

Layout = Callable[[Head], ir.NetGraph]


@pytest.fixture(autouse=True)
def _of_few_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "MIN_CHANNELS", {4: 8, 8: 8, 16: 8, 32: 8})
    monkeypatch.setattr(winograd, "MIN_CHANNELS_OF_HEADS", 8)


@pytest.fixture(params=[1, 2, 3], ids="{} threads".format)
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(request.param)
    yield
    cv2.setNumThreads(before)


def alone(head: Head) -> ir.NetGraph:
    return head.graph(head.convolution(head.crops, 3, channels=56))


def row(head: Head) -> ir.NetGraph:
    """Right behind each other, one of them without a bias, and ended in different ways; two are asked for."""
    first = head.relu(head.convolution(head.crops, 3, bias=False))
    second = head.relu(head.convolution(first, 3, channels=24), ir.Relu6)
    return head.graph(head.convolution(second, 3, taken=24), first)


def residual(head: Head) -> ir.NetGraph:
    """A sum with what comes from elsewhere, and one with itself."""
    first = head.relu(head.add(head.convolution(head.crops, 3), head.crops))
    second = head.convolution(first, 3)
    return head.graph(head.relu(head.add(second, second)))


LAYOUTS = [alone, row, residual]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(20, 31), (8, 8), (33, 17), (4, 90), (1, 1), (3, 2), (64, 64)])
@pytest.mark.usefixtures("_threads")
def test_a_backbone_takes_maps_of_any_size(layout: Layout, size: ir.Pair) -> None:
    graph = layout(Head(CHANNELS))
    net = make_net(graph, BACKENDS["cpu"])
    assert isinstance(net, HybridNet)
    assert [piece.kind for piece in pieces_of(graph, None)].count("winograd") == len(_convolutions(graph))
    check_against_numpy(net, graph, [(1, CHANNELS, *size), (1, CHANNELS, 12, 12)], of_largest=1e-5)


@classic_only
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("count", "size"), [(1, (7, 7)), (3, (4, 4)), (60, (2, 3)), (13, (14, 9)), (300, (4, 4))])
@pytest.mark.usefixtures("_threads")
def test_a_head_takes_any_number_of_maps(layout: Layout, count: int, size: ir.Pair) -> None:
    graph = layout(Head(CHANNELS))
    net = make_net(graph, BACKENDS["cpu"], size=size)
    assert isinstance(net, HybridNet)
    assert [type(piece) for piece in net._pieces].count(WinogradOrProduct) == len(_convolutions(graph))
    # More maps, then fewer: what the ones before left in memory must not show.
    check_equal(net, graph, [(maps, CHANNELS, *size) for maps in (count, count + 3, 1)])


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 2, 0), (0, 2, 1, 1), (2, 2, 2, 2)])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.usefixtures("_threads")
def test_paddings_in_numbers(padding: ir.Padding, count: int) -> None:
    """As ONNX gives them; they need not keep the size of the maps."""
    head = Head(CHANNELS)
    graph = head.graph(head.convolution(head.crops, 3, padding=padding))
    check_against_numpy(
        _Alone(graph), graph, [(count, CHANNELS, *size) for size in ((9, 14), (3, 3), (16, 5))], of_largest=1e-5
    )


def test_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map whose tiles are far too many to be multiplied at once."""
    monkeypatch.setattr(winograd, "MAX_AT_ONCE", 1)
    graph = alone(Head(CHANNELS))
    check_against_numpy(_Alone(graph), graph, [(1, CHANNELS, 150, 41), (40, CHANNELS, 9, 9)], of_largest=1e-5)


def test_it_rounds_little() -> None:
    """A hundredth of what decides over a pixel, for as many channels as there are."""
    head = Head(512)
    graph = head.graph(head.convolution(head.crops, 3, channels=16))
    maps = np.abs(np.random.default_rng(0).normal(size=(1, 512, 16, 16))).astype(np.float32)
    (found,) = _Alone(graph).run({"crops": maps})
    (convolution,) = _convolutions(graph)
    padded = np.pad(maps.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    exact = np.einsum("nchwij,kcij->nkhw", windows, convolution.weight.astype(np.float64))
    assert convolution.bias is not None
    exact += convolution.bias[:, np.newaxis, np.newaxis]
    assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()


def test_few_maps_of_a_head_are_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """And many are none: each of the two ways is taken, and both give the same."""
    graph = alone(Head(CHANNELS))
    piece = WinogradOrProduct(graph)
    taken: list[object] = []

    def noting(way: Winograd | Product) -> Callable[..., list[ir.Float]]:
        run = way.run

        def noted(inputs: Mapping[str, ir.Float], memory: ir.Float) -> list[ir.Float]:
            taken.append(way)
            return run(inputs, memory)

        return noted

    for way in (piece._winograd, piece._product):
        monkeypatch.setattr(way, "run", noting(way))
    maps = np.random.default_rng(0).normal(size=(12, CHANNELS, 7, 7)).astype(np.float32)
    with blas.without_threads():
        (all_at_once,) = piece.run({"crops": maps}, np.empty(piece.size({"crops": maps}), np.float32))
        (few,) = piece.run({"crops": maps[:3]}, np.empty(piece.size({"crops": maps[:3]}), np.float32))
    assert taken == [piece._winograd, piece._product]
    assert np.abs(few - all_at_once[:3]).max() < 1e-5 * np.abs(all_at_once).max()


def test_others_stay_with_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of other windows, strides, dilations and groups, and thin ones."""
    head = Head(CHANNELS)
    at = head.convolution(head.convolution(head.crops, 5), 3, 2)
    at = head.convolution(head.convolution(at, 3, dilation=2), 3, groups=2)
    graph = head.graph(head.convolution(at, 3, channels=3))
    assert [piece.kind for piece in pieces_of(graph, None)] == ["net"]
    assert isinstance(make_net(graph, BACKENDS["cpu"]), OpenCvNet)


def test_paddings_beyond_what_a_window_sees_stay_with_opencv() -> None:
    """A tile that lies in the padding alone has no pixel of the map."""
    for padding in ((1, 1, 4, 1), (7, 1, 1, 1), (3, 1, 1, 1)):
        head = Head(CHANNELS)
        graph = head.graph(head.convolution(head.crops, 3, padding=padding))
        assert [piece.kind for piece in pieces_of(graph, None)] == ["net"]


@classic_only
def test_no_maps_at_all() -> None:
    graph = alone(Head(CHANNELS))
    (found,) = make_net(graph, BACKENDS["cpu"], size=(7, 7)).run({"crops": np.zeros((0, CHANNELS, 7, 7), np.float32)})
    assert found.shape == (0, 56, 7, 7)


def test_how_many_channels_it_takes_depends_on_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones need few; on the way down through a backbone it takes more and more, and at its end all stay."""
    monkeypatch.setattr(winograd, "MIN_CHANNELS", {4: CHANNELS, 8: CHANNELS + 1, 16: CHANNELS, 32: CHANNELS})
    head = Head(CHANNELS)
    at = head.crops
    wanted = []
    for stride in (4, 8, 16, 32, 64):
        at = head.convolution(at, 5, 4 if stride == 4 else 2)
        at = head.convolution(at, 3)
        wanted += [at] if stride not in (8, 64) else []
    graph = head.graph(at)
    found = [piece.net.layers[0].name for piece in pieces_of(graph, None) if piece.kind == "winograd"]
    assert found == wanted


def test_without_a_fast_library_all_stays_with_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "is_fast", lambda: False)
    assert isinstance(make_net(alone(Head(CHANNELS)), BACKENDS["cpu"]), OpenCvNet)


def test_threads_keep_memory_of_their_own() -> None:
    """Nets that run at the same time do not write into each other's tiles."""
    graph = alone(Head(CHANNELS))
    nets = [make_net(graph, BACKENDS["cpu"]) for _ in range(4)]
    inputs = [np.random.default_rng(seed).normal(size=(1, CHANNELS, 40, 30)).astype(np.float32) for seed in range(4)]
    expected = [net.run({"crops": maps})[0] for net, maps in zip(nets, inputs, strict=True)]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if not np.array_equal(nets[number].run({"crops": inputs[number]})[0], expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class TestPacked:
    """Weights that several nets have in common."""

    def test_the_same_part_of_a_file_is_packed_once(self, tmp_path: Path) -> None:
        first, other = _of_file(tmp_path / "weights"), _of_file(tmp_path / "others")
        again = ir.NetGraph(first.inputs, first.outputs, first.layers, first.source)
        matrices = [Winograd(net)._matrices for net in (first, again, other)]
        assert matrices[0] is matrices[1]
        assert matrices[0] is not matrices[2]

    def test_the_same_weights_with_another_scale_are_others(self, tmp_path: Path) -> None:
        net = _of_file(tmp_path / "weights")
        layer = net.layers[0]
        assert isinstance(layer, ir.Conv2d)
        scaled = ir.Conv2d("conv", layer.inputs, weight=layer.weight, padding=layer.padding, scale=np.full(8, 2.0))
        twice = ir.NetGraph(net.inputs, net.outputs, (scaled,), net.source)
        np.testing.assert_allclose(Winograd(twice)._matrices, 2 * Winograd(net)._matrices, rtol=1e-6)

    def test_other_forms_of_the_same_weights_are_others(self, tmp_path: Path) -> None:
        net = _of_file(tmp_path / "weights")
        layer = net.layers[0]
        assert isinstance(layer, ir.Conv2d)
        made = [packed(net, [layer], form, lambda: np.zeros(1, np.float32)) for form in ("one", "other")]
        assert made[0] is not made[1]

    def test_arrays_of_their_own_are_not_told_by_where_they_lie(self, tmp_path: Path) -> None:
        """Where one lay that is gone another one may lie."""
        source = _of_file(tmp_path / "weights").source
        weights = np.ones((8, 8, 3, 3), np.float32)
        net = ir.NetGraph(("crops",), ("conv",), (ir.Conv2d("conv", ("crops",), weight=weights),), source)
        first = Winograd(net)._matrices
        weights *= 2
        np.testing.assert_array_equal(Winograd(net)._matrices, 2 * first)


def _of_file(path: Path) -> ir.NetGraph:
    """One convolution whose weights are a view of a file."""
    values = np.random.default_rng(len(path.name)).normal(size=8 * 8 * 9).astype(np.float32)
    path.write_bytes(values.tobytes())
    file = MappedFile(path, 1 << 20)
    weight = np.frombuffer(file.data, np.float32).reshape(8, 8, 3, 3)
    layer = ir.Conv2d("conv", ("crops",), weight=weight, padding=(1, 1, 1, 1))
    return ir.NetGraph(("crops",), ("conv",), (layer,), file)


def _convolutions(graph: ir.NetGraph) -> list[ir.Conv2d]:
    return [layer for layer in graph if isinstance(layer, ir.Conv2d)]


class _Alone:
    """A piece that runs as a net."""

    def __init__(self, graph: ir.NetGraph) -> None:
        self._piece = Winograd(graph)

    def devices(self) -> set[str]:
        return {"cpu"}

    def run(self, inputs: Mapping[str, ir.Float]) -> list[ir.Float]:
        with blas.without_threads():
            return self._piece.run(inputs, np.empty(self._piece.size(inputs), np.float32))
