"""Models get and lose their names by calls, as `mrcnn-cv models` makes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mrcnn_cv.errors import LabelFileError, UsageError
from mrcnn_cv.hub import resolve_model
from mrcnn_cv.hub.manage import register, remove
from mrcnn_cv.hub.user_models import user_models


def test_a_registered_model_is_found_by_its_name_until_it_is_removed(home: Path, tiny_graph: Path) -> None:
    assert register("mine", tiny_graph, defaults={"score": "0.7"}) is None
    assert resolve_model("mine").path == tiny_graph
    assert (user_models()["mine"].defaults, user_models()["mine"].classes) == ({"score": "0.7"}, 3)
    with pytest.raises(UsageError, match="already"):
        register("mine", tiny_graph, defaults={})
    assert "no longer registered" in (remove("mine") or "")
    assert remove("mine") is None
    assert tiny_graph.exists()


def test_labels_that_are_missing_register_nothing(home: Path, tiny_graph: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"missing\.txt"):
        register("mine", tiny_graph, tmp_path / "missing.txt", defaults={})
    assert user_models() == {}
