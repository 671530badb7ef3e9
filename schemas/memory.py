"""Memory of a process that runs long: freed blocks stay in it, and the garbage collector leaves start-up alone."""

from __future__ import annotations

import ctypes
import gc
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_MMAP_MOST = 32 << 20  # the greatest glibc takes
_TRIM = 512 << 20


def keep_freed() -> bool:
    """Tells glibc to reuse blocks of up to 32 MB instead of unmapping them; True if it was told.

    A process that decodes or frames chunk after chunk otherwise pays a page fault for every 4 KB of each: seen on a
    virtual machine, 0.10 CPU-us an event on top of 0.12 for chunks of 40 000. For workers; to be called once, early.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    return bool(mallopt(_MMAP_THRESHOLD, _MMAP_MOST)) and bool(mallopt(_TRIM_THRESHOLD, _TRIM))


def leave_start_up_alone() -> None:
    """Takes every object there is now out of the garbage collector's rounds. To be called once, when start-up is over.

    A process with Numba and its kernels holds some 10**6 objects that live to its end. Each full collection walks them
    all, and so does the last one at exit.
    """
    gc.freeze()
