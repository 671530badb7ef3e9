"""Claims about what institutions do beside payments.

Certification, research, decisions and releases (sections 4.1 and 4.4), costs, fees and new users (2.2, 3.1 and 4.2).
"""

from datetime import timedelta

from jinliu.report import intervals
from jinliu.report.facts import Facts, Period, Row, UncoveredError, named, some, total, year
from jinliu.report.intervals import Interval
from jinliu.report.measured import Measured, measures

DOINGS, INCOME = "institutions", "bank-income"


@measures("api.certified", put_in=("institutions.certified",))
def certified(facts: Facts) -> Measured:
    """Institutions whose interface was certified, by the events that say so."""
    days = [item.certified for item in facts.topology.institutions if item.certified]
    if (days and min(days) < facts.span.first) or (days and max(days) >= facts.span.after):
        needed = Period(min(days), max(days) + timedelta(days=1))
        raise UncoveredError(f"needs a run over the certifications, {needed}; this one is over {facts.span}")
    period = facts.months()
    rows = [row for row in facts.over(DOINGS, period) if row["certifications"]]
    events, names = total(rows, "certifications"), {row["institution"] for row in rows}
    return Measured(
        len(names),
        (None,),
        (named(DOINGS, rows, period, institution="each"),),
        besides={"each certified once": events == len(names)},
        note=f"{events} certification events; every event counted, nothing sampled",
    )


def _ratio(rows: list[Row], part: str, whole: str) -> tuple[float, Interval | None]:
    """A ratio over institutions, each a cluster."""
    names = sorted({row["institution"] for row in rows})
    parts = [float(total([row for row in rows if row["institution"] == name], part)) for name in names]
    wholes = [float(total([row for row in rows if row["institution"] == name], whole)) for name in names]
    if not sum(wholes):
        raise UncoveredError(f"no {whole} were told in the closed windows")
    return sum(parts) / sum(wholes), intervals.ratio(parts, wholes, "institution")


@measures("org.rnd")
def research(facts: Facts) -> Measured:
    """Banks' research spend over revenue in 2018 and in 2022."""
    shares, bounds, read = [], [], []
    if facts.span.first > year(2018).first or facts.span.after < year(2022).after:
        raise UncoveredError(
            f"needs a run over {Period(year(2018).first, year(2022).after)}; this one is over {facts.span}"
        )
    for number in (2018, 2022):
        rows = [row for row in facts.over(DOINGS, year(number), "year") if row["institution"] in facts.topology.banks]
        share, interval = _ratio(rows, "research_fen", "revenue_fen")
        shares.append(share)
        bounds.append(interval)
        read.append(named(DOINGS, rows, year(number), institution="each bank"))
    return Measured(tuple(shares), tuple(bounds), tuple(read))


@measures("org.cycle")
def cycle(facts: Facts) -> Measured:
    """Days from proposal to decision at banks, and between releases at platforms."""
    period = facts.usual()
    rows = facts.over(DOINGS, period)
    platforms = facts.institutions("platform")
    at_banks = [row for row in rows if row["institution"] in facts.topology.banks]
    at_platforms = [row for row in rows if row["institution"] in platforms]
    decision, decisions = _ratio(at_banks, "decision_days", "decisions")
    release, releases = _ratio(at_platforms, "release_days", "releases")
    read = (
        named(DOINGS, at_banks, period, institution="each bank"),
        named(DOINGS, at_platforms, period, institution=tuple(platforms)),
    )
    return Measured((decision, release), (decisions, releases), read)


@measures("coop.cac")
def acquisition(facts: Facts) -> Measured:
    """What a new payment user costs a bank on its own mobile payment and through a platform, yuan."""
    period = facts.usual()
    rows = [row for row in facts.over(DOINGS, period) if row["institution"] in facts.topology.banks]
    values, bounds, users = [], [], []
    for way in ("own", "platform"):
        cost, interval = _ratio(rows, f"{way}_acquisition_fen", f"{way}_users")
        values.append(cost / 100)
        bounds.append(intervals.scaled(interval, 0.01))
        users.append(total(rows, f"{way}_users"))
    read = (named(DOINGS, rows, period, institution="each bank"),)
    note = f"{users[0]:,} new users on banks' own, {users[1]:,} through platforms"
    return Measured(tuple(values), tuple(bounds), read, note=note)


@measures("org.branch-cost")
def branch_cost(facts: Facts) -> Measured:
    """Cost of branches and labour over the operating cost of all banks."""
    period = facts.usual()
    rows = [row for row in facts.over(INCOME, period) if row["bank"] != "ALL"]
    cells: dict[str, list[Row]] = {}
    for row in rows:
        cells.setdefault(row["bank"], []).append(row)
    parts = [float(total(cell, "branch_cost_fen") + total(cell, "labour_cost_fen")) for cell in cells.values()]
    rest = [float(total(cell, "other_cost_fen")) for cell in cells.values()]
    wholes = [part + other for part, other in zip(parts, rest, strict=True)]
    if not sum(wholes):
        raise UncoveredError(f"no bank told a cost over {period}")
    read = named(INCOME, rows, period, bank=f"each of {len(cells)}")
    return Measured(sum(parts) / sum(wholes), (intervals.ratio(parts, wholes, "bank"),), (read,))


@measures("pay.bank-profit")
def bank_profit(facts: Facts) -> Measured:
    """Fee income of banks that comes through platform payments, yuan a year."""
    period = facts.usual()
    rows = some(facts.over(INCOME, period, bank="ALL"), "bank's income")
    fees, scale = [float(row["platform_fees_fen"]) for row in rows], 0.01 * 365 / period.days
    share = total(rows, "platform_fees_fen") / max(1, total(rows, "revenue_fen"))
    return Measured(
        sum(fees) * scale,
        (intervals.total(fees, rows[0]["window"], scale),),
        (named(INCOME, rows, period, bank="ALL"),),
        note=f"{share:.1%} of what banks earn by it and by loans, net of funding and commission",
    )
