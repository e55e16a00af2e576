"""What a net of several pieces does with memory and with the threads of numpy's BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from mrcnn_cv.engines.opencv import hybrid
from mrcnn_cv.engines.opencv.blas_conv import Product
from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.graph import ir
from mrcnn_cv.graph.net_builder import NetBuilder

CHANNELS = 256


def net_of_products(count: int = 4) -> ir.NetGraph:
    """Convolutions of one point, one behind the other, which numpy multiplies."""
    build, at = NetBuilder((ir.IMAGE,)), ir.IMAGE
    weight = np.random.default_rng(0).normal(size=(CHANNELS, CHANNELS, 1, 1)).astype(np.float32) / 16
    for number in range(count):
        at = build.add(ir.Conv2d, f"conv{number}", [at], weight=weight)
        at = build.add(ir.MaxPool2d, f"pool{number}", [at], kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1))
    return build.finish([at])


@pytest.fixture
def net() -> hybrid.HybridNet:
    made = make_net(net_of_products(), BACKENDS["cpu"], size=None)
    assert isinstance(made, hybrid.HybridNet)
    assert any(isinstance(piece, Product) for piece in made._pieces)
    return made


IMAGE = np.random.default_rng(1).normal(size=(1, CHANNELS, 24, 30)).astype(np.float32)


def test_memory_is_used_again_in_the_next_run(net: hybrid.HybridNet, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    take = hybrid._Memory.take

    def noted(self: hybrid._Memory, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        taken.append(take(self, size))
        return taken[-1]

    monkeypatch.setattr(hybrid._Memory, "take", noted)
    first = net.run({ir.IMAGE: IMAGE})
    # Held here, so that no array gets the place of another one.
    before = {id(memory) for memory in taken}
    assert len(before) < len(taken)
    count = len(taken)
    second = net.run({ir.IMAGE: IMAGE})
    assert {id(memory) for memory in taken[count:]} <= before
    np.testing.assert_array_equal(first[0], second[0])


def test_blas_makes_no_threads_while_a_net_runs(net: hybrid.HybridNet, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = ThreadpoolController().select(user_api="blas")
    counts: list[int] = []
    run = Product.run

    def noted(self: Product, *arguments: object) -> object:
        counts.append(max(each.get_num_threads() for each in controller.lib_controllers))
        return run(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Product, "run", noted)
    with threadpool_limits(2, user_api="blas"):
        if max((each.get_num_threads() for each in controller.lib_controllers), default=1) < 2:
            pytest.skip("this BLAS has one thread")
        net.run({ir.IMAGE: IMAGE})
        assert set(counts) == {1}
        assert max(each.get_num_threads() for each in controller.lib_controllers) == 2


def test_blas_makes_no_threads_while_weights_are_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = ThreadpoolController().select(user_api="blas")
    counts: list[int] = []
    running = hybrid._running

    def noted(*arguments: Any) -> hybrid.Running:
        counts.append(max(each.get_num_threads() for each in controller.lib_controllers))
        return running(*arguments)

    monkeypatch.setattr(hybrid, "_running", noted)
    with threadpool_limits(2, user_api="blas"):
        if max((each.get_num_threads() for each in controller.lib_controllers), default=1) < 2:
            pytest.skip("this BLAS has one thread")
        make_net(net_of_products(), BACKENDS["cpu"], size=None)
    assert set(counts) == {1}
