"""The fit: what it wrote still holds, and it is as determined as it says."""

from pathlib import Path

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

import topologies
from producers import fit, fitlending
from producers.economy import Economy
from producers.fitfile import FitFileError, put, write
from topologies import claims


def test_the_committed_fit_holds() -> None:
    topology = topologies.load("china")
    economy = Economy(topology, 7)
    for row in (*fit.TARGETS, *fit.BESIDE):
        assert row.measure(economy) == pytest.approx(topology.economy.fit[row.name].model, rel=1e-4), row.name
    for target in fit.TARGETS:
        assert target.measure(economy) == pytest.approx(target.value, rel=0.01), target.name
    assert topology.economy.fit.keys() == {row.name for row in (*fit.TARGETS, *fit.BESIDE)}


def test_the_fit_is_exactly_determined_and_says_so() -> None:
    rows = [*fit.TARGETS, *(fit.Target(row.name, row.value, row.measure, 0.01) for row in fit.BESIDE)]
    jacobian = fit.jacobian(topologies.load("china"), 7, rows)
    targets = jacobian[: len(fit.TARGETS)]
    assert np.linalg.matrix_rank(targets, tol=1.0) == len(fit.PARAMETERS) == len(fit.TARGETS)
    assert np.linalg.matrix_rank(jacobian, tol=1e-3) == len(fit.PARAMETERS), "what stands beside adds no equation"
    by_name = dict(zip([row.name for row in rows], jacobian, strict=True))
    assert not by_name["pay.bank-incidents"].any(), "no parameter moves what was set"
    followed = by_name["pay.unionpay-share"] * -0.08 / 0.9  # the same tolerance, relative to another figure
    assert by_name["pay.duopoly"] == pytest.approx(followed, abs=1e-6)
    assert f"exactly determined: {len(fit.PARAMETERS)} parameters, {len(fit.TARGETS)} targets" in fit.EXACT
    assert "exactly" in (fit.__doc__ or "")


def test_no_target_should_emerge() -> None:
    emerging = {claim.id for claim in claims.load().values() if claim.kind == "emerges"}
    lending = [target.name.split(" ")[0] for group in fitlending.GROUPS for target in group.targets]
    assert not emerging & {*lending, *(target.name for target in fit.TARGETS)}


def test_the_lending_fit_has_fewer_parameters_than_targets_and_holds() -> None:
    topology = topologies.load("china")
    targets = [target for group in fitlending.GROUPS for target in group.targets]
    parameters = [parameter for group in fitlending.GROUPS for parameter in group.parameters]
    assert len(parameters) < len(targets)
    assert topology.lending.fit.keys() == {target.name for target in targets}
    figures = fitlending.Figures(topology, 7)
    for target in (*fitlending.GROUPS[1].targets, *fitlending.GROUPS[3].targets):  # the cheaper ones
        assert target.measure(figures) == pytest.approx(topology.lending.fit[target.name].model, rel=1e-4), target.name


def test_writing_touches_only_the_fitted_figures() -> None:
    text = "name: x\neconomy:\n  # a comment\n  a:\n    b: 1  # kept\n  c: 2\n"
    assert put(text, ("economy", "a", "b"), 1e-5) == text.replace("b: 1 ", "b: 1.0e-05 ")
    rows = {"row": {"target": 1.0, "model": 2.0, "relative": 1.0}}
    once = write(text, "economy", {("c",): 3.5}, rows, "producers.fit")
    assert "  c: 3.5\n" in once
    assert write(once, "economy", {("c",): 3.5}, rows, "producers.fit") == once
    with pytest.raises(FitFileError, match="no line for"):
        put(text, ("economy", "z"), 1.0)


def test_the_lending_section_is_written_in_place() -> None:
    text = Path(topologies.__file__).with_name("china.yaml").read_text()
    row = {"target": 0.032, "model": 0.0321, "relative": 0.003}
    rows, by = {"loan.baitiao-bad": row}, "producers.fitlending"
    written = write(text, "lending", {("mean",): -1.5, ("regional", "bargain", "beta"): 0.125}, rows, by)
    again = write(written, "lending", {}, rows, by)
    assert again == written
    section = yaml.safe_load(written)["lending"]
    assert (section["mean"], section["regional"]["bargain"]["beta"]) == (-1.5, 0.125)
    assert section["fit"] == rows
    assert yaml.safe_load(written)["economy"] == yaml.safe_load(text)["economy"]
    before, after = text.split("\n"), written.split("\n")
    assert [line for line in after if line not in before and "loan.baitiao-bad" not in line] == [
        line for line in after if line.startswith(("  mean: -1.5", "      beta: 0.125"))
    ]
