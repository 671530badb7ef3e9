"""Known words of string fields as arrays that a kernel can search (decode) or copy from (encode)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from schemas.errors import UnsupportedSchema

_T = TypeVar("_T", bound=np.generic)
_MASK = (1 << 64) - 1
MAX_WORDS = 32_767  # codes are int16


@dataclass(frozen=True, slots=True)
class WordTables:
    """Open-addressing tables of several vocabularies, concatenated; all arrays are read-only.

    bounds int64[v, 2]: first slot, slot count - 1 of vocabulary v. slots int32: row of `words`, or -1.
    words uint64[w, 5]: first and last eight bytes, size, place in `pool`, code. pool uint8: the words' bytes, padded.
    """

    bounds: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int32]
    words: npt.NDArray[np.uint64]
    pool: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Snippets:
    """Pre-encoded Avro strings: snippet i is pool[at[i] : at[i] + size[i]]; its first head[i] bytes are the length."""

    pool: npt.NDArray[np.uint8]
    at: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    head: npt.NDArray[np.int64]


def checked(field: str, words: Sequence[str]) -> tuple[str, ...]:
    """The words as a tuple; raises UnsupportedSchema for duplicates or more than an int16 code can name."""
    known = tuple(words)
    if len(set(known)) != len(known):
        raise UnsupportedSchema(f"vocabulary of field {field!r} names a word twice")
    if len(known) > MAX_WORDS:
        raise UnsupportedSchema(f"vocabulary of field {field!r} has {len(known)} words; at most {MAX_WORDS} fit")
    return known


def word_tables(vocabularies: Sequence[Sequence[str]]) -> WordTables:
    """Search tables for the vocabularies, in order; at most a quarter of the slots is used, so probes are short."""
    bounds: list[tuple[int, int]] = []
    slots: list[int] = []
    words: list[tuple[int, ...]] = []
    pool = bytearray()
    for vocabulary in vocabularies:
        mask = (1 << max(2, (4 * len(vocabulary)).bit_length())) - 1
        table = [-1] * (mask + 1)
        for code, word in enumerate(vocabulary):
            data = word.encode()
            first, last = _ends(data)
            slot = _spread(first, last, len(data)) & mask
            while table[slot] >= 0:
                slot = (slot + 1) & mask
            table[slot] = len(words)
            words.append((first, last, len(data), len(pool), code))
            pool += data
        bounds.append((len(slots), mask))
        slots += table
    return WordTables(
        bounds=_frozen(np.array(bounds or [(0, 0)], np.int64)),
        slots=_frozen(np.array(slots or [-1], np.int32)),
        words=_frozen(np.array(words or [(0, 0, 0, 0, 0)], np.uint64)),
        pool=_frozen(np.frombuffer(bytes(pool) + bytes(8), np.uint8)),
    )


def snippets(vocabularies: Sequence[Sequence[str]]) -> tuple[Snippets, list[int]]:
    """Encoded words of all vocabularies, and the row of `at` where each vocabulary begins."""
    pool, at, size, head, begins = bytearray(), [0], [0], [0], []
    for vocabulary in vocabularies:
        begins.append(len(at))
        for word in vocabulary:
            data = word.encode()
            prefix = _varint(len(data))
            at.append(len(pool))
            size.append(len(prefix) + len(data))
            head.append(len(prefix))
            pool += prefix + data
    frozen = [_frozen(np.array(values, np.int64)) for values in (at, size, head)]
    return Snippets(_frozen(np.frombuffer(bytes(pool) + bytes(16), np.uint8)), *frozen), begins


def _ends(data: bytes) -> tuple[int, int]:
    """As `native.ends`."""
    first = int.from_bytes(data[:8], "little")
    return first, int.from_bytes(data[-8:], "little") if len(data) >= 8 else first


def _spread(first: int, last: int, size: int) -> int:
    """As `native.spread`."""
    h = ((first ^ size) * 0x9E3779B97F4A7C15) & _MASK
    h = ((h ^ (h >> 29) ^ last) * 0xBF58476D1CE4E5B9) & _MASK
    return h ^ (h >> 32)


def _varint(value: int) -> bytes:
    """Zigzag varint of a length."""
    z, out = value << 1, bytearray()
    while z >= 128:
        out.append(z & 127 | 128)
        z >>= 7
    return bytes([*out, z])


def _frozen(array: npt.NDArray[_T]) -> npt.NDArray[_T]:
    array.flags.writeable = False
    return array
