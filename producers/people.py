"""The people: persons 0..population-1, each a function of (seed, person id).

Segments are ranges of ids, so that a payer of a segment is drawn without a search. Bank, bureau record, QR adoption
and tastes come from the person's own block of random words.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from producers import scalar
from producers.native import entry, leaf
from producers.philox import seed_word, stream, words
from producers.sampling import high, low
from topologies.economy import SEGMENTS

if TYPE_CHECKING:
    from topologies import Topology

BANK_LUT = 4096
PERSON_STREAM = np.uint64(stream("person"))
MERCHANT_STREAM = np.uint64(stream("merchant"))
_ZERO = np.uint64(0)


@leaf
def traits(seed: np.uint64, person: int) -> tuple[int, int, int, int]:
    """32-bit draws of a person: bank, bureau record, rank in QR adoption within the segment, taste."""
    a, b, _c, _d = words(seed, PERSON_STREAM, np.uint64(person), _ZERO, _ZERO, _ZERO)
    return high(a), low(a), high(b), low(b)


@leaf
def merchant_bank(seed: np.uint64, payee: int, lut: NDArray[np.int16]) -> int:
    """Bank code of a merchant's account."""
    a, _b, _c, _d = words(seed, MERCHANT_STREAM, np.uint64(payee), _ZERO, _ZERO, _ZERO)
    return int(lut[high(a) >> 20])


@leaf
def segment_of(bounds: NDArray[np.int64], person: int) -> int:
    """Segment code of a person; bounds int64[5] are the first ids of the segments and the population."""
    s = 0
    while s < 3 and person >= bounds[s + 1]:
        s += 1
    return s


def _draw(stamp: str) -> Any:
    def draws(seed: np.uint64, persons: NDArray[np.int64]) -> NDArray[np.int64]:
        stamp  # noqa: B018  (keys the cache)
        out = np.empty((persons.shape[0], 4), np.int64)
        for i in range(persons.shape[0]):
            a, b, c, d = traits(seed, persons[i])
            out[i, 0] = a
            out[i, 1] = b
            out[i, 2] = c
            out[i, 3] = d
        return out

    return draws


draw_traits = entry(_draw)


class People:
    """The sample of adults of a world.

    Attributes
    ----------
    population : persons, adults / person_weight.
    bounds : int64[5], first id of each segment, then the population.
    bank_lut : int16[4096], bank code by the upper 12 bits of a person's bank draw, by size of the banks.
    """

    def __init__(self, topology: Topology, seed: int) -> None:
        economy = topology.economy
        self.seed = np.uint64(seed_word(seed))
        self.population = int(economy.adults // topology.scale.person_weight)
        self.bureau = round(economy.bureau_share * (1 << 32))
        shares = [economy.segments[s].share for s in SEGMENTS]
        edges = [0]
        for share in shares[:-1]:
            edges.append(edges[-1] + round(share * self.population))
        self.bounds = np.array([*edges, self.population], dtype=np.int64)
        sizes = [economy.bank_size.get(bank, economy.bank_size["other"]) for bank in topology.banks]
        self.bank_lut = apportion(sizes)
        self._figures = [economy.segments[s] for s in SEGMENTS]

    def adoption(self, days: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64[days, 4]: share of each segment that has adopted QR payment by the epoch day (logistic)."""
        epoch = date(1970, 1, 1)
        out = np.empty((len(days), len(SEGMENTS)), np.float64)
        for s, figures in enumerate(self._figures):
            middle = (figures.adoption_middle - epoch).days
            for i, day in enumerate(days):
                z = (int(day) - middle) / figures.adoption_spread_days
                out[i, s] = figures.adoption_ceiling / (1.0 + scalar.exp(-z))
        return out

    def of(self, persons: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Segment, bank code, bureau record (bool), adoption rank and taste (in [0, 1)) of int64 person ids."""
        draws = draw_traits(self.seed, np.ascontiguousarray(persons, dtype=np.int64))
        return {
            "segment": np.searchsorted(self.bounds[1:4], persons, side="right").astype(np.int8),
            "bank": self.bank_lut[draws[:, 0] >> 20],
            "bureau": draws[:, 1] < self.bureau,
            "adoption_rank": draws[:, 2] / 4294967296.0,
            "taste": draws[:, 3] / 4294967296.0,
        }


def apportion(sizes: list[float]) -> NDArray[np.int16]:
    """int16[4096]: code i in proportion to sizes[i] (largest remainders, at least one place each)."""
    total = scalar.added(sizes)
    exact = [size / total * (BANK_LUT - len(sizes)) for size in sizes]
    places = [int(x) for x in exact]
    order = sorted(range(len(sizes)), key=lambda i: (places[i] - exact[i], i))
    for i in order[: BANK_LUT - len(sizes) - sum(places)]:
        places[i] += 1
    return np.repeat(np.arange(len(sizes), dtype=np.int16), [n + 1 for n in places])
