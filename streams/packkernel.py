"""Merging and packing of rows, compiled by `streams.packing`; the format is told there."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, check-untyped-defs=False
from __future__ import annotations

import numpy as np


def merge_cell(op, a, b):
    """(status, merged) of two cells: ADD 0, MAX 1, MIN 2, OR 3; extremes hold 0 where none."""
    if op == 0:
        s = a + b
        if ((a ^ s) & (b ^ s)) < 0:
            return 1, a
        return 0, s
    if op == 3:
        return 0, a | b
    if b == 0 or (a != 0 and ((op == 1 and a >= b) or (op == 2 and a <= b))):
        return 0, a
    return 0, b


def absorb_row(into, row, regions):
    """Merge a dense row into another of the same layout; 0, or 1 at overflow."""
    for r in range(regions.shape[0]):
        op = regions[r, 2]
        for j in range(regions[r, 0], regions[r, 1]):
            if row[j] != 0:
                bad, into[j] = merge_cell(op, into[j], row[j])
                if bad:
                    return 1
    return 0


def put_varint(out, at, value):
    """Unsigned varint of the 64 bits of an int64; returns the place behind it."""
    v = np.uint64(value)
    while v >= np.uint64(128):
        out[at] = np.uint8((v & np.uint64(127)) | np.uint64(128))
        v >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(v)
    return at + 1


def pack_row(row, bitmap, out):
    """Write the runs of a row; returns how many bytes. `out` holds at least 20 bytes a cell."""
    width = row.shape[0]
    at, done, j = 0, 0, 0
    while j < width:
        if row[j] == 0:
            j += 1
            continue
        stop = bitmap if j < bitmap else width
        end = j + 1
        while end < stop and row[end] != 0:
            end += 1
        at = put_varint(out, at, j - done)
        at = put_varint(out, at, end - j)
        for k in range(j, end):
            value = row[k]
            if k < bitmap:
                at = put_varint(out, at, (value << np.int64(1)) ^ (value >> np.int64(63)))
            else:
                for b in range(8):
                    out[at + b] = np.uint8((value >> np.int64(8 * b)) & np.int64(255))
                at += 8
        done = j = end
    return at


def get_varint(data, at):
    """(value as int64 bits, place behind it); place -1 when the bytes end or go on too long."""
    value = np.uint64(0)
    for shift in range(0, 70, 7):
        if at >= data.shape[0]:
            return np.int64(0), -1
        byte = data[at]
        at += 1
        value |= np.uint64(byte & 127) << np.uint64(shift)
        if byte < 128:
            return np.int64(value), at
    return np.int64(0), -1


def absorb_packed(into, data, start, bitmap, regions):
    """Merge packed runs into a dense row; 0, 1 at overflow, 2 when the bytes are no runs of this layout."""
    at, j, region = start, np.int64(0), 0
    while at < data.shape[0]:
        gap, at = get_varint(data, at)
        if at < 0:
            return 2
        length, at = get_varint(data, at)
        if (
            at < 0
            or gap < 0
            or length < 1
            or gap > into.shape[0]
            or length > into.shape[0]
            or j + gap + length > into.shape[0]
        ):
            return 2
        j += gap
        for _ in range(length):
            while j >= regions[region, 1]:
                region += 1
            if j < bitmap:
                z, at = get_varint(data, at)
                if at < 0:
                    return 2
                value = np.int64(np.uint64(z) >> np.uint64(1)) ^ -(z & np.int64(1))
            else:
                if at + 8 > data.shape[0]:
                    return 2
                value = np.int64(0)
                for b in range(8):
                    value |= np.int64(data[at + b]) << np.int64(8 * b)
                at += 8
            bad, into[j] = merge_cell(regions[region, 2], into[j], value)
            if bad:
                return 1
            j += 1
    return 0
