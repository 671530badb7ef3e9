"""Counting people out of bitmaps: uint64[..., words], bit p % 64 of word p // 64 is person p of a shard.

A weight is kept bit by bit: the bitmap of slice b holds whoever has bit b of a weight set. So a weighted number of
distinct people is sum(2^b * how many of them are in slice b), exact, and merges by OR like the people themselves
(O'Neil and Quass, Improved Query Performance with Variant Indexes, SIGMOD 1997, section 2.1: bit-sliced indexes).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

WEIGHT_BITS = 24
"""Slices of a weight: a power of two above any weight a topic allows."""


def several(bitmaps: UInt64) -> UInt64:
    """uint64[cells, words] of who is in at least two of uint64[cells, symbols, words]."""
    once, twice = np.zeros_like(bitmaps[:, 0]), np.zeros_like(bitmaps[:, 0])
    for symbol in range(bitmaps.shape[1]):
        twice |= once & bitmaps[:, symbol]
        once |= bitmaps[:, symbol]
    return twice


def counted(people: UInt64) -> Int64:
    """int64[cells]: how many are in each of uint64[cells, words]."""
    found: Int64 = np.bitwise_count(people).sum(axis=-1, dtype=np.int64)
    return found


def weighed(people: UInt64, slices: UInt64) -> Int64:
    """int64[cells, 2]: how many are in each of uint64[cells, words], and the sum of their weights. slices:
    uint64[WEIGHT_BITS, words].
    """
    weights = np.zeros(len(people), np.int64)
    for bit, held in enumerate(slices):
        weights += counted(people & held) << bit
    return np.stack((counted(people), weights), axis=-1)
