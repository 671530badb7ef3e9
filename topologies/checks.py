"""What must agree between the parts of a world."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from topologies.allowed import meant
from topologies.citation import WORDS, covering, numbers
from topologies.levers import ms
from topologies.validation import Finding
from topologies.windows import DAY_MS, union_of

if TYPE_CHECKING:
    from topologies.lending import TermsFigures
    from topologies.model import Topology

RESERVED_LEVERS = ("horizon",)
LENDERS_MAX = 63
"""What a borrower owed to whom is kept in the bits of a word."""
WEIGHT_MAX = 10**7
AMOUNT_YUAN_MAX = 1_000_000
"""Amounts spread: one of a hundred times the mean still fits."""
DECISION_S_MAX = 20 * 86_400
"""A decision takes up to five times its median."""
COFINANCED = "from 0.01 to 0.2, the lower one first"


def findings(topology: Topology) -> list[Finding]:
    """Everything that does not agree."""
    checks: tuple[Callable[[Topology], Iterator[Finding]], ...] = (
        _spans,
        _scale,
        _windows,
        _names,
        _institutions,
        _sources,
        _levers,
        _banks,
        _lending,
        _loans,
        _figures,
    )
    return [finding for check in checks for finding in check(topology)]


def _day(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"{moment:%Y-%m-%d}" if time_ms % DAY_MS == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"


def _era(topology: Topology) -> str:
    return f"{topology.era.first} to {topology.era.last}"


def _spans(topology: Topology) -> Iterator[Finding]:
    era, span, tick_ms = topology.era, topology.span, topology.scale.tick_ms
    for name, part in (("era", era), ("span", span)):
        if part.end_ms <= part.start_ms:
            yield Finding((name, "to"), f"{part.last} is not allowed", f"a date or time after {part.first}")
    for key, moment in (("from", era.first), ("to", era.last)):
        if isinstance(moment, datetime):
            yield Finding(("era", key), f"{moment} is not allowed", "a date: an era is whole days, the economy's steps")
    if span.start_ms < era.start_ms:
        yield Finding(("span", "from"), f"{span.first} lies outside the era", f"a date from {_era(topology)}")
    if span.end_ms > era.end_ms:
        yield Finding(("span", "to"), f"{span.last} lies outside the era", f"a date from {_era(topology)}")
    for key, time_ms in (("from", span.start_ms), ("to", span.end_ms)):
        if time_ms % tick_ms:
            yield Finding(
                ("span", key),
                f"{_day(time_ms)} is not the start of a tick",
                f"a whole number of ticks ({topology.scale.tick})",
            )


def _scale(topology: Topology) -> Iterator[Finding]:
    scale = topology.scale
    if scale.rare_weight > scale.weight:
        yield Finding(
            ("scale", "rare_weight"), f"{scale.rare_weight} is not allowed", f"at most the weight, {scale.weight}"
        )
    if scale.lead_ticks >= scale.patience_ticks:
        # Else a source that is merely behind the fastest would be taken for silent.
        yield Finding(
            ("scale", "lead_ticks"),
            f"{scale.lead_ticks} is not allowed",
            f"less than patience_ticks, {scale.patience_ticks}",
        )
    if topology.population < scale.shards:
        most = topology.economy.adults // scale.shards
        yield Finding(
            ("scale", "person_weight"), f"{scale.person_weight} leaves shards without people", f"at most {most}"
        )


def _windows(topology: Topology) -> Iterator[Finding]:
    tick = topology.scale.tick
    for metric, names in topology.windows.items():
        for n, name in enumerate(names):
            loc = ("windows", metric, n)
            if not union_of(name, tick):
                yield Finding(loc, f"{name} is not a union of ticks", f"windows of whole ticks ({tick})")
            elif name in names[:n]:
                yield Finding(loc, f"{name} stands twice", "each window once")
            elif not union_of(name, names[0]):
                yield Finding(
                    loc,
                    f"{name} is not a union of {names[0]}",
                    f"the finest window first, then unions of it, not {name}",
                )


def _twice(names: Sequence[str]) -> Iterator[int]:
    return (n for n, name in enumerate(names) if name in names[:n])


def _names(topology: Topology) -> Iterator[Finding]:
    lists: tuple[tuple[str, str, Sequence[str]], ...] = (
        ("institutions", "id", [institution.id for institution in topology.institutions]),
        ("sources", "name", [source.name for source in topology.sources]),
        ("scenes", "", topology.scenes),
        ("segments", "", topology.segments),
    )
    for part, key, names in lists:
        for n in _twice(names):
            yield Finding(
                (part, n, key) if key else (part, n), f"{names[n]} stands twice", f"each {key or 'name'} once"
            )
    for part, names, known in (
        ("scenes", topology.scenes, list(topology.economy.scenes)),
        ("segments", topology.segments, list(topology.economy.segments)),
    ):
        for n, name in enumerate(names):
            if name not in known:
                yield Finding(
                    (part, n), f"{name} has no figures in economy.{part}{meant(name, known)}", ", ".join(known)
                )


def _inside(topology: Topology, day: date) -> bool:
    return topology.era.start_ms <= ms(day) < topology.era.end_ms


def _institutions(topology: Topology) -> Iterator[Finding]:
    for n, institution in enumerate(topology.institutions):
        if institution.certified is not None and not _inside(topology, institution.certified):
            yield Finding(
                ("institutions", n, "certified"),
                f"{institution.certified} lies outside the era",
                f"a date from {_era(topology)}",
            )
    if not topology.banks:
        yield Finding(("institutions",), "has no bank", "at least one institution of a kind ending in -bank")


def _sources(topology: Topology) -> Iterator[Finding]:
    known = list(topology.institution)
    teller: dict[str, str] = {}
    for n, source in enumerate(topology.sources):
        for k in _twice(source.topics):
            yield Finding(("sources", n, "topics", k), f"{source.topics[k]} stands twice", "each topic once")
        for k, name in enumerate(source.institutions):
            loc = ("sources", n, "institutions", k)
            if name not in known:
                yield Finding(loc, f"no institution {name!r}{meant(name, known)}", "the ids under institutions")
            elif name in teller:
                yield Finding(loc, f"{name} is told by {teller[name]} already", "each institution in one source, once")
            teller.setdefault(name, source.name)


def _levers(topology: Topology) -> Iterator[Finding]:
    for name, lever in topology.levers.items():
        if name in RESERVED_LEVERS:
            yield Finding(("levers", name), f"{name} is what the clock calls its own record", "another name")
        for n, decision in enumerate(lever.decisions):
            if not _inside(topology, decision.effective):
                loc = ("levers", name, "decisions", n, "effective")
                yield Finding(loc, f"{decision.effective} lies outside the era", f"a date from {_era(topology)}")
            elif ms(decision.effective) == topology.era.start_ms:
                loc = ("levers", name, "decisions", n, "effective")
                yield Finding(
                    loc,
                    f"{decision.effective} is the era's first day",
                    "a later date; the baseline holds from the first day",
                )


def _banks(topology: Topology) -> Iterator[Finding]:
    known = [*topology.banks, "other"]
    for name in topology.economy.bank_size:
        if name not in known:
            yield Finding(
                ("economy", "bank_size", name), f"no bank {name!r}{meant(name, known)}", "ids of banks, and other"
            )


def _lending(topology: Topology) -> Iterator[Finding]:
    """Who lends is there, and is told by a source of the topic `loans`, if any tells it."""
    known, banks = list(topology.institution), set(topology.banks)
    told = {name for source in topology.sources if "loans" in source.topics for name in source.institutions}
    for path, name, bank, lends in _lenders(topology):
        loc = ("lending", *path)
        if name not in known:
            yield Finding(loc, f"no institution {name!r}{meant(name, known)}", "the ids under institutions")
        elif bank and name not in banks:
            yield Finding(loc, f"{name} is no bank", "ids of banks")
        elif lends and told and name not in told:
            yield Finding(loc, f"no source of the topic loans tells of {name}", "lenders that a source of it tells")


def _loans(topology: Topology) -> Iterator[Finding]:
    """What is lent fits the event topic's bounds (schemas.eventtopics), else its events would be dead letters."""
    lending = topology.lending
    names = {name for _, name, _, lends in _lenders(topology) if lends}
    if len(names) > LENDERS_MAX:
        yield Finding(("lending",), f"has {len(names)} lenders", f"at most {LENDERS_MAX}")
    pools: list[tuple[tuple[str, ...], int]] = [(("pools", name), pool.weight) for name, pool in lending.pools.items()]
    terms: list[tuple[tuple[str, ...], TermsFigures]] = [(("offers", name), o) for name, o in lending.offers.items()]
    regional = lending.regional
    if lending.joint is not None:
        terms.append((("joint", "terms"), lending.joint.terms))
    if regional is not None:
        pools += [(("regional", "banks", name), bank.weight) for name, bank in regional.banks.items()]
        terms += [(("regional", role), getattr(regional, role)) for role in ("own", "referred", "cofinanced")]
        least, most = regional.platform_share
        if not 0.01 <= least <= most <= 0.2:
            yield Finding(
                ("lending", "regional", "platform_share"), f"{least:g} to {most:g} is not allowed", COFINANCED
            )
    for path, weight in pools:
        if weight * lending.thin > WEIGHT_MAX:
            found = f"{weight} times thin, {lending.thin}, is not allowed"
            yield Finding(("lending", *path, "weight"), found, f"at most {WEIGHT_MAX} together")
    for path, each in terms:
        if each.amount_yuan > AMOUNT_YUAN_MAX:
            found = f"{each.amount_yuan:g} is not allowed"
            yield Finding(("lending", *path, "amount_yuan"), found, f"at most {AMOUNT_YUAN_MAX}")
        decision = each.decision
        for key in ("median_seconds", "shared_median_seconds"):
            if (getattr(decision, key) or 0.0) > DECISION_S_MAX:
                found = f"{getattr(decision, key):g} is not allowed"
                yield Finding(("lending", *path, "decision", key), found, f"at most {DECISION_S_MAX}, 20 days")


def _lenders(topology: Topology) -> Iterator[tuple[tuple[str | int, ...], str, bool, bool]]:
    """(path, institution, must it be a bank, is it the lender) of whoever takes part in lending."""
    lending = topology.lending
    for key, offer in lending.offers.items():
        name, side = (offer.bank, "bank") if offer.bank is not None else (offer.platform, "platform")
        if name is not None:
            yield ("offers", key, side), name, side == "bank", True
    if lending.joint is not None:
        yield ("joint", "platform"), lending.joint.platform, False, True
        for n, bank in enumerate(lending.joint.banks):
            yield ("joint", "banks", n), bank, True, False
    if lending.regional is not None:
        for bank, figures in lending.regional.banks.items():
            yield ("regional", "banks", bank), bank, True, True
            for n, facilitator in enumerate(figures.facilitators):
                yield ("regional", "banks", bank, "facilitators", n), facilitator, False, False
    for n, fine in enumerate(lending.fines):
        yield ("fines", n, "bank"), fine.bank, True, False


def _figures(topology: Topology) -> Iterator[Finding]:
    used = set()
    bare: dict[str, None] = {}
    for path, value in numbers(topology.figured(), ""):
        key = covering(path, topology.figures)
        used.add(key)
        if key is None:
            bare.setdefault(path)
        if not math.isfinite(value):
            yield Finding(_loc(topology, path), f"{value} is not allowed", "a finite number")
    for path in bare:
        yield Finding(
            _loc(topology, path), "cites nothing", f"under figures, `{path}:` (or a beginning of it) with {WORDS}"
        )
    for key in topology.figures:
        if key not in used:
            yield Finding(
                ("figures", key), "covers no figure", "the path of a number of scale, institutions, economy or lending"
            )


def _loc(topology: Topology, path: str) -> tuple[str | int, ...]:
    """The path in the model of a figure's dotted path: institutions are a list, named by id."""
    part, *rest = path.split(".")
    if part == "institutions":
        return (part, [institution.id for institution in topology.institutions].index(rest[0]), *rest[1:])
    return (part, *rest)
