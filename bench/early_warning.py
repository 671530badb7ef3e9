"""How long before its fall the early warning names the bank under study, and how often it is wrong about others.

`python -m bench.early_warning [FIRST_SEED] [SEEDS]` simulates the banks' loans of 2018 to 2024 in memory, folds
`metrics.early-warning`, and prints a line of JSON for each seed and one for all. It asserts nothing.
"""

import json
import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

import topologies
from jinliu.report.facts import Period, Row, day_of
from jinliu.worlds import Simulated

SPAN = Period(date(2018, 1, 1), date(2025, 1, 1))
FALL = date(2024, 1, 1)
"""Profit of the bank under study halves in this year (coop.lanhai-fall)."""
BANK = "lan-hai"


def rows(seed: int) -> list[Row]:
    """All rows of one seed: of banks that take referrals, by month."""
    world = topologies.load("lending")
    simulated = Simulated(world, seed, span=SPAN)
    table = simulated.economy(None).offers
    banks = frozenset(world.banks)
    products = {offer.terms.product for offer in table.offers if offer.lender in banks}
    return list(simulated.baseline("early-warning", {pool.name for pool in table.pools}, products).whole)


def found(seed: int) -> dict[str, Any]:
    """First warning about the bank under study, and how many of the other banks' months were warned of."""
    told = rows(seed)
    ours = sorted(day_of(row["window_start"]) for row in told if row["bank"] == BANK and row["warning"])
    others = [row for row in told if row["bank"] != BANK]
    wrong = [row for row in others if row["warning"]]
    first = ours[0] if ours else None
    ahead = (FALL.year - first.year) * 12 + FALL.month - first.month - 1 if first is not None else None
    return {
        "seed": seed,
        "first": str(first) if first is not None else None,
        "months_before": ahead,  # from the end of the month that is warned of
        "other_bank_months": len(others),
        "wrong": len(wrong),
        "wrong_banks": sorted({row["bank"] for row in wrong}),
    }


def lines(first: int, count: int) -> Iterator[dict[str, Any]]:
    """What each seed shows, then all of them together."""
    every = []
    for seed in range(first, first + count):
        every.append(found(seed))
        yield every[-1]
    ahead = sorted(each["months_before"] for each in every if each["months_before"] is not None)
    in_time = [months for months in ahead if months > 0]
    yield {
        "seeds": count,
        "warned_in_time": len(in_time),
        "months_before": [in_time[0], in_time[len(in_time) // 2], in_time[-1]] if in_time else None,  # least, median
        "other_bank_months": sum(each["other_bank_months"] for each in every),
        "wrong": sum(each["wrong"] for each in every),
    }


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    for line in lines(*(given + [1, 10][len(given) :])):
        print(json.dumps(line), flush=True)
