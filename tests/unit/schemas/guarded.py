"""Decodes hostile batches from memory that ends at an unreadable page. Run by test_decode as a child process."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[3]))

from schemas.decode import Decoder
from tests.unit.schemas.reference import EVERYTHING, EVERYTHING_ID, OTHER, OTHER_ID, VOCABULARIES, record
from tests.unit.schemas.test_decode import EXAMPLE, batch_of, good, mutated

PAGES = 4


def guarded() -> npt.NDArray[np.uint8]:
    """Some pages of memory, the page behind which cannot be read."""
    memory = mmap.mmap(-1, (PAGES + 1) * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if protect(address + PAGES * mmap.PAGESIZE, mmap.PAGESIZE, 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    return np.frombuffer(memory, np.uint8)[: PAGES * mmap.PAGESIZE]


class Guarded(Decoder):
    """A decoder whose buffer ends at the guarded page."""

    area: npt.NDArray[np.uint8]

    def _gather(self, batches):  # type: ignore[no-untyped-def]
        buffer, table, limit = super()._gather(batches)
        tail = self.area[len(self.area) - len(buffer) :]
        tail[:] = buffer
        tail = tail.view()
        tail.flags.writeable = False
        return tail, table, limit


def run(count: int) -> None:
    schemas = {"everything": (EVERYTHING_ID, EVERYTHING), "other": (OTHER_ID, OTHER)}
    decoder = Guarded.of_schemas(schemas, VOCABULARIES)
    assert isinstance(decoder, Guarded)
    decoder.area = guarded()
    rng = np.random.default_rng(7)
    whole = b"".join(record(i, b"k", good(EXAMPLE)) for i in range(3))
    for i in range(count):
        data = mutated(rng, whole) if i % 2 else whole[: int(rng.integers(0, len(whole)))]
        if i % 5 == 0:
            data = data[:-20] + b"\xff" * 20
        decoder.decode([batch_of(data, 3)])
    print(f"{count} batches", flush=True)


if __name__ == "__main__":
    run(2_000)
