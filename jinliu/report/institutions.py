"""Claims about what institutions do beside payments.

Certification, research, decisions and releases (sections 4.1 and 4.4).
"""

from datetime import timedelta

from jinliu.report import intervals
from jinliu.report.facts import Facts, Period, Row, UncoveredError, named, total, year
from jinliu.report.intervals import Interval
from jinliu.report.measured import Measured, measures

DOINGS = "institutions"


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
