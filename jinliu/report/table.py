"""The report as a table for a terminal: what was measured, where it was read, and why the rest was not."""

import math
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from jinliu.report.findings import FAILS, HOLDS, NOT_MEASURED, Finding, Report

STYLE = {HOLDS: "green", FAILS: "bold red", NOT_MEASURED: "dim"}
SIGN = {"gt": "> ", "gte": ">= ", "lt": "< ", "between": "in "}
COLUMNS = ("claim", "kind", "paper", "measured", "95% interval", "verdict")
RIGHT = COLUMNS[2:5]
LARGE, SMALL = 1e5, 1e-3
LEGEND = (
    "set: an input measured back; fitted: steered a parameter; emerges: in no fit's objective; structure: visible "
    "event by event; counter: a difference between two states; note: the paper's own figures disagree. "
    "put in: what the topology was given for the claim, so that it holds shows only that this comes out again."
)


def render(report: Report, everything: bool = True) -> RenderableType:
    """Measured claims with kind, paper figure, measured value, interval and verdict, then rows and notes.

    everything: also why each of the others was not measured.
    """
    measured = [finding for finding in report.findings if finding.measured is not None]
    table = Table(title="What the paper says and what this run shows", title_justify="left", header_style="bold")
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=True, overflow="ellipsis")
    for finding in measured:
        table.add_row(*_cells(finding))
    behind = [line for finding in measured for line in _behind(finding)]
    rest = list(_unmeasured(report)) if everything else []
    counts = report.counts
    summary = Text(f"{counts[HOLDS]} hold, {counts[FAILS]} fail, {counts[NOT_MEASURED]} not measured", style="bold")
    return Group(table, *behind, *rest, summary, Text(LEGEND, style="dim"))


def _cells(finding: Finding) -> tuple[RenderableType, ...]:
    claim, measured = finding.claim, finding.measured
    assert measured is not None, claim.id
    values = measured.value if isinstance(measured.value, tuple) else (measured.value,)
    none = "-" if any(measured.interval) else "exact"
    spans = ", ".join(f"{figure(i.low)} .. {figure(i.high)}" if i else none for i in measured.interval)
    verdict = Text(finding.verdict, style=STYLE[finding.verdict])
    return claim.id, claim.kind, paper_figure(finding), ", ".join(map(figure, values)), spans, verdict


def _behind(finding: Finding) -> Iterator[RenderableType]:
    """The lines that say where a figure was read and what is to be said about it."""
    entry = finding.as_dict()
    assert finding.measured is not None, finding.claim.id
    yield Text.assemble((finding.claim.id, "bold"), f"  {finding.claim.says} [{finding.claim.at}]")
    yield Padding(Text(f"{entry['origin']}. {entry['method']}. Read from:", style="dim"), (0, 0, 0, 4))
    for row in finding.measured.rows:
        yield Padding(Text(row, style="dim"), (0, 0, 0, 6))
    if finding.set_by:
        yield Padding(Text(f"put in: {', '.join(finding.set_by)}"), (0, 0, 0, 4))
    if finding.reason:
        yield Padding(Text(finding.reason, style="red"), (0, 0, 0, 4))
    if entry["note"]:
        yield Padding(Text(f"note: {entry['note']}", style="italic"), (0, 0, 0, 4))


def _unmeasured(report: Report) -> Iterator[RenderableType]:
    """The claims that were not measured, by reason; with what was put in and the contradictions."""
    reasons: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.measured is None:
            reasons.setdefault(finding.reason, []).append(finding)
    if reasons:
        yield Text("Not measured", style="bold")
    for reason, findings in reasons.items():
        ids = ", ".join(finding.claim.id for finding in findings)
        yield Padding(Text(f"{ids}: {reason}", style="dim"), (0, 0, 0, 2))
        for finding in findings:
            if finding.set_by:
                put_in = f"put in for {finding.claim.id}: {', '.join(finding.set_by)}"
                yield Padding(Text(put_in, style="dim"), (0, 0, 0, 4))
            if finding.claim.note:
                yield Padding(Text(f"note on {finding.claim.id}: {finding.claim.note}", style="italic"), (0, 0, 0, 4))


def paper_figure(finding: Finding) -> str:
    """The claim's figure with its tolerance: `> 0.9`, `0.08 ± 0.005`."""
    claim = finding.claim
    if claim.value is None:
        return claim.check
    values = claim.value if isinstance(claim.value, list | tuple) else (claim.value,)
    text = SIGN.get(claim.check, "") + ", ".join(_figures(value) for value in values)
    return text if claim.within is None else f"{text} ± {figure(claim.within)}"


def _figures(value: Any) -> str:
    return " to ".join(map(figure, value)) if isinstance(value, list | tuple) else figure(value)


def figure(value: Any) -> str:
    """A number as a person reads it, in four digits: 3.5e+14, 19.2, 0.0812, 1e-05."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if value == 0 or math.isnan(value):
        return "0" if value == 0 else "nan"
    if SMALL <= abs(value) < LARGE and abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
