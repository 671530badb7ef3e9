"""`metrics.channel-fees`: what banks pay facilitators for borrowers, and how dependent they become.

Referred loans are PARTNERSHIP (the bank funds all and pays a commission) and COFINANCED (both fund, no commission); own
loans are those in which no second party takes part. The referred share is of the bank's money: its part of referred
loans over its part of all loans funded, joint ones too. Dependence is the same over the twelve calendar months up to
the window's last.

A commission is told without the principal that it was paid for: the fee rate divides by the partnership loans funded in
the same window, which are the same loans where the commission falls due when the loan is paid out.

Default is 90 days past due, as in `metrics.default-rates`; rates since the run began divide what defaulted by what was
funded, so that loans funded before the run raise them at first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.alarm import Alarm
from streams.loanproducts import ALONE, REFERRED
from streams.measures import Measure, Symbol, count, total
from streams.metric import Int64, Merged, Metric, Window, ratio, totalled
from streams.rollup import Rollup
from streams.rows import Row, doc
from streams.windows import month_of

ALL = "ALL"
GROUPS: Mapping[str, Symbol | tuple[Symbol, ...]] = {
    "partnership": "PARTNERSHIP",
    "cofinanced": "COFINANCED",
    "joint": "JOINT",
    "own": ALONE,
}
MONTHS = 12


@dataclass(slots=True, kw_only=True)
class ChannelFeesRow(Row):
    """Loans of one bank (or none, or ALL) through one platform or facilitator (or none, or ALL)."""

    bank: str = doc("Institution id of the bank that puts in money, none, or ALL.")
    platform: str = doc("Institution id of the platform or facilitator, none, or ALL.")
    partnership_loans: int = doc("Partnership loans funded.")
    partnership_loans_weighted: int = doc("Real loans they stand for.")
    partnership_weighted_fen: int = doc("Their real amount, fen.")
    cofinanced_loans: int = doc("Co-financed loans funded.")
    cofinanced_loans_weighted: int = doc("Real loans they stand for.")
    cofinanced_weighted_fen: int = doc("Their real amount, fen.")
    joint_loans: int = doc("Joint loans funded.")
    joint_loans_weighted: int = doc("Real loans they stand for.")
    joint_weighted_fen: int = doc("Their real amount, fen.")
    own_loans: int = doc("Loans funded by one party alone.")
    own_loans_weighted: int = doc("Real loans they stand for.")
    own_weighted_fen: int = doc("Their real amount, fen.")
    commissions: int = doc("Commissions paid to facilitators.")
    commission_fen: int = doc("Their amounts, fen.")
    commission_weighted_fen: int = doc("Real commissions, fen.")
    fee_rate: float | None = doc("commission_weighted_fen / partnership_weighted_fen.")
    first_loans: int = doc("Loans funded that are the first that a platform brought their borrower to a bank for.")
    first_loans_weighted: int = doc("Real loans, and so real first-time borrowers.")
    referred_weighted_fen: int = doc("Real money of the bank in referred loans funded here, fen.")
    bank_weighted_fen: int = doc("Real money of the bank in all loans funded, whatever platform takes part, fen.")
    referred_share: float | None = doc("referred_weighted_fen / bank_weighted_fen.")
    referred_12_months_weighted_fen: int | None = doc(
        "Real money of the bank in referred loans funded in the twelve calendar months up to the window's last, fen; "
        "told for platform ALL.",
        default=None,
    )
    bank_12_months_weighted_fen: int | None = doc("In all loans funded in them, fen.", default=None)
    dependence: float | None = doc("referred_12_months_weighted_fen / bank_12_months_weighted_fen.", default=None)
    referred_loans_so_far: int = doc("Referred loans funded since the run began.")
    referred_so_far_weighted_fen: int = doc("Their real amount, fen.")
    referred_defaults_so_far: int = doc("Referred loans that passed 90 days past due since the run began.")
    referred_defaulted_so_far_weighted_fen: int = doc("Their real outstanding principal at that, fen.")
    own_loans_so_far: int = doc("Own loans funded since the run began.")
    own_so_far_weighted_fen: int = doc("Their real amount, fen.")
    own_defaults_so_far: int = doc("Own loans that passed 90 days past due since the run began.")
    own_defaulted_so_far_weighted_fen: int = doc("Their real outstanding principal at that, fen.")
    referred_default_rate: float | None = doc("referred_defaulted_so_far_weighted_fen / referred_so_far_weighted_fen.")
    own_default_rate: float | None = doc("own_defaulted_so_far_weighted_fen / own_so_far_weighted_fen.")


def originations() -> dict[str, Measure]:
    """Loans funded, by group of products."""
    measures: dict[str, Measure] = {}
    for group, products in GROUPS.items():
        where = {"kind": "FUNDED", "product": products}
        measures[f"{group}_loans"] = count(where=where)
        measures[f"{group}_loans_weighted"] = total("weight", where=where)
        measures[f"{group}_weighted_fen"] = total("amount_fen", times="weight", where=where)
    return measures


def outcomes() -> dict[str, Measure]:
    """What was funded and what defaulted, referred and own."""
    measures: dict[str, Measure] = {}
    for group, products in (("referred", REFERRED), ("own", ALONE)):
        funded = {"kind": "FUNDED", "product": products}
        defaulted = {"kind": "PAST_DUE", "arrears": "DPD90", "product": products}
        measures[f"{group}_loans_so_far"] = count(where=funded)
        measures[f"{group}_so_far_weighted_fen"] = total("amount_fen", times="weight", where=funded)
        measures[f"{group}_defaults_so_far"] = count(where=defaulted)
        measures[f"{group}_defaulted_so_far_weighted_fen"] = total("outstanding_fen", times="weight", where=defaulted)
    return measures


CHANNELS = Rollup(
    name="channels",
    topic="loans",
    keys=("bank", "platform"),
    where={"kind": ("FUNDED", "COMMISSION")},
    measures={
        **originations(),
        "commissions": count(where={"kind": "COMMISSION"}),
        "commission_fen": total("amount_fen", where={"kind": "COMMISSION"}),
        "commission_weighted_fen": total("amount_fen", times="weight", where={"kind": "COMMISSION"}),
        "first_loans": count(where={"kind": "FUNDED", "first": True}),
        "first_loans_weighted": total("weight", where={"kind": "FUNDED", "first": True}),
        "referred_weighted_fen": total("bank_fen", times="weight", where={"kind": "FUNDED", "product": REFERRED}),
        "bank_weighted_fen": total("bank_fen", times="weight", where={"kind": "FUNDED"}),
    },
)
MONTHLY = Rollup(
    name="monthly",
    topic="loans",
    keys=("bank", "vintage"),
    where={"kind": "FUNDED"},
    measures={
        "bank": total("bank_fen", times="weight"),
        "referred": total("bank_fen", times="weight", where={"product": REFERRED}),
    },
    cumulative=True,
)
OUTCOMES = Rollup(
    name="outcomes",
    topic="loans",
    keys=("bank", "platform"),
    where={"kind": ("FUNDED", "COMMISSION", "PAST_DUE")},
    measures={"events": count(), **outcomes()},
    cumulative=True,
)


def derive(window: Window, merged: Merged) -> Iterator[ChannelFeesRow]:
    channels, so_far = merged["channels"], merged["outcomes"]
    flows = {name: totalled(channels[name], 0, 1) for name in CHANNELS.measures}
    stocks = {name: totalled(so_far[name], 0, 1) for name in OUTCOMES.measures}
    events, whole = stocks.pop("events"), flows["bank_weighted_fen"][:, -1].tolist()
    referred, lent = (_twelve_months(window, merged, name) for name in ("referred", "bank"))
    for b, bank in enumerate([*channels.symbols("bank"), ALL]):
        for p, platform in enumerate([*channels.symbols("platform"), ALL]):
            if not events[b, p]:
                continue
            cell: dict[str, Any] = {name: int(cells[b, p]) for name, cells in (flows | stocks).items()}
            cell["bank_weighted_fen"] = whole[b]
            yield ChannelFeesRow(
                bank=str(bank),
                platform=str(platform),
                **cell,
                **_rates(cell),
                **(_dependence(referred[b], lent[b]) if platform == ALL else {}),
            )


def _rates(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "fee_rate": ratio(cell["commission_weighted_fen"], cell["partnership_weighted_fen"]),
        "referred_share": ratio(cell["referred_weighted_fen"], cell["bank_weighted_fen"]),
        "referred_default_rate": ratio(
            cell["referred_defaulted_so_far_weighted_fen"], cell["referred_so_far_weighted_fen"]
        ),
        "own_default_rate": ratio(cell["own_defaulted_so_far_weighted_fen"], cell["own_so_far_weighted_fen"]),
    }


def _twelve_months(window: Window, merged: Merged, name: str) -> list[int]:
    """Sum over the twelve months up to the window's last, of each bank and of ALL."""
    folded, last = merged["monthly"], month_of(window.end - 1)
    wanted = [n for n, vintage in enumerate(folded.symbols("vintage")) if last - MONTHS < int(vintage) <= last]
    chosen: Int64 = folded[name][:, wanted]
    sums: list[int] = totalled(totalled(chosen, 1)[:, -1], 0).tolist()
    return sums


def _dependence(referred: int, lent: int) -> dict[str, Any]:
    return {
        "referred_12_months_weighted_fen": referred,
        "bank_12_months_weighted_fen": lent,
        "dependence": ratio(referred, lent),
    }


FLOWS = ", ".join(
    f"""count(*) FILTER (WHERE {which}) AS {group}_loans,
        coalesce(sum(weight) FILTER (WHERE {which}), 0)::BIGINT AS {group}_loans_weighted,
        coalesce(sum(amount_fen::HUGEINT * weight) FILTER (WHERE {which}), 0)::BIGINT AS {group}_weighted_fen"""
    for group, which in (
        ("partnership", "kind = 'FUNDED' AND product = 'PARTNERSHIP'"),
        ("cofinanced", "kind = 'FUNDED' AND product = 'COFINANCED'"),
        ("joint", "kind = 'FUNDED' AND product = 'JOINT'"),
        ("own", "kind = 'FUNDED' AND product NOT IN ('PARTNERSHIP', 'COFINANCED', 'JOINT')"),
    )
)
OUTCOME = ", ".join(
    f"""count(*) FILTER (WHERE kind = 'FUNDED' AND {which}) AS {group}_loans_new,
        coalesce(sum(amount_fen::HUGEINT * weight) FILTER (WHERE kind = 'FUNDED' AND {which}), 0)::BIGINT
            AS {group}_new_weighted_fen,
        count(*) FILTER (WHERE kind = 'PAST_DUE' AND arrears = 'DPD90' AND {which}) AS {group}_defaults_new,
        coalesce(sum(outstanding_fen::HUGEINT * weight)
            FILTER (WHERE kind = 'PAST_DUE' AND arrears = 'DPD90' AND {which}), 0)::BIGINT
            AS {group}_defaulted_new_weighted_fen"""
    for group, which in (
        ("referred", "product IN ('PARTNERSHIP', 'COFINANCED')"),
        ("own", "product NOT IN ('PARTNERSHIP', 'COFINANCED', 'JOINT')"),
    )
)
NEW = tuple(
    f"{group}_{name}"
    for group in ("referred", "own")
    for name in ("loans_new", "new_weighted_fen", "defaults_new", "defaulted_new_weighted_fen")
)
SO_FAR = ", ".join(
    f"sum(coalesce({name}, 0)) OVER (PARTITION BY bank, platform ORDER BY window_start)::BIGINT AS "
    + name.replace("_new", "_so_far")
    for name in NEW
)
PROOF = """
WITH cells AS (
    SELECT {w} AS window_start, coalesce(bank, 'ALL') AS bank, coalesce(platform, 'ALL') AS platform, FLOWS, OUTCOME,
        count(*) FILTER (WHERE kind = 'COMMISSION') AS commissions,
        coalesce(sum(amount_fen) FILTER (WHERE kind = 'COMMISSION'), 0)::BIGINT AS commission_fen,
        coalesce(sum(amount_fen::HUGEINT * weight) FILTER (WHERE kind = 'COMMISSION'), 0)::BIGINT
            AS commission_weighted_fen,
        count(*) FILTER (WHERE kind = 'FUNDED' AND "first") AS first_loans,
        coalesce(sum(weight) FILTER (WHERE kind = 'FUNDED' AND "first"), 0)::BIGINT AS first_loans_weighted,
        coalesce(sum(bank_fen::HUGEINT * weight) FILTER (WHERE kind = 'FUNDED' AND product IN ('PARTNERSHIP',
            'COFINANCED')), 0)::BIGINT AS referred_weighted_fen,
        coalesce(sum(bank_fen::HUGEINT * weight) FILTER (WHERE kind = 'FUNDED'), 0)::BIGINT AS lent
    FROM loans WHERE kind IN ('FUNDED', 'COMMISSION', 'PAST_DUE')
    GROUP BY GROUPING SETS (({w}, bank, platform), ({w}, bank), ({w}, platform), ({w}))
), spine AS (
    SELECT windows.window_start, window_end, bank, platform FROM windows
        JOIN (SELECT bank, platform, min(window_start) AS since FROM cells GROUP BY ALL) AS s
        ON windows.window_start >= since
), stocked AS (
    SELECT window_start, window_end, bank, platform,
        coalesce(COLUMNS(c.* EXCLUDE (window_start, bank, platform, lent, NEW)), 0), SO_FAR
    FROM spine LEFT JOIN cells AS c USING (window_start, bank, platform)
), whole AS (
    SELECT window_start, bank, lent FROM cells WHERE platform = 'ALL'
), funded AS (
    SELECT bank, vintage, {w} AS funded_in, sum(bank_fen::HUGEINT * weight)::BIGINT AS lent,
        coalesce(sum(bank_fen::HUGEINT * weight) FILTER (WHERE product IN ('PARTNERSHIP', 'COFINANCED')), 0)::BIGINT
            AS referred
    FROM loans WHERE kind = 'FUNDED' GROUP BY ALL
), months AS (
    SELECT *, 12 * (year(epoch_ms(window_end - 1)) - 2010) + month(epoch_ms(window_end - 1)) - 1 AS latest FROM windows
), year_sums AS (
    SELECT window_start, coalesce(bank, 'ALL') AS bank, 'ALL' AS platform, coalesce(sum(lent), 0)::BIGINT AS lent,
        coalesce(sum(referred), 0)::BIGINT AS referred
    FROM months JOIN funded ON funded_in <= window_start AND vintage > latest - 12 AND vintage <= latest
    GROUP BY GROUPING SETS ((window_start, bank), (window_start))
)
SELECT '{window}' AS window, s.* EXCLUDE (window_end), coalesce(w.lent, 0) AS bank_weighted_fen,
    CASE WHEN partnership_weighted_fen <> 0 THEN commission_weighted_fen::DOUBLE / partnership_weighted_fen::DOUBLE END
        AS fee_rate,
    CASE WHEN w.lent <> 0 THEN referred_weighted_fen::DOUBLE / w.lent::DOUBLE END AS referred_share,
    CASE WHEN s.platform = 'ALL' THEN coalesce(y.referred, 0) END AS referred_12_months_weighted_fen,
    CASE WHEN s.platform = 'ALL' THEN coalesce(y.lent, 0) END AS bank_12_months_weighted_fen,
    CASE WHEN y.lent <> 0 THEN y.referred::DOUBLE / y.lent::DOUBLE END AS dependence,
    CASE WHEN referred_so_far_weighted_fen <> 0
        THEN referred_defaulted_so_far_weighted_fen::DOUBLE / referred_so_far_weighted_fen::DOUBLE END
        AS referred_default_rate,
    CASE WHEN own_so_far_weighted_fen <> 0
        THEN own_defaulted_so_far_weighted_fen::DOUBLE / own_so_far_weighted_fen::DOUBLE END AS own_default_rate
FROM stocked AS s LEFT JOIN whole AS w USING (window_start, bank)
    LEFT JOIN year_sums AS y USING (window_start, bank, platform)
"""
for token, text in {
    "FLOWS": FLOWS, "OUTCOME": OUTCOME, "NEW": ", ".join(NEW), "SO_FAR": SO_FAR,
}.items():  # fmt: skip
    PROOF = PROOF.replace(token, text)

OVER_RELIANCE = Alarm(
    rule="over-reliance",
    field="dependence",
    above=0.5,
    institution="bank",
    where={"platform": ALL},
    unless={"bank": (ALL, "none")},
    text="{value:.1%} of what {bank} lent in the twelve months up to that of {window_start} was referred to it, "
    "above {limit:.0%}.",
)
"""The greater part of what the bank lends is then screened by others."""

METRIC = Metric(
    name="channel-fees",
    rollups=(CHANNELS, MONTHLY, OUTCOMES),
    row=ChannelFeesRow,
    key=("window", "window_start", "bank", "platform"),
    derive=derive,
    proof=PROOF,
    claims=("coop.partnership", "coop.cofinance", "coop.long-tail", "coop.fee-rise", "coop.overreliance"),
    windows=("month",),
    alarms=(OVER_RELIANCE,),
)
