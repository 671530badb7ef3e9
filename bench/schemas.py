"""What decoding and encoding payments costs, in CPU-us per event. Prints; asserts nothing.

python -m bench.schemas
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas import catalog, memory, recordbatch
from schemas.decode import Decoder, Rows
from schemas.encode import Encoder

SOURCES = ("alipay", "wechat-pay", "unionpay", "banks")
BANKS = tuple(f"{name}-bank" for name in ("icbc", "ccb", "citic", "lan-hai", "we", "industrial")) + tuple(
    f"city-bank-{i}" for i in range(24)
)
WORDS = {"source": SOURCES, "payer_bank": BANKS, "payee_bank": BANKS}
FOLDED: tuple[str, ...] = (
    "source",
    "seq",
    "event_time",
    "payer_id",
    "scene",
    "channel",
    "payer_bank",
    "payee_bank",
    "amount_fen",
)
FOLDED += ("weight", "route", "outcome", "latency_ms", "fraud", "flagged")
TICKS = ("source", "seq", "kind", "tick_start", "tick_end", "events", "amount_fen")
ROUNDS = 7
EVENTS = 40_000


def payments(n: int, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """Columns of n payments with numbers as wide as a run's."""
    symbols = {
        field["name"]: len(field["type"]["symbols"])
        for field in catalog.schema("payment").parsed["fields"]
        if isinstance(field["type"], dict) and field["type"]["type"] == "enum"
    }
    columns: dict[str, npt.NDArray[Any]] = {
        name: rng.integers(0, count, n).astype(np.int8) for name, count in symbols.items()
    }
    columns |= {name: rng.integers(0, len(words), n).astype(np.int16) for name, words in WORDS.items()}
    columns |= {name: rng.random(n) < 0.3 for name in ("middleware", "detail_visible", "flagged")}
    columns |= {
        "seq": np.arange(n),
        "payment_id": (19 << 40) + np.arange(n),
        "event_time": 1_400_000_000_000 + np.sort(rng.integers(0, 86_400_000, n)),
        "payer_id": rng.integers(0, 100_000, n),
        "payee_id": rng.integers(0, 1_000_000, n),
        "amount_fen": np.exp(8.5 + 1.4 * rng.standard_normal(n)).astype(np.int64),
        "weight": np.full(n, 1_000_000),
        "latency_ms": rng.integers(10, 400, n).astype(np.int32),
    }
    return columns


def cost_us(work: Callable[[], object], events: int) -> float:
    """Least CPU-us per event over some rounds of at least 0.1 s each; warm."""
    work()
    least = float("inf")
    for _ in range(ROUNDS):
        calls, start = 0, time.process_time()
        while (spent := time.process_time() - start) < 0.1:
            work()
            calls += 1
        least = min(least, spent / calls / events * 1e6)
    return least


def decoded(decoder: Decoder, data: bytes | bytearray) -> Rows:
    """As an engine does it: split, checksum, decode."""
    return decoder.decode(recordbatch.split(data))


def main() -> None:
    """Measures and prints."""
    memory.keep_freed()
    start = time.perf_counter()
    encoder = Encoder("payment", 1, WORDS, "payer_id")
    decoder = Decoder({"payment": 1, "tick": 2}, WORDS, {"payment": FOLDED, "tick": TICKS})
    whole = Decoder({"payment": 1, "tick": 2}, WORDS)
    print(f"kernels ready after            {time.perf_counter() - start:8.2f} s")
    columns = payments(EVENTS, np.random.default_rng(1))
    buffer = np.empty(encoder.size_bound(EVENTS), np.uint8)

    for n in (EVENTS, 10_000, 60):
        end = encoder.into(buffer, 0, columns, 0, n, 0)
        records = buffer[:end].tobytes()
        print(f"\n{n} events, {end / n:.0f} bytes a record, CPU-us/event")
        print(f"encode                         {cost_us(partial(encoder.into, buffer, 0, columns, 0, n, 0), n):8.4f}")
        for codec in ("none", "lz4"):
            number = recordbatch.CODECS[codec]
            framing = cost_us(partial(recordbatch.frame, records, n, 0, number), n)
            framed = recordbatch.frame(records, n, 0, number)
            print(f"frame, {codec:23s} {framing:8.4f}")
            for name, which in (("wanted", decoder), ("all", whole)):
                spent = cost_us(partial(decoded, which, framed), n)
                print(f"split and decode {name + ', ' + codec:13s} {spent:8.4f}")

    end = encoder.into(buffer, 0, columns, 0, 60, 0)
    fetch = bytes(recordbatch.frame(buffer[:end].tobytes(), 60, 0)) * 100
    many = cost_us(partial(decoded, decoder, fetch), 6_000)
    print(f"\na fetch of 100 batches of 60    {many:8.4f}")


if __name__ == "__main__":
    main()
