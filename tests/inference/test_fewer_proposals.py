"""`--fast`: a third of the proposals, and a word about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.hub import demo_model
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.inference.proposals import with_fewer_proposals


@pytest.mark.parametrize(("proposals", "left"), [(1000, 333), (100, 33), (45, 20), (20, 20), (3, 3)])
def test_a_third_of_the_proposals_but_not_too_few(proposals: int, left: int) -> None:
    spec = open_model(demo_model()).definition
    spec = replace(spec, proposal_nms=replace(spec.proposal_nms, max_total=proposals))
    found = with_fewer_proposals(spec)
    assert found.proposal_nms.max_total == left
    assert replace(found, proposal_nms=spec.proposal_nms, warnings=spec.warnings) == spec
    said = [f"fast mode uses {left} proposals instead of {proposals}"] if left < proposals else []
    assert [note.partition(",")[0] for note in found.warnings[len(spec.warnings) :]] == said


def test_a_model_is_loaded_so() -> None:
    model = MaskRCNN.load(demo_model(), "cpu", fast=True)
    assert model.definition.proposal_nms.max_total == 21
    assert any("fast mode uses 21 proposals" in note for note in model.warnings)
