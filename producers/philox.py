"""Philox4x64-10, the counter-based generator, inside numba.

Every random word of the sources is a pure function `words(key, counter)`: nothing is drawn in sequence, so no result
depends on the order of calls, the size of a chunk or the number of processes. Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3" (SC 2011). Bit-equal with numpy: `words(k0, k1, c0, c1, c2, c3)` is
`numpy.random.Philox(key=[k0, k1], counter=c - 1).random_raw(4)`, since numpy counts up before its first block.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from producers.native import compiled

M0 = np.uint64(0xD2E7470EE14C6C93)
M1 = np.uint64(0xCA5A826395121157)
W0 = np.uint64(0x9E3779B97F4A7C15)
W1 = np.uint64(0xBB67AE8584CAA73B)


@intrinsic
def _mul_high(typing_context: Any, a: Any, b: Any) -> Any:
    """High 64 bits of the 128-bit product of two uint64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


_high: Any = _mul_high  # typed by its codegen, not by Python


@compiled
def words(
    k0: np.uint64, k1: np.uint64, c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Four random words (uint64) of the block `(c0, c1, c2, c3)` under the key `(k0, k1)`; all arguments uint64."""
    for _ in range(10):
        h0 = _high(M0, c0)
        l0 = M0 * c0
        h1 = _high(M1, c2)
        l1 = M1 * c2
        c0 = h1 ^ c1 ^ k0
        c1 = l1
        c2 = h0 ^ c3 ^ k1
        c3 = l0
        k0 = k0 + W0
        k1 = k1 + W1
    return c0, c1, c2, c3


def stream(*names: object) -> int:
    """Second key word of the stream of that name, such as `stream("alipay", "payments", 3)`: 64 bits of its SHA-256."""
    text = "/".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def seed_word(seed: int) -> int:
    """First key word: the seed modulo 2**64, so that negative seeds are seeds too."""
    return seed % (1 << 64)
