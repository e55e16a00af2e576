"""Memory goes back to the system after a few new sizes, not for each, and not for those that come again."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mrcnn_cv.util import memory


def test_every_few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[None] = []
    monkeypatch.setattr(memory, "give_back", lambda: given.append(None))
    sizes = memory.EveryFewSizes(3)
    counts = []
    for side in (1, 1, 2, 1, 2, 3, 4, 5, 5, 6):
        sizes.saw((1, 3, side, side), (side,))
        counts.append(len(given))
    assert counts == [0, 0, 0, 0, 0, 1, 1, 1, 1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' C libraries give memory back by themselves")
def test_what_is_free_goes_back() -> None:
    """Of many blocks with a small one behind each, glibc gives none back by itself."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1])

    if memory._trim() is None:
        pytest.skip("this C library has no malloc_trim")
    blocks = [np.ones(1 << 13) for _ in range(1000)]
    kept = [np.ones(100) for _ in blocks]
    before = resident()
    del blocks
    memory.give_back()
    assert len(kept) == 1000
    assert before - resident() > 4000
