"""Rows packed for the wire and for stored state: only what is not zero.

A packed row is one version byte, four bytes of the layout's tag, then runs until the end: varint gap of zero cells
since the last run, varint length, the cells. Cells of sums and extremes are zigzag varints, words of bitmaps 8 bytes
little-endian. A row of zeros is b"". Kafka's own compression does the rest: the runs of a day's row are some 2 kB
where the row has 70 kB.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from streams import packkernel
from streams.errors import StateMismatch, SumOverflow
from streams.nativecode import native
from streams.rollup import Layout

Int64 = npt.NDArray[np.int64]
VERSION = 1
HEAD = 5
OK, OVERFLOW, MALFORMED = 0, 1, 2


@cache
def _pack() -> Any:
    return native(packkernel, "pack_row", "t.int64(ro(t.int64), t.int64, rw(t.uint8))", "put_varint")


@cache
def _absorb_packed() -> Any:
    signature = "t.int64(rw(t.int64), ro(t.uint8), t.int64, t.int64, rw(t.int64, 2))"
    return native(packkernel, "absorb_packed", signature, "get_varint", "merge_cell")


@cache
def _absorb_row() -> Any:
    return native(packkernel, "absorb_row", "t.int64(rw(t.int64), ro(t.int64), rw(t.int64, 2))", "merge_cell")


def pack(layout: Layout, row: Int64, scratch: npt.NDArray[np.uint8]) -> bytes:
    """A row int64[width] as bytes. scratch: uint8[scratch_size(layout)], overwritten."""
    size = _pack()(row, layout.bitmap, scratch)
    return bytes((VERSION,)) + layout.tag + scratch[:size].tobytes() if size else b""


def scratch_size(layout: Layout) -> int:
    return 20 * layout.width + 32


def absorb(layout: Layout, into: Int64, row: Int64) -> None:
    """Merge a row into another. Raises SumOverflow."""
    if _absorb_row()(into, row, layout.regions):
        raise _overflow(layout)


def unpack_into(layout: Layout, into: Int64, packed: bytes) -> None:
    """Merge packed bytes into a row int64[width].

    Raises StateMismatch for bytes of another version or definition or cut short, SumOverflow.
    """
    if not packed:
        return
    name = layout.rollup.name
    if packed[0] != VERSION or packed[1:HEAD] != layout.tag:
        raise StateMismatch(
            f"rollup {name!r}: stored rows belong to another version or definition; use a new prefix or data directory"
        )
    status = _absorb_packed()(into, np.frombuffer(packed, np.uint8), HEAD, layout.bitmap, layout.regions)
    if status == OVERFLOW:
        raise _overflow(layout)
    if status == MALFORMED:
        raise StateMismatch(
            f"rollup {name!r}: a stored row is damaged; rebuild the state from the events under a new prefix"
        )


def _overflow(layout: Layout) -> SumOverflow:
    return SumOverflow(f"rollup {layout.rollup.name!r}: a sum leaves int64; use a shorter window or drop a weight")
