"""Claims about partnership lending, co-financing and joint loans (sections 3.2, 4.2 and 4.3 of the paper).

What holds of each loan the engine checks as it folds: a step out of order, by another actor or with other parts than
the product allows is refused with an alert `loan-order`, a joint loan above the cap raises `loan-cap`. So where there
is neither, it holds event by event; the sums beside show that there were such loans.
"""

from datetime import timedelta

from jinliu.report import intervals
from jinliu.report.facts import Facts, Row, UncoveredError, named, some, total, year
from jinliu.report.intervals import Interval
from jinliu.report.measured import Measured, measures

FEES, JOINT, LOANS = "channel-fees", "joint-lending", "loans"
ALL, NONE = "ALL", "none"
ORDER_RULE, CAP_RULE = "loan-order", "loan-cap"
CAP_LEVER, CAP = "joint-loan-cap", 0.3
LEAST, MOST = 0.01, 0.2
LIFE = timedelta(days=366)
"""How long a joint loan runs: behind it no interest is of loans from before the cap."""


def _accepted(facts: Facts) -> tuple[bool, tuple[str, ...], str]:
    """Whether every step of every loan was accepted, where that is read, and in words."""
    alerts, dead = facts.raw.alerts().get(ORDER_RULE, 0), facts.raw.dead(LOANS)
    read = (f"topic alerts, rule {ORDER_RULE} ({alerts:,})", f"metrics.accounting topic={LOANS} ({dead:,} dead)")
    return not alerts and not dead, read, f"{alerts:,} alerts {ORDER_RULE}, {dead:,} steps refused"


ROUND_THE_END = 2
"""A commission is paid a second behind the loan, which may be in the next month."""


def _channels(facts: Facts) -> tuple[list[Row], str]:
    """Rows by bank and platform over all whole months of the run."""
    period = facts.months()
    rows = [
        row for row in facts.over(FEES, period) if row["bank"] not in (ALL, NONE) and row["platform"] not in (ALL, NONE)
    ]
    return rows, named(FEES, rows, period, bank="each", platform="each")


@measures("coop.partnership")
def partnership(facts: Facts) -> Measured:
    """Partnership loans: referred for a commission, and each step by whom and when it should be."""
    rows, cells = _channels(facts)
    loans, commissions = total(rows, "partnership_loans"), total(rows, "commissions")
    some([row for row in rows if row["partnership_loans"]], "partnership loan")
    held, read, note = _accepted(facts)
    fee = total(rows, "commission_weighted_fen") / total(rows, "partnership_weighted_fen")
    return Measured(
        held,
        (None,),
        (*read, cells),
        besides={"one commission was paid for each": abs(loans - commissions) <= ROUND_THE_END and fee > 0},
        note=f"{loans:,} partnership loans, {commissions:,} commissions of {fee:.2%}; {note}",
    )


@measures("coop.cofinance")
def cofinance(facts: Facts) -> Measured:
    """Co-financed loans: 1% to 20% from the facilitator, the rest from the bank, and no commission."""
    rows, cells = _channels(facts)
    loans, amount = total(rows, "cofinanced_loans"), total(rows, "cofinanced_weighted_fen")
    some([row for row in rows if row["cofinanced_loans"]], "co-financed loan")
    held, read, note = _accepted(facts)
    # Of partnership loans the bank funds all, so what it does not fund of referred ones is the facilitators' part.
    part = (amount + total(rows, "partnership_weighted_fen") - total(rows, "referred_weighted_fen")) / amount
    apart = [row for row in rows if row["cofinanced_loans"] and not row["partnership_loans"]]
    return Measured(
        held,
        (None,),
        (*read, cells),
        besides={
            "facilitators' part of all between 1% and 20%": LEAST <= part <= MOST,
            "no commission where nothing else was referred": not total(apart, "commissions"),
        },
        note=f"{loans:,} co-financed loans, facilitators' part {part:.1%}; {note}",
    )


@measures("coop.cap")
def cap(facts: Facts) -> Measured:
    """Joint loans while the cap holds: none of them above it."""
    period = facts.months(facts.decided(CAP_LEVER, CAP))
    cells = facts.over(JOINT, period)
    rows = [row for row in cells if row["platform"] == ALL and row["bank"] == ALL]
    some([row for row in rows if row["loans"]], "joint loan")
    alerts = facts.raw.alerts().get(CAP_RULE, 0)
    shares = [row["platform_share"] for row in cells if row["loans"]]
    share = total(rows, "platform_funded_weighted_fen") / total(rows, "funded_weighted_fen")
    return Measured(
        not alerts,
        (None,),
        (f"topic alerts, rule {CAP_RULE} ({alerts:,})", named(JOINT, cells, period, platform="each", bank="each")),
        besides={"no month's sum of a platform and bank above it": max(shares) <= CAP},
        note=f"{total(rows, 'loans'):,} joint loans while it holds, platforms' part {share:.1%}",
    )


@measures("coop.reverse-referral")
def reverse_referral(facts: Facts) -> Measured:
    """Co-financed loans whose customer the bank introduces to the platform."""
    regional = facts.topology.lending.regional
    if regional is None or not regional.introduced:
        raise UncoveredError("measured in the scenario abroad, which this run is not")
    steps = facts.raw.steps()
    by = {actor: steps.referrals.get(("COFINANCED", actor), 0) for actor in ("BANK", "PLATFORM")}
    held, read, note = _accepted(facts)
    return Measured(
        held and by["BANK"] > 0,
        (None,),
        (f"topic loans, {sum(by.values()):,} events REFERRED of co-financed loans in stretches of every shard", *read),
        note=f"{by['BANK']:,} by the bank, {by['PLATFORM']:,} by the platform; {note}",
    )


@measures("coop.split")
def split(facts: Facts) -> Measured:
    """The platforms' share of the interest of joint loans that were made while the cap held."""
    period = facts.months(facts.decided(CAP_LEVER, CAP) + LIFE)
    found = facts.over(JOINT, period, platform=ALL, bank=ALL)
    rows = some([row for row in found if row["interest_weighted_fen"]], "interest of joint loans")
    parts = [float(row["platform_revenue_weighted_fen"]) for row in rows]
    wholes = [float(row["interest_weighted_fen"]) for row in rows]
    by_share = total(rows, "platform_interest_weighted_fen") / sum(wholes)
    service = total(rows, "service_weighted_fen") / sum(wholes)
    return Measured(
        sum(parts) / sum(wholes),
        (intervals.ratio(parts, wholes, rows[0]["window"]),),
        (named(JOINT, rows, period, platform=ALL, bank=ALL),),
        note=f"{by_share:.1%} by its contribution, {service:.1%} by the service share",
    )


@measures("coop.capital-cost")
def capital_cost(facts: Facts) -> Measured:
    """The platforms' cost of funds less the banks', a year, on the same joint loans."""
    period = facts.usual()
    found = facts.over(JOINT, period, platform=ALL, bank=ALL)
    rows = some([row for row in found if row["due_weighted_fen"]], "instalment of joint loans")
    bank = (
        [12.0 * row["bank_funding_weighted_fen"] for row in rows],
        [float(row["bank_due_weighted_fen"]) for row in rows],
    )
    platform = (
        [12.0 * row["platform_funding_weighted_fen"] for row in rows],
        [float(row["due_weighted_fen"] - row["bank_due_weighted_fen"]) for row in rows],
    )
    costs = [sum(parts) / sum(wholes) for parts, wholes in (platform, bank)]
    return Measured(
        costs[0] - costs[1],
        (intervals.difference(platform, bank, rows[0]["window"]),),
        (named(JOINT, rows, period, platform=ALL, bank=ALL),),
        note=f"platforms {costs[0]:.2%}, banks {costs[1]:.2%}",
    )


@measures("coop.long-tail")
def long_tail(facts: Facts) -> Measured:
    """Borrowers with a first loan through a platform in 2022 over 2021, less 1."""
    counts, variances, told, read = [], [], [], []
    for number in (2021, 2022):
        found = facts.over(FEES, year(number))
        cells = [row for row in found if row["first_loans"] and ALL not in (row["bank"], row["platform"])]
        some(cells, f"first loan through a platform in {number}")
        counts.append(float(total(cells, "first_loans_weighted")))
        variances.append(sum(row["first_loans_weighted"] ** 2 / row["first_loans"] for row in cells))
        told.append(total(cells, "first_loans"))
        read.append(named(FEES, cells, year(number), bank="each", platform="each"))
    interval: Interval = intervals.growth(counts[1], variances[1], counts[0], variances[0])
    note = f"{told[0]:,} first borrowers of the sample in 2021, {told[1]:,} in 2022"
    return Measured(counts[1] / counts[0] - 1, (interval,), tuple(read), note=note)
