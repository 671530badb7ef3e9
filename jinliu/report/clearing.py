"""Claims about routing, clearing and interfaces (sections 2.2, 4.1 and 4.3 of the paper)."""

from datetime import date

from jinliu.report import intervals
from jinliu.report.facts import Facts, Period, Row, UncoveredError, by_window, named, total
from jinliu.report.measured import Measured, measures

QUALITY = "payment-quality"
PLATFORM = "platform_payments_weighted"
STATED_CAPACITY = 1e9
LIMIT_MS = 200
UNDER_SHARE = 0.99


def _severed(facts: Facts) -> date:
    """The day from which platforms must go through the network."""
    return facts.decided("route", "NETWORK")


def _next_month(day: date) -> date:
    return day if day.day == 1 else date(day.year + day.month // 12, day.month % 12 + 1, 1)


@measures("clear.severed")
def severed(facts: Facts) -> Measured:
    """Platform payments still routed DIRECT in the whole months after the policy date."""
    period = facts.months(_severed(facts))
    rows = facts.over(QUALITY, period, institution="ALL")
    direct = total([row for row in rows if row["route"] == "DIRECT"], PLATFORM)
    whole = total([row for row in rows if row["route"] == "ALL"], PLATFORM)
    read = named(QUALITY, rows, period, institution="ALL", route=("DIRECT", "ALL"))
    return Measured(direct / whole, (None,), (read,), note="every event counted, nothing sampled")


@measures("clear.visibility", put_in=("levers.route.decisions",))
def visibility(facts: Facts) -> Measured:
    """Share of platform payments whose counterparty the payer's bank sees, before and after the policy date.

    By definition: a bank sees what does not come DIRECT, so the date of the route decides both shares.
    """
    day = _severed(facts)
    first, last = facts.months(), facts.months(day)
    before, after = Period(first.first, day.replace(day=1)), Period(_next_month(day), last.after)
    if before.days <= 0:
        raise UncoveredError(
            f"needs a run that begins at least one whole month before {day}; this one is over {facts.span}"
        )
    shares, bounds, read = [], [], []
    for period in (before, after):
        rows = facts.over(QUALITY, period, institution="ALL", route="ALL")
        parts, wholes = [float(row["detail_visible_weighted"]) for row in rows], [float(row[PLATFORM]) for row in rows]
        shares.append(sum(parts) / sum(wholes))
        bounds.append(intervals.ratio(parts, wholes, rows[0]["window"]))
        read.append(named(QUALITY, rows, period, institution="ALL", route="ALL"))
    note = "by definition: what does not come DIRECT is seen, so the route's date decides"
    return Measured(tuple(shares), tuple(bounds), tuple(read), note=note)


def _network(facts: Facts) -> tuple[Period, list[Row]]:
    period = facts.usual(_severed(facts))
    return period, facts.over(QUALITY, period, institution="ALL", route="NETWORK")


def _capacity(facts: Facts) -> float:
    """The network's capacity before any decision, payments a day."""
    return float(facts.topology.levers["network-capacity"].baseline) * 1e9


@measures("clear.success")
def success(facts: Facts) -> Measured:
    """Failures of the network's payments.

    Timed out or over capacity, weighted. What the fraud decision blocks is no failure.
    """
    period, rows = _network(facts)
    if _capacity(facts) <= STATED_CAPACITY:
        raise UncoveredError(
            f"needs capacity for the whole demand; topology {facts.topology.name} has what the paper states"
        )
    failed = [float(row["timeouts_weighted"] + row["over_capacity_weighted"]) for row in rows]
    routed = [float(row["attempts_weighted"]) for row in rows]
    told = total(rows, "timeouts") + total(rows, "over_capacity")
    interval = intervals.ratio(failed, routed, rows[0]["window"])
    read = named(QUALITY, rows, period, institution="ALL", route="NETWORK")
    return Measured(
        sum(failed) / sum(routed),
        (interval,),
        (read,),
        note=f"{told} failures told; {1 - sum(failed) / sum(routed):.4%} succeed",
    )


@measures("clear.conflict")
def conflict(facts: Facts) -> Measured:
    """Payments a day that must cross the network over the capacity the paper states for it."""
    period, rows = _network(facts)
    routed = [float(row["attempts_weighted"]) for row in rows]
    value = sum(routed) / period.days / STATED_CAPACITY
    interval = intervals.total(routed, rows[0]["window"], 1 / period.days / STATED_CAPACITY)
    succeeded = total(rows, "successes_weighted") / sum(routed)
    note = (
        f"{value:.1f} billion a day over the 1 billion stated; with the capacity of topology {facts.topology.name}, "
        f"{_capacity(facts) / 1e9:g} billion, {succeeded:.4%} succeed"
    )
    return Measured(value, (interval,), (named(QUALITY, rows, period, institution="ALL", route="NETWORK"),), note=note)


@measures("api.limit")
def limit(facts: Facts) -> Measured:
    """The slowest certified institution's 99th percentile, its months since certification.

    Some uncertified ones are slower.
    """
    period = facts.usual()
    rows = [row for row in facts.over(QUALITY, period, route="ALL") if row["institution"] != "ALL"]
    certified = _by_institution([row for row in rows if row["certified"]])
    never = {
        name: months for name, months in _by_institution(rows).items() if not any(row["certified"] for row in months)
    }
    if not certified:
        raise UncoveredError(f"no institution was certified before a month of {period} began")
    slowest = max(certified, key=lambda name: _p99(certified[name]))
    exceeding = [name for name, months in never.items() if _p99(months) >= LIMIT_MS]
    read = named(QUALITY, rows, period, institution=f"each of {len(certified)} certified", route="ALL")
    return Measured(
        _p99(certified[slowest]),
        (intervals.mean([row["latency_p99_ms"] for row in certified[slowest]], "month"),),
        (read, named(QUALITY, rows, period, institution=f"each of {len(never)} never certified", route="ALL")),
        besides={
            "some uncertified exceed it": bool(exceeding),
            "99% of every certified institution's payments under 200 ms": all(
                _under(months) for months in certified.values()
            ),
        },
        note=f"slowest certified: {slowest}; {len(exceeding)} of {len(never)} uncertified exceed 200 ms",
    )


def _by_institution(rows: list[Row]) -> dict[str, list[Row]]:
    out: dict[str, list[Row]] = {}
    for row in rows:
        out.setdefault(row["institution"], []).append(row)
    return out


def _p99(months: list[Row]) -> float:
    """99th percentile in ms: the months' mean, weighted by attempts."""
    whole = total(months, "attempts_weighted")
    return sum(float(row["latency_p99_ms"]) * int(row["attempts_weighted"]) for row in months) / whole


def _under(months: list[Row]) -> bool:
    return total(months, "under_200_ms_weighted") > UNDER_SHARE * total(months, "attempts_weighted")


@measures("api.middleware")
def middleware(facts: Facts) -> Measured:
    """Mean latency through protocol conversion over native, same banks and routes (direct standardisation)."""
    period = facts.usual()
    rows = [row for row in facts.over(QUALITY, period) if "ALL" not in (row["institution"], row["route"])]
    both = [row for row in rows if row["middleware_weighted"] and row["native_weighted"]]
    if not both:
        raise UncoveredError(f"no bank answered both ways over {period}")
    parts, wholes = [], []
    for window in by_window(both):
        parts.append(sum(float(row["middleware_weighted"]) * row["middleware_latency_ms"] for row in window))
        wholes.append(sum(float(row["middleware_weighted"]) * row["native_latency_ms"] for row in window))
    names = {row["institution"] for row in both}
    read = named(QUALITY, both, period, institution=f"each of {len(names)} with both", route="each")
    return Measured(sum(parts) / sum(wholes), (intervals.ratio(parts, wholes, both[0]["window"]),), (read,))


@measures("tech.fraud-accuracy")
def fraud_accuracy(facts: Facts) -> Measured:
    """Accuracy of the platforms' fraud decision, with precision and recall."""
    period = facts.usual()
    rows = facts.over(QUALITY, period, institution="ALL", route="ALL")
    tp, fp, fn, tn = (
        total(rows, f"{name}_weighted")
        for name in ("true_positive", "false_positive", "false_negative", "true_negative")
    )
    right = [float(row["true_positive_weighted"] + row["true_negative_weighted"]) for row in rows]
    wholes = [float(row[PLATFORM]) for row in rows]
    precision, recall = (tp / (tp + fp) if tp + fp else 0.0), (tp / (tp + fn) if tp + fn else 0.0)
    trivial = (tn + fp) / sum(wholes)
    return Measured(
        sum(right) / sum(wholes),
        (intervals.ratio(right, wholes, rows[0]["window"]),),
        (named(QUALITY, rows, period, institution="ALL", route="ALL"),),
        note=f"precision {precision:.2%}, recall {recall:.1%}; calling everything legitimate would score {trivial:.4%}",
    )
