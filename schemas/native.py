"""Unaligned loads and stores, varints and word tables for the generated kernels. Little-endian hosts only.

Loads and stores check no bounds: a caller proves that eight (`load64`, `store64`) or ten (varints) bytes are there, by
padding its buffers. Every function is inlined into the kernels; positions are int64, bit patterns uint64.
"""

from __future__ import annotations

import sys
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba.extending import intrinsic

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("jinliu's kernels need a little-endian machine")

PADDING = 64  # bytes readable behind the last one, besides ten for every field of a record


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, bits: int) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.IntType(bits).as_pointer())


def _load64(typing_context: Any, array: Any, index: Any) -> Any:
    """Eight bytes of the uint8 array from `index` as little-endian uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], 64)
        return builder.load(pointer, align=1)

    return nb.uint64(array, nb.int64), generate


def _load8(typing_context: Any, array: Any, index: Any) -> Any:
    """The byte of the uint8 array at `index` as uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], 8)
        return builder.zext(builder.load(pointer, align=1), ir.IntType(64))

    return nb.uint64(array, nb.int64), generate


def _store64(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Writes uint64 `value` little-endian to eight bytes of the uint8 array from `index`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], 64)
        builder.store(arguments[2], pointer, align=1)
        return context.get_dummy_value()

    return nb.void(array, nb.int64, nb.uint64), generate


def _store8(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Writes the low byte of uint64 `value` to the uint8 array at `index`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], 8)
        builder.store(builder.trunc(arguments[2], ir.IntType(8)), pointer, align=1)
        return context.get_dummy_value()

    return nb.void(array, nb.int64, nb.uint64), generate


def _trailing_zeros(typing_context: Any, value: Any) -> Any:
    """Number of zero bits below the lowest one bit of a uint64; 64 for 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return nb.int64(nb.uint64), generate


def _leading_zeros(typing_context: Any, value: Any) -> Any:
    """Number of zero bits above the highest one bit of a uint64; 64 for 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return nb.int64(nb.uint64), generate


def _byte_swapped(typing_context: Any, value: Any) -> Any:
    """The uint64 with its bytes in reverse order."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return nb.uint64(nb.uint64), generate


# Any: numba's stubs describe the call with the typing context, the kernels call without it.
load64: Any = intrinsic(_load64)
load8: Any = intrinsic(_load8)
store64: Any = intrinsic(_store64)
store8: Any = intrinsic(_store8)
trailing_zeros: Any = intrinsic(_trailing_zeros)
leading_zeros: Any = intrinsic(_leading_zeros)
byte_swapped: Any = intrinsic(_byte_swapped)

_inlined = nb.njit(nogil=True, forceinline=True)
_called = nb.njit(nogil=True)

_TOP_BITS = np.uint64(0x8080808080808080)
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_ONE = np.uint64(1)
_SEVEN = np.uint64(7)
_128 = np.uint64(128)


@_called
def _long_varint(b, p):  # type: ignore[no-untyped-def]
    """A varint of nine or ten bytes. bad is 1 when it is longer or does not fit 64 bits."""
    value = np.uint64(0)
    shift = np.uint64(0)
    for i in range(10):
        byte = load8(b, p + i)
        value |= (byte & np.uint64(127)) << shift
        if byte < _128:
            return value, p + i + 1, np.int64(i == 9 and byte > _ONE)
        shift += _SEVEN
    return np.uint64(0), p + 10, np.int64(1)


@_inlined
def varint(b, p):  # type: ignore[no-untyped-def]
    """Zigzag varint at p: (int64 value, next position, bad). Reads at most ten bytes; padded encodings are accepted."""
    x = load64(b, p)
    if x & _128 == np.uint64(0):
        x &= np.uint64(127)
        return np.int64(x >> _ONE) ^ -np.int64(x & _ONE), p + 1, np.int64(0)
    stops = ~x & _TOP_BITS
    if stops == np.uint64(0):
        z, p, bad = _long_varint(b, p)
        return np.int64(z >> _ONE) ^ -np.int64(z & _ONE), p, bad
    size = (trailing_zeros(stops) + 1) >> 3
    x &= (stops ^ (stops - _ONE)) & _LOW_BITS  # the bytes up to the stop, without their top bits
    x = (x & np.uint64(0x007F007F007F007F)) | ((x & np.uint64(0x7F007F007F007F00)) >> _ONE)
    x = (x & np.uint64(0x00003FFF00003FFF)) | ((x & np.uint64(0x3FFF00003FFF0000)) >> np.uint64(2))
    x = (x & np.uint64(0x000000000FFFFFFF)) | ((x & np.uint64(0x0FFFFFFF00000000)) >> np.uint64(4))
    return np.int64(x >> _ONE) ^ -np.int64(x & _ONE), p + size, np.int64(0)


@_inlined
def varint_size(z):  # type: ignore[no-untyped-def]
    """Bytes that the zigzagged uint64 takes as a varint: ceil(bits / 7), at least 1."""
    return (70 - leading_zeros(z | _ONE)) // 7


@_inlined
def zigzag(v):  # type: ignore[no-untyped-def]
    """int64 to its zigzag uint64: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return np.uint64((v << 1) ^ (v >> 63))


@_inlined
def put_varint(b, p, z):  # type: ignore[no-untyped-def]
    """Writes the zigzagged uint64 as a varint at p and returns the next position; may scribble on up to ten bytes."""
    if z < _128:
        store8(b, p, z)
        return p + 1
    size = varint_size(z)
    if size > 8:
        for _ in range(size - 1):
            store8(b, p, z | _128)
            z >>= _SEVEN
            p += 1
        store8(b, p, z)
        return p + 1
    z = (z & np.uint64(0x000000000FFFFFFF)) | ((z & np.uint64(0x00FFFFFFF0000000)) << np.uint64(4))
    z = (z & np.uint64(0x00003FFF00003FFF)) | ((z & np.uint64(0x0FFFC0000FFFC000)) << np.uint64(2))
    z = (z & np.uint64(0x007F007F007F007F)) | ((z & np.uint64(0x3F803F803F803F80)) << _ONE)
    store64(b, p, z | (_TOP_BITS & ((_ONE << np.uint64(8 * size - 8)) - _ONE)))
    return p + size


@_inlined
def copy(target, p, source, q, n):  # type: ignore[no-untyped-def]
    """Copies n bytes by eights; reads and writes up to seven bytes more. Returns p + n."""
    for i in range(0, n, 8):
        store64(target, p + i, load64(source, q + i))
    return p + n


@_called
def move(b, source, target, n):  # type: ignore[no-untyped-def]
    """Moves n bytes within b; the ranges may overlap."""
    if target < source:
        for i in range(n):
            store8(b, target + i, load8(b, source + i))
    else:
        for i in range(n - 1, -1, -1):
            store8(b, target + i, load8(b, source + i))


@_called
def utf8(b, p, n):  # type: ignore[no-untyped-def]
    """1 if the n bytes at p are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates), else 0."""
    end = p + n
    while p < end:
        if end - p >= 8 and load64(b, p) & _TOP_BITS == np.uint64(0):
            p += 8
            continue
        lead = load8(b, p)
        p += 1
        if lead < _128:
            continue
        if lead < np.uint64(0xC2) or lead > np.uint64(0xF4):
            return 0
        more = 1 if lead < np.uint64(0xE0) else (2 if lead < np.uint64(0xF0) else 3)
        if p + more > end:
            return 0
        second = load8(b, p)
        least = np.uint64(0xA0) if lead == np.uint64(0xE0) else (np.uint64(0x90) if lead == np.uint64(0xF0) else _128)
        most = np.uint64(0x9F) if lead == np.uint64(0xED) else np.uint64(0x8F if lead == np.uint64(0xF4) else 0xBF)
        if second < least or second > most:
            return 0
        for i in range(1, more):
            if load8(b, p + i) & np.uint64(0xC0) != _128:
                return 0
        p += more
    return 1


@_inlined
def ends(b, p, n):  # type: ignore[no-untyped-def]
    """The first and the last eight of n bytes at p; all of them twice when they are fewer than eight."""
    first = load64(b, p)
    if n >= 8:
        return first, load64(b, p + n - 8)
    first &= (_ONE << np.uint64(8 * n)) - _ONE
    return first, first


@_inlined
def spread(first, last, n):  # type: ignore[no-untyped-def]
    """Hash of a word from its two ends and its length."""
    h = (first ^ np.uint64(n)) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(29)) ^ last) * np.uint64(0xBF58476D1CE4E5B9)
    return h ^ (h >> np.uint64(32))


@_called
def _same(b, p, pool, q, n):  # type: ignore[no-untyped-def]
    for i in range(n):  # noqa: SIM110  (numba knows no generator expressions)
        if load8(b, p + i) != load8(pool, q + i):
            return False
    return True


@_inlined
def lookup(b, p, n, base, mask, slots, words, pool):  # type: ignore[no-untyped-def]
    """Code of the n bytes at p in the table whose slots begin at `base`, else -1. Layout: `schemas.vocabulary`."""
    first, last = ends(b, p, n)
    slot = np.int64(spread(first, last, n)) & mask
    while True:
        word = np.int64(slots[base + slot])
        if word < 0:
            return np.int64(-1)
        alike = words[word, 0] == first and words[word, 1] == last and np.int64(words[word, 2]) == n
        if alike and (n <= 16 or _same(b, p, pool, np.int64(words[word, 3]), n)):
            return np.int64(words[word, 4])
        slot = (slot + 1) & mask
