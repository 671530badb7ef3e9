"""What is funded, defaulted, charged off and recovered: measures of a rollup on `loans`, and the same in SQL.

Default is 90 days past due: what is outstanding of a loan that passes the mark.
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.measures import Measure, Where, count, total

MONEY: Mapping[str, tuple[str, Where]] = {
    "funded": ("amount_fen", {"kind": "FUNDED"}),
    "defaulted": ("outstanding_fen", {"kind": "PAST_DUE", "arrears": "DPD90"}),
    "charged_off": ("amount_fen", {"kind": "CHARGED_OFF"}),
    "recovered": ("amount_fen", {"kind": "RECOVERED"}),
}
MONEY_KINDS = ("FUNDED", "PAST_DUE", "CHARGED_OFF", "RECOVERED")


def money() -> dict[str, Measure]:
    """Loans and amounts of each, raw and weighted."""
    measures: dict[str, Measure] = {}
    for name, (column, where) in MONEY.items():
        measures[f"{name}_loans"] = count(where=where)
        measures[f"{name}_loans_weighted"] = total("weight", where=where)
        measures[f"{name}_fen"] = total(column, where=where)
        measures[f"{name}_weighted_fen"] = total(column, times="weight", where=where)
    return measures


FLOWS = ", ".join(
    f"""count(*) FILTER (WHERE {which}) AS {name}_loans,
        coalesce(sum(weight) FILTER (WHERE {which}), 0)::BIGINT AS {name}_loans_weighted,
        coalesce(sum({column}) FILTER (WHERE {which}), 0)::BIGINT AS {name}_fen,
        coalesce(sum({column}::HUGEINT * weight) FILTER (WHERE {which}), 0)::BIGINT AS {name}_weighted_fen"""
    for name, column, which in (
        ("funded", "amount_fen", "kind = 'FUNDED'"),
        ("defaulted", "outstanding_fen", "kind = 'PAST_DUE' AND arrears = 'DPD90'"),
        ("charged_off", "amount_fen", "kind = 'CHARGED_OFF'"),
        ("recovered", "amount_fen", "kind = 'RECOVERED'"),
    )
)
"""For a proof: the columns of `money` of a group of `loans`."""
