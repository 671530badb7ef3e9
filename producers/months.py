"""What a bank's month comes to beside its loans: fees through platforms, operating cost, fines, acquisition."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from producers.lending.market import Market
from producers.philox import seed_word, stream
from producers.scalar import added, word

if TYPE_CHECKING:
    from producers.economy import Economy

THIRD_PARTY = slice(0, 3)
REACHES = "cmb"
"""The bank of which the paper says whom it reaches through the credit system."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something told on a day; `amount_fen` and `count` where the kind has them."""

    day: int
    kind: str
    amount_fen: int | None = None
    count: int | None = None


class Months:
    """The entries of the banks of an economy."""

    def __init__(self, economy: Economy) -> None:
        self._economy = economy
        self._figures = economy.topology.lending
        self._banks = {bank: b for b, bank in enumerate(economy.topology.banks)}
        regional = self._figures.regional
        self._regional = list(regional.banks) if regional is not None else []
        self._known: tuple[int, int] | None = None

    def of(self, bank: str, day: int) -> list[Entry]:
        """The entries of a bank on an epoch day; most are told on the last of a month."""
        found = [
            Entry(day, "FINE", round(fine.yuan * 100))
            for fine in self._figures.fines
            if fine.bank == bank and (fine.day - date(1970, 1, 1)).days == day
        ]
        today = date(1970, 1, 1) + timedelta(days=day)
        if (today + timedelta(days=1)).day == 1:
            found += [Entry(day, "PLATFORM_FEES", self._fees(bank, today))]
            cost, costs = self._cost(bank, today), self._figures.costs
            branch, labour = round(cost * costs.branch), round(cost * costs.labour)
            found += [
                Entry(day, "BRANCH_COST", branch),
                Entry(day, "LABOUR_COST", labour),
                Entry(day, "OTHER_COST", cost - branch - labour),
                *self._acquired(bank, day),
            ]
            if bank == REACHES:
                known, adults = self._records()
                found += [Entry(day, "CREDIT_RECORDS", count=known), Entry(day, "ADULTS", count=adults)]
        return found

    def _days(self, today: date) -> range:
        """The days of the era in the month that ends today."""
        last = today.toordinal() - self._economy.first.toordinal()
        return range(max(0, last - today.day + 1), last + 1)

    def _fees(self, bank: str, today: date) -> int:
        """What the bank earns on the payments that platforms make from its cards."""
        carried = added(float(self._economy.day(d).amount_fen[THIRD_PARTY].sum()) for d in self._days(today))
        return round(carried * float(self._economy.size[self._banks[bank]]) * self._figures.costs.platform_fee)

    def _cost(self, bank: str, today: date) -> int:
        """Operating cost: of a small bank by its loans as it expects them, of another by its size."""
        if bank not in self._regional or self._figures.regional is None:
            size = self._economy.figures.bank_size
            return round(self._figures.costs.yuan_a_year * 100 * size.get(bank, size["other"]) * today.day / 365)
        terms = self._figures.regional
        made: Market = self._economy.market
        place, warm = self._regional.index(bank), self._figures.warm_up_days
        loans = added(float(made.state.assets[warm + d, place]) for d in self._days(today))
        overhead = terms.banks[bank].overhead_yuan_a_year * today.day
        return round((loans * terms.own.cost + overhead) * 100 / 365)

    def _acquired(self, bank: str, day: int) -> list[Entry]:
        """New payment users of the month and what they cost, on the bank's own and through platforms."""
        figures, found = self._figures.acquisition, []
        customers = float(self._economy.size[self._banks[bank]]) * self._economy.figures.adults
        for kind, (least, most), rate in (
            ("ACQUISITION_OWN", figures.own_yuan, figures.users_a_month),
            ("ACQUISITION_PLATFORM", figures.platform_yuan, figures.platform_users_a_month),
        ):
            drawn = word(seed_word(self._economy.seed), stream("acquisition", bank, kind), day) / 2.0**64
            users = max(1, round(customers * rate / 1000.0))
            found.append(Entry(day, kind, round(users * (least + (most - least) * drawn) * 100), users))
        return found

    def _records(self) -> tuple[int, int]:
        """Adults that the credit system knows, and all, counted in the sample of people."""
        if self._known is None:
            people = self._economy.people
            weight = self._economy.topology.scale.person_weight
            on_record = people.of(np.arange(people.population, dtype=np.int64))["bureau"]
            self._known = int(on_record.sum()) * weight, people.population * weight
        return self._known
