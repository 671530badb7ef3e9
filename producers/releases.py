"""When platforms ship and banks decide: dated steps that both the recursion and `operations` read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from producers.philox import seed_word, stream
from producers.scalar import word

if TYPE_CHECKING:
    from topologies import Topology

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Step:
    """Something an institution does on an epoch day; `days` since its proposal or last release, else None."""

    day: int
    institution: str
    kind: str
    days: int | None = None


def _uniform(seed: int, institution: str, index: int, n: int) -> int:
    """An integer in [0, n) of the institution's own stream."""
    return (word(seed_word(seed), stream("releases", institution), index) * n) >> 64


def platform_steps(topology: Topology, seed: int, institution: str, first: int, last: int) -> list[Step]:
    """Releases of a platform, one each `platform_release_days`, phase drawn once."""
    every = topology.economy.research.platform_release_days
    day = first + _uniform(seed, institution, 0, every)
    return [Step(d, institution, "RELEASE", every) for d in range(day, last, every)]


def bank_steps(topology: Topology, seed: int, institution: str, first: int, last: int) -> list[Step]:
    """Proposals, decisions (45 days later, give or take) and the releases built after them, of one bank."""
    research = topology.economy.research
    jitter = research.bank_decision_jitter_days
    cycle = research.bank_decision_days + research.bank_pause_days
    day = first + _uniform(seed, institution, 0, cycle)
    steps: list[Step] = []
    shipped: int | None = None
    serial = 0
    while day < last:
        serial += 1
        wait = research.bank_decision_days - jitter + _uniform(seed, institution, serial, 2 * jitter + 1)
        release = day + wait + research.bank_build_days
        steps.append(Step(day, institution, "PROPOSAL"))
        steps.append(Step(day + wait, institution, "DECISION", wait))
        steps.append(Step(release, institution, "RELEASE", None if shipped is None else release - shipped))
        shipped = release
        day += wait + research.bank_pause_days
    return [step for step in steps if step.day < last]


def steps(topology: Topology, seed: int, first: int, last: int) -> list[Step]:
    """All steps of the epoch days [first, last), ordered by day, institution in topology order, kind."""
    banks = set(topology.banks)
    found: list[Step] = []
    tellers = {i for source in topology.sources for i in source.institutions}
    for institution in topology.institutions:
        if institution.id not in tellers:
            continue
        make = bank_steps if institution.id in banks else platform_steps
        found += make(topology, seed, institution.id, first, last)
        if institution.id in banks and institution.certified is not None:
            found.append(Step((institution.certified - _EPOCH).days, institution.id, "CERTIFICATION"))
    order = {institution.id: n for n, institution in enumerate(topology.institutions)}
    return sorted((s for s in found if first <= s.day < last), key=lambda s: (s.day, order[s.institution], s.kind))
