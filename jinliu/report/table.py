"""The report as a table for a terminal."""

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jinliu.report.findings import FAILS, HOLDS, NOT_MEASURED, Finding, Report

STYLE = {HOLDS: "green", FAILS: "bold red", NOT_MEASURED: "dim"}
SIGN = {"gt": "> ", "gte": ">= ", "lt": "< ", "eq": "", "between": "in ", "direction": "", "order": "", "all": "all "}
LARGE, SMALL = 1e5, 1e-3


def render(report: Report, everything: bool = True) -> RenderableType:
    """Claims with kind, paper figure, measured value, interval and verdict; behind it rows, notes and reasons.

    everything: also those that were not measured.
    """
    shown = [finding for finding in report.findings if everything or finding.measured is not None]
    table = Table(title="What the paper says and what this run shows", header_style="bold", expand=False)
    for name, justify in (
        ("claim", "left"),
        ("kind", "left"),
        ("paper", "right"),
        ("measured", "right"),
        ("95% interval", "right"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    table.add_column("verdict")
    for finding in shown:
        table.add_row(*_cells(finding))
    counts = report.counts
    summary = Text(f"{counts[HOLDS]} hold, {counts[FAILS]} fail, {counts[NOT_MEASURED]} not measured. ")
    summary.append(
        "set: an input measured back; fitted: steered a parameter; emerges: in no fit's objective.", style="dim"
    )
    return Group(table, *[line for finding in shown for line in _behind(finding)], summary)


def _cells(finding: Finding) -> tuple[RenderableType, ...]:
    claim, measured = finding.claim, finding.measured
    verdict = Text(finding.verdict, style=STYLE[finding.verdict])
    if measured is None:
        return claim.id, claim.kind, paper_figure(finding), "", "", verdict
    values = measured.value if isinstance(measured.value, tuple) else (measured.value,)
    spans = [f"{figure(i.low)} to {figure(i.high)}" if i else "exact" for i in measured.interval]
    return claim.id, claim.kind, paper_figure(finding), ", ".join(map(figure, values)), ", ".join(spans), verdict


def _behind(finding: Finding) -> list[Text]:
    """The lines that say where a figure was read and what is to be said about it."""
    entry = finding.as_dict()
    lines = []
    if finding.measured is None:
        lines.append(Text(f"{finding.claim.id}: {finding.reason}", style="dim"))
    else:
        method = f" [{entry['method']}]"
        lines.append(Text(f"{finding.claim.id} ({entry['origin']}){method}: {'; '.join(finding.measured.rows)}"))
        if finding.reason:
            lines.append(Text(f"    {finding.reason}", style="red"))
    if entry["note"]:
        lines.append(Text(f"    note: {entry['note']}", style="italic"))
    return lines


def paper_figure(finding: Finding) -> str:
    """The claim's figure with its tolerance: `> 0.9`, `0.08 +- 0.005`."""
    claim = finding.claim
    values = claim.value if isinstance(claim.value, list | tuple) else (claim.value,)
    text = SIGN[claim.check] + ", ".join(_figures(value) for value in values if value is not None)
    return text.strip() if claim.within is None else f"{text} +- {figure(claim.within)}"


def _figures(value: Any) -> str:
    return " to ".join(map(figure, value)) if isinstance(value, list | tuple) else figure(value)


def figure(value: Any) -> str:
    """A number as a person reads it: 3.5e+14, 19.2, 0.0812, 1.0e-05."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if value == 0 or math.isnan(value):
        return "0" if value == 0 else "nan"
    if abs(value) >= LARGE or abs(value) < SMALL:
        return f"{value:.4g}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
