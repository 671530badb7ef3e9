"""The fit: what it wrote still holds, and it has fewer parameters than targets."""

import pytest

import topologies
from producers import fit
from producers.economy import Economy
from producers.fitfile import FitFileError, put, write
from topologies import claims


def test_the_committed_fit_holds() -> None:
    topology = topologies.load("china")
    economy = Economy(topology, 7)
    for target in fit.TARGETS:
        model = target.measure(economy)
        assert model == pytest.approx(topology.economy.fit[target.name].model, rel=1e-4), target.name
        if not target.least:
            assert model == pytest.approx(target.value, rel=0.01), target.name


def test_fewer_parameters_than_targets_and_none_that_should_emerge() -> None:
    assert len(fit.PARAMETERS) < len(fit.TARGETS)
    emerging = {claim.id for claim in claims.load().values() if claim.kind == "emerges"}
    assert not emerging & {target.name for target in fit.TARGETS}


def test_writing_touches_only_the_fitted_figures() -> None:
    text = "name: x\neconomy:\n  # a comment\n  a:\n    b: 1  # kept\n  c: 2\n"
    assert put(text, ("economy", "a", "b"), 1e-5) == text.replace("b: 1 ", "b: 1.0e-05 ")
    rows = {"row": {"target": 1.0, "model": 2.0, "relative": 1.0}}
    once = write(text, {("c",): 3.5}, rows)
    assert "  c: 3.5\n" in once
    assert write(once, {("c",): 3.5}, rows) == once
    with pytest.raises(FitFileError, match="no line for"):
        put(text, ("economy", "z"), 1.0)
