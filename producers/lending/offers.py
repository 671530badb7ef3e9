"""The pools and offers of a world as one table: what lenders, small banks and joint lending come to, spelled out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from topologies.lending import PRODUCTS

if TYPE_CHECKING:
    from topologies import Topology
    from topologies.lending import Lending, Path, TermsFigures

OWN, REFERRED, COFINANCED = range(3)
ALONE = "none"


@dataclass(frozen=True, slots=True)
class Pool:
    """Borrowers who are alike. first: id of the first of them; count: how many are simulated; weight: real ones each
    stands for. occasions: a borrower and year, by date.
    """

    name: str
    first: int
    count: int
    weight: int
    mean: float
    on_record: float
    occasions: tuple[Path, ...]
    several: float


@dataclass(frozen=True, slots=True)
class Offer:
    """What a pool may ask for, from whom. ask: share of its occasions, or of what the days' paths give; band: its
    place in joint lending, else -1; regional: the small bank's place among them, else -1; role: OWN, REFERRED or
    COFINANCED of a small bank.
    """

    name: str
    terms: TermsFigures
    lender: str
    bank: str
    platform: str
    pool: int
    ask: float
    funding_bank: float
    funding_platform: float
    band: int = -1
    regional: int = -1
    role: int = OWN

    @property
    def product(self) -> int:
        """Place among the symbols of the schema."""
        return PRODUCTS.index(self.terms.product)


@dataclass(frozen=True, slots=True)
class Table:
    """All pools and offers, in a fixed order."""

    pools: tuple[Pool, ...]
    offers: tuple[Offer, ...]

    @property
    def borrowers(self) -> int:
        """Their ids are 0 .. borrowers - 1."""
        last = self.pools[-1]
        return last.first + last.count


def table(topology: Topology) -> Table:
    """The table of a world."""
    figures = topology.lending
    pools: list[Pool] = []
    places: dict[str, int] = {}
    for name, people, weight, mean, on_record, occasions, several in _pools(figures):
        first = pools[-1].first + pools[-1].count if pools else 0
        places[name] = len(pools)
        pools.append(Pool(name, first, people // weight, weight, mean, on_record, occasions, several))
    return Table(tuple(pools), tuple(_offers(figures, places)))


def _pools(figures: Lending) -> list[tuple[str, int, int, float, float, tuple[Path, ...], float]]:
    found: list[tuple[str, int, int, float, float, tuple[Path, ...], float]] = [
        (name, p.people, p.weight * figures.thin, figures.mean + p.mean, p.on_record, (p.occasions_a_year,), p.several)
        for name, p in figures.pools.items()
    ]
    regional = figures.regional
    if regional is not None:
        found += [
            (
                f"of-{name}", bank.people, bank.weight * figures.thin, figures.mean + regional.mean, regional.on_record,
                (bank.own_occasions_a_year, bank.traffic_a_year), 0.0,
            )
            for name, bank in regional.banks.items()
        ]  # fmt: skip
    return found


def _offers(figures: Lending, places: dict[str, int]) -> list[Offer]:
    money = figures.funding
    found = [
        Offer(
            name, offer, offer.bank or offer.platform or ALONE, offer.bank or ALONE, offer.platform or ALONE,
            places[offer.pool], offer.ask, money.bank, money.platform,
        )
        for name, offer in figures.offers.items()
    ]  # fmt: skip
    joint = figures.joint
    if joint is not None:
        bands = len(joint.opacity)
        for band in range(bands):
            bank = joint.banks[band % len(joint.banks)]
            found.append(
                Offer(
                    f"joint-{band + 1}", joint.terms, joint.platform, bank, joint.platform, places[joint.pool],
                    1.0 / bands, money.bank, money.platform, band=band,
                )
            )  # fmt: skip
    regional = figures.regional
    if regional is not None:
        for place, (name, bank_figures) in enumerate(regional.banks.items()):
            partners = bank_figures.facilitators
            sides = (
                (OWN, regional.own, ALONE, 1.0),
                (REFERRED, regional.referred, partners[0], 1.0 - regional.cofinanced_share),
                (COFINANCED, regional.cofinanced, partners[-1], regional.cofinanced_share),
            )
            for role, terms, platform, ask in sides:
                found.append(
                    Offer(
                        f"{name}-{('own', 'referred', 'cofinanced')[role]}", terms, name, name, platform,
                        places[f"of-{name}"], ask, money.regional, money.platform, regional=place, role=role,
                    )
                )  # fmt: skip
    return found
