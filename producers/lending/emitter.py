"""What one source tells of loans: those of its lenders, from the book of each shard."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from producers.block import Block, Numbering
from producers.economy import DAY_MS
from producers.lending import borrowing, instalments, life
from producers.lending.market import PPM, Market
from producers.lending.offers import COFINANCED, OWN, REFERRED, Offer
from producers.philox import seed_word, stream
from producers.scalar import log, lognormal_knots

if TYPE_CHECKING:
    from producers.economy import Economy

Ints = NDArray[np.int64]
NONE = "none"
_PARTS = ("principal_fen", "interest_fen", "bank_fen", "platform_fen", "platform_interest_fen")
_MONEY = (life.K_FUNDED, life.K_DUE, life.K_REPAID, life.K_CHARGED_OFF, life.K_RECOVERED, life.K_BROUGHT_FORWARD)
_LEFT = (
    life.K_FUNDED, life.K_DUE, life.K_REPAID, life.K_PAST_DUE, life.K_CHARGED_OFF, life.K_BROUGHT_FORWARD,
)  # fmt: skip
KINDS_OF: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(_PARTS, _MONEY),
    "service_fen": (life.K_REPAID,),
    "bank_funding_fen": (life.K_DUE, life.K_CHARGED_OFF),
    "platform_funding_fen": (life.K_DUE, life.K_CHARGED_OFF),
    "outstanding_fen": _LEFT,
    "bank_outstanding_fen": _LEFT,
    "rate_ppm": (life.K_OFFERED, life.K_FUNDED),
    "months": (life.K_OFFERED, life.K_FUNDED),
    "fee_fen": (life.K_OFFERED, life.K_FUNDED),
    "apr_ppm": (life.K_OFFERED,),
}
"""Field to the kinds of events that have it; it is null in the others."""
_KINDS = 15
STRETCH_MS = 32 * DAY_MS
"""Loans are looked through for so much time at once: each look costs as much as the open loans."""


class Shelf:
    """The book of one shard as one source tells it: its loans in the order of application."""

    def __init__(self, loans: borrowing.Loans, terms: life.Terms) -> None:
        self.loans = loans
        self.known = np.empty((len(loans.borrower), 2), np.int64)
        life.shelve(terms, loans, self.known)
        self.longest_ms = int((self.known[:, 0] - loans.applied_ms).max(initial=0))

    def rows(self, low_ms: int, high_ms: int) -> Ints:
        """Rows of loans that may have events in [low_ms, high_ms), in the order of application."""
        applied = self.loans.applied_ms
        first = int(np.searchsorted(applied, low_ms - self.longest_ms, side="left"))
        last = int(np.searchsorted(applied, high_ms, side="left"))
        return np.arange(first, last, dtype=np.int64)


class LoanEmitter:
    """The loans of one source (a `producers.block.Emitter`). start_ms: where the run begins; what stands open there is
    brought forward. pools: names of those that are simulated, all by default.
    """

    def __init__(self, economy: Economy, source: str, start_ms: int, pools: Collection[str] | None = None) -> None:
        topology = economy.topology
        self._economy, self._source, self._start_ms = economy, source, start_ms
        told = next(s.institutions for s in topology.sources if s.name == source)
        self.table = economy.offers
        chosen = [pools is None or pool.name in pools for pool in self.table.pools]
        self._mine = np.array([offer.lender in told and chosen[offer.pool] for offer in self.table.offers])
        self._numbering = Numbering(topology, "loans", source)
        self._institutions = tuple(institution.id for institution in topology.institutions)
        self._shelves: dict[int, Shelf] = {}
        self._last: dict[int, tuple[int, dict[str, NDArray[Any]]]] = {}
        self._known: life.Terms | None = None

    def vocabularies(self) -> Mapping[str, tuple[str, ...]]:
        banks = self._economy.topology.banks
        return {
            "lender": self._institutions,
            "bank": (*banks, NONE),
            "platform": (*self._institutions, NONE),
        }

    def block(self, shard: int, first: int, ticks: int, seq: int) -> Block:
        tick_ms = self._economy.topology.scale.tick_ms
        rows = self.rows(shard, first * tick_ms, (first + ticks) * tick_ms)
        return self._numbering.block(shard, first, ticks, seq, rows, "amount_fen")

    def rows(self, shard: int, low_ms: int, high_ms: int) -> dict[str, NDArray[Any]]:
        """Columns of the loans' events in [low_ms, high_ms), in time order; without source and seq."""
        parts = []
        for stretch in range(low_ms // STRETCH_MS, -(-high_ms // STRETCH_MS)):
            made = self._stretch(shard, stretch)
            first, last = np.searchsorted(made["event_time"], (low_ms, high_ms), side="left").tolist()
            parts.append({name: column[first:last] for name, column in made.items()})
        return parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def _stretch(self, shard: int, stretch: int) -> dict[str, NDArray[Any]]:
        """The rows of a whole stretch; the last one is kept, since ticks are asked for few at a time."""
        number, made = self._last.get(shard, (-1, {}))
        if number != stretch:
            low_ms = max(stretch * STRETCH_MS, self._start_ms)
            made = self._expanded(shard, low_ms, max(low_ms, (stretch + 1) * STRETCH_MS))
            self._last[shard] = stretch, made
        return made

    def _expanded(self, shard: int, low_ms: int, high_ms: int) -> dict[str, NDArray[Any]]:
        _, terms = self._world()
        shelf = self.shelf(shard)
        candidates = shelf.rows(low_ms, high_ms)
        none = life.columns(0)
        n = life.expand(terms, shelf.loans, shelf.known, candidates, low_ms, high_ms, none, 0)
        columns = life.columns(n)
        life.expand(terms, shelf.loans, shelf.known, candidates, low_ms, high_ms, columns, 1)
        order = np.argsort(columns.event_time, kind="stable")
        filled: tuple[NDArray[Any], ...] = columns
        rows = {name: column[order] for name, column in zip(life.Columns._fields, filled, strict=True)}
        rows["apr_ppm"] = _apr(rows)
        for name, kinds in KINDS_OF.items():
            has = np.zeros(_KINDS, np.bool_)
            has[list(kinds)] = True
            rows[f"{name}?"] = has[rows["kind"]]
        return rows

    def shelf(self, shard: int) -> Shelf:
        """The book of a shard; simulated when first asked for."""
        if shard not in self._shelves:
            made, terms = self._world()
            self._shelves[shard] = Shelf(self._borrow(made, shard), terms)
        return self._shelves[shard]

    def _world(self) -> tuple[Market, life.Terms]:
        made = self._economy.market
        if self._known is None:
            self._known = self._terms(made)
        return made, self._known

    def _borrow(self, made: Market, shard: int) -> borrowing.Loans:
        scene = self._scene(made, shard)
        capacity = 4096
        while True:
            loans = borrowing.loans(capacity)
            found = borrowing.borrow(scene, loans)
            if found <= capacity:
                break
            capacity = found
        kept: Any = [column[:found] for column in loans]
        told = borrowing.Loans(*kept)
        order = np.lexsort((told.serial, told.borrower, told.applied_ms))
        ordered: Any = [column[order] for column in told]
        return borrowing.Loans(*ordered)

    def _offers(self, take: Any, kind: Any = np.int64) -> NDArray[Any]:
        return np.array([take(offer) for offer in self.table.offers], kind)

    def _scene(self, made: Market, shard: int) -> borrowing.Scene:
        topology, figures = self._economy.topology, self._economy.topology.lending
        pools, offers = self.table.pools, self.table.offers
        lenders = list(dict.fromkeys(offer.lender for offer in offers))
        by_pool = [[i for i, offer in enumerate(offers) if offer.pool == p] for p in range(len(pools))]
        low, high = figures.regional.platform_share if figures.regional is not None else (0.0, 0.0)
        introduced = figures.regional.introduced if figures.regional is not None else 0.0
        return borrowing.Scene(
            seed=np.uint64(seed_word(self._economy.seed)),
            stream=np.uint64(stream("borrower")),
            shard=shard,
            shards=topology.scale.shards,
            start_ms=self._economy.start_ms - figures.warm_up_days * DAY_MS,
            first=np.array([pool.first for pool in pools], np.int64),
            people=np.array([pool.count for pool in pools], np.int64),
            on_record=np.array([pool.on_record for pool in pools], np.float64),
            several=np.array([pool.several for pool in pools], np.float64),
            offers_at=np.cumsum([0, *(len(each) for each in by_pool)]).astype(np.int64),
            offers=np.array([i for each in by_pool for i in each], np.int64),
            mine=self._mine,
            wanted=np.array([bool(self._mine[each].any()) for each in by_pool]),
            lender=self._offers(lambda offer: lenders.index(offer.lender)),
            months=self._offers(lambda offer: offer.terms.months),
            amount_fen=self._offers(lambda offer: round(offer.terms.amount_yuan * 100)),
            sigma=self._offers(lambda offer: offer.terms.decision.sigma, np.float64),
            waits=self._offers(lambda offer: offer.terms.decision.patience, np.bool_),
            comes=self._offers(lambda offer: offer.role != OWN, np.bool_),
            brought=self._offers(lambda offer: NONE not in (offer.platform, offer.bank), np.bool_),
            share_low=self._offers(lambda offer: low if offer.role == COFINANCED else 0.0, np.float64),
            share_high=self._offers(lambda offer: high if offer.role == COFINANCED else 0.0, np.float64),
            introduced=self._offers(lambda offer: introduced if offer.role == COFINANCED else 0.0, np.float64),
            amount_knots=lognormal_knots(figures.amount_sigma),
            ask=made.ask,
            cumulative=made.cumulative,
            cutoff=made.cutoff,
            screen=made.screen,
            own=made.own,
            referred=made.referred,
            quality=made.quality,
            mean=made.mean,
            room=made.room,
            median_ms=made.median_ms,
            platform_ppm=made.platform_ppm,
            shared=made.shared,
            reports=made.reports,
            overlap=figures.overlap,
            charge_off_ms=figures.charge_off_days * DAY_MS,
            patience_log_ms=log(figures.patience.median_seconds * 1000.0),
            patience_sigma=figures.patience.sigma,
        )

    def _terms(self, made: Market) -> life.Terms:
        topology, figures = self._economy.topology, self._economy.topology.lending
        banks = (*topology.banks, NONE)
        joint = figures.joint

        def decider(offer: Offer) -> int:
            return life.BANK if offer.lender in topology.banks else life.PLATFORM

        return life.Terms(
            seed=np.uint64(seed_word(self._economy.seed)),
            stream=np.uint64(stream("repayment")),
            start_ms=self._start_ms,
            product=self._offers(lambda offer: offer.product),
            lender=self._offers(lambda offer: self._institutions.index(offer.lender)),
            bank=self._offers(lambda offer: banks.index(offer.bank)),
            platform=self._offers(lambda offer: (*self._institutions, NONE).index(offer.platform)),
            screener=self._offers(lambda offer: life.BANK if offer.platform == NONE else life.PLATFORM),
            decider=self._offers(decider),
            refers=self._offers(lambda offer: offer.role != OWN or offer.band >= 0, np.bool_),
            pays=self._offers(lambda offer: offer.role == REFERRED, np.bool_),
            months=self._offers(lambda offer: offer.terms.months),
            rate_ppm=made.rate_ppm,
            commission_ppm=made.commission_ppm,
            fee_ppm=self._offers(lambda offer: round(offer.terms.fee * PPM)),
            service_ppm=self._offers(lambda o: round(joint.service * PPM) if joint is not None and o.band >= 0 else 0),
            bank_funding_ppm=self._offers(lambda offer: round(offer.funding_bank * PPM)),
            platform_funding_ppm=self._offers(lambda offer: round(offer.funding_platform * PPM)),
            weight=np.array([pool.weight for pool in self.table.pools], np.int64),
            recovery_ppm=round(figures.recovery * PPM),
            charge_off_days=figures.charge_off_days,
            short=figures.late.short,
            long=figures.late.long,
        )


def _apr(rows: Mapping[str, NDArray[Any]]) -> Ints:
    """int64[rows]: the annual percentage rate of offers, 0 elsewhere; loans of one term at a time."""
    found = np.zeros(len(rows["kind"]), np.int64)
    offered = np.flatnonzero(rows["kind"] == life.K_OFFERED)
    months = rows["months"][offered].astype(np.int64)
    for term in np.unique(months).tolist():
        at = offered[months == term]
        amount = rows["amount_fen"][at]
        plan = instalments.schedule(amount, rows["rate_ppm"][at].astype(np.int64), np.full(len(at), term, np.int64))
        found[at] = instalments.apr_ppm(amount - rows["fee_fen"][at], plan.instalment_fen)
    return found
