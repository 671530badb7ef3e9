"""Claims about a difference between two runs with one seed, one lever apart (sections 4.1, 4.3 and 5.1.2 of the paper).

Both worlds are simulated here (`jinliu.worlds`): the run's own, and the same with the lever moved, the same people with
the same draws. So their difference is taken shard by shard, and its interval is Student's over the shards.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinliu.report import intervals
from jinliu.report.facts import Facts, Row, UncoveredError, named, some, total
from jinliu.report.intervals import Interval
from jinliu.report.measured import Measured, measures

if TYPE_CHECKING:
    from topologies.lending import Lending, TermsFigures

RATES, JOINT = "default-rates", "joint-lending"
ALL = "ALL"
SHARING, CAP, CONVERSION = "data-sharing", "joint-loan-cap", "protocol-conversion"
DAY_MS = 86_400_000
LEAST_PAIRS = 5_400
"""Applicants whom the real-time lenders would take, so that a difference of 2.3 points can be told."""
Statistic = Callable[[list[Row]], float]
"""A figure of a world's rows. Raises UncoveredError where they hold nothing of it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A figure in two worlds, before and after the lever was moved; by shard, where both have it."""

    rows: tuple[list[Row], list[Row]]
    values: tuple[float, float]
    shards: tuple[tuple[float, float], ...]
    read: tuple[str, str]

    @property
    def differences(self) -> list[float]:
        """After less before, by shard."""
        return [after - before for before, after in self.shards]

    def bounds(self, of: Callable[[Sequence[float], str], Interval | None]) -> tuple[Interval | None, Interval | None]:
        """Intervals of the two values. of: `intervals.mean` or `intervals.total`."""
        return of([before for before, _ in self.shards], "shard"), of([after for _, after in self.shards], "shard")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of two worlds: a lever and its two values, a metric, whose loans, and rows of which keys."""

    lever: str
    before: Any
    after: Any
    metric: str
    pools: Collection[str]
    products: Collection[str]
    key: dict[str, Any]

    def asked(self, facts: Facts, statistic: Statistic) -> Pair:
        """The statistic in both worlds. Raises UncoveredError where they do not have it."""
        told = [
            facts.worlds.told(self.lever, value, self.metric, self.pools, self.products)
            for value in (self.before, self.after)
        ]
        before, after = (self._chosen(each.whole) for each in told)
        shards = []
        for one, other in zip(*(each.shards for each in told), strict=True):
            try:
                shards.append((statistic(self._chosen(one)), statistic(self._chosen(other))))
            except UncoveredError:
                continue  # nothing of it fell into this shard
        return Pair(
            (before, after),
            (statistic(before), statistic(after)),
            tuple(shards),
            (self._read(facts, before, self.before), self._read(facts, after, self.after)),
        )

    def _chosen(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of the keys, those of vintages left out."""
        return [
            row
            for row in rows
            if row.get("vintage") is None
            and all(row[name] in (value if isinstance(value, tuple) else (value,)) for name, value in self.key.items())
        ]

    def _read(self, facts: Facts, rows: Sequence[Row], value: Any) -> str:
        said = str(value).lower() if isinstance(value, bool) else f"{value:g}"
        return f"simulated with {self.lever} at {said}: {named(self.metric, rows, facts.worlds.span, **self.key)}"


def _offers(lending: "Lending") -> list[tuple[str, str, "TermsFigures"]]:
    """(pool, lender, terms) of all offers but the small banks', whose borrowers have one bank each."""
    found: list[tuple[str, str, TermsFigures]] = [
        (offer.pool, offer.bank or offer.platform or "", offer) for offer in lending.offers.values()
    ]
    if lending.joint is not None:
        found.append((lending.joint.pool, lending.joint.platform, lending.joint.terms))
    return found


def _who(lending: "Lending", chosen: Callable[[str, "TermsFigures"], bool]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Pools and products of the offers of which `chosen` (of pool and terms) is true.

    Raises UncoveredError where there are none.
    """
    found = [(pool, terms.product) for pool, _, terms in _offers(lending) if chosen(pool, terms)]
    if not found:
        raise UncoveredError("nothing that it is about is lent in this world")
    pools, products = (tuple(dict.fromkeys(names)) for names in zip(*found, strict=True))
    return pools, products


@measures("loan.duplicates")
def duplicates(facts: Facts) -> Measured:
    """Real borrowers with loans of several lenders on the books, a month, without and with shared data."""
    lending = facts.topology.lending
    several = {pool: len({lender for at, lender, _ in _offers(lending) if at == pool}) > 1 for pool in lending.pools}
    pools, products = _who(lending, lambda pool, _: several[pool])
    question = Question(SHARING, False, True, RATES, pools, products, {"lender": ALL, "product": ALL})

    def overlapping(rows: list[Row]) -> float:
        some(rows, "borrower")
        return total(rows, "overlapping_borrowers_weighted") / len(rows)

    pair = question.asked(facts, overlapping)
    share = [total(rows, "overlapping_borrowers") / total(rows, "borrowers") for rows in pair.rows]
    shares = f"{share[0]:.2%} of borrowers where several lend without, {share[1]:.2%} with it"
    note = f"{shares}; {_told(pair, intervals.total)}"
    return Measured(pair.values, pair.bounds(intervals.total), pair.read, note=note)


@measures("loan.sme-days")
def sme_days(facts: Facts) -> Measured:
    """Median days from application to approval of small firms, without and with shared data; the months' mean."""
    pools, products = _who(facts.topology.lending, lambda _, terms: terms.product == "SME")
    question = Question(SHARING, False, True, RATES, pools, products, {"lender": ALL, "product": "SME"})

    def median(rows: list[Row]) -> float:
        approved = some([row for row in rows if row["approvals"]], "approval of a small firm")
        days = sum(row["approval_p50_ms"] * row["approvals"] for row in approved) / DAY_MS
        return float(days / total(approved, "approvals"))

    pair = question.asked(facts, median)
    approvals = [total(rows, "approvals") for rows in pair.rows]
    note = f"{approvals[0]:,} approvals without, {approvals[1]:,} with it; {_told(pair, intervals.mean)}"
    return Measured(pair.values, pair.bounds(intervals.mean), pair.read, note=note)


@measures("coop.cap-depth")
def cap_depth(facts: Facts) -> Measured:
    """Joint loans of the year, yuan, without and with the cap of 30%."""
    pools, products = _who(facts.topology.lending, lambda _, terms: terms.product == "JOINT")
    question = Question(CAP, 1.0, 0.3, JOINT, pools, products, {"platform": ALL, "bank": ALL})

    def volume(rows: list[Row]) -> float:
        some(rows, "joint loan")
        return total(rows, "funded_weighted_fen") / 100

    pair = question.asked(facts, volume)
    loans = [total(rows, "loans") for rows in pair.rows]
    note = f"{loans[0]:,} joint loans without, {loans[1]:,} with it; {_told(pair, intervals.total)}"
    return Measured(pair.values, pair.bounds(intervals.total), pair.read, note=note)


@measures("api.churn")
def churn(facts: Facts) -> Measured:
    """Applicants for real-time credit who leave before the decision, with protocol conversion less without.

    Of those whom the lender takes: approved, or gone before.
    """
    pools, products = _who(facts.topology.lending, lambda _, terms: terms.decision.patience)
    question = Question(CONVERSION, False, True, RATES, pools, products, {"lender": ALL, "product": products})

    def leaving(rows: list[Row]) -> float:
        gone = total(rows, "abandoned_weighted")
        taken = gone + total(rows, "approvals_weighted")
        if not taken:
            raise UncoveredError("nobody asked for real-time credit")
        return gone / taken

    pair = question.asked(facts, leaving)
    told = [total(rows, "abandoned") + total(rows, "approvals") for rows in pair.rows]
    if min(told) < LEAST_PAIRS:
        raise UncoveredError(f"needs at least {LEAST_PAIRS:,} applicants in both worlds; there are {min(told):,}")
    each = []
    for product in products:
        before, after = (leaving([row for row in rows if row["product"] == product]) for rows in pair.rows)
        each.append(f"{product} {100 * (after - before):.1f} points")
    note = f"{pair.values[0]:.2%} leave without, {pair.values[1]:.2%} with it, of {told[0]:,}; {', '.join(each)}"
    interval = intervals.mean(pair.differences, "shard")
    return Measured(pair.values[1] - pair.values[0], (interval,), pair.read, note=note)


def _told(pair: Pair, of: Callable[[Sequence[float], str], Interval | None]) -> str:
    """The difference with its interval, in words."""
    interval = of(pair.differences, "shard")
    said = f" ({interval.low:.4g} to {interval.high:.4g}, t, paired by shard)" if interval is not None else ""
    return f"difference {pair.values[1] - pair.values[0]:.4g}{said}"
