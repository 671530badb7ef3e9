"""How long a settlement cycle takes, by how many banks there are.

`python -m bench.settlement [PAYMENTS_A_BANK]` prints a line of JSON for 10 to 300 banks: the median wall time in
milliseconds of netting and deferred settlement of a cycle in which some banks cannot pay, and of each way to offset as
many queued payments as all banks have. A last line tells what share of the optimum, as an integer program finds it,
offsetting reaches over 40 systems of 8 banks and 60 payments. It asserts nothing.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from streams.settlement import deferred, netting, queues
from tests.unit.streams.settlement.systems import optimum, system

BANKS = (10, 30, 100, 300)
REPEATS = 5


def median_ms(call: Callable[[], object]) -> float:
    """Of five calls."""
    spent = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        call()
        spent.append(time.perf_counter() - begun)
    return round(sorted(spent)[REPEATS // 2] * 1000, 3)


def measured(banks: int, each: int) -> dict[str, float]:
    """Milliseconds of each part, for payments with a long tail and balances that cover about half of the banks."""
    draw = np.random.default_rng(7)
    count = banks * each
    sender = draw.integers(0, banks, count)
    receiver = (sender + draw.integers(1, banks, count)) % banks
    amount = np.ceil(draw.lognormal(10.0, 1.5, count)).astype(np.int64)
    queue = queues.Payments(sender, receiver, amount, draw.integers(0, 3, count))
    owed = netting.matrix(banks, sender, receiver, amount)
    available = np.where(draw.random(banks) < 0.5, netting.lower_bound(owed), 0)
    return {
        "banks": banks,
        "payments": count,
        "net_ms": median_ms(
            lambda: (netting.netted(owed), deferred.settle(owed, available, deferred.Shortfall.EXCLUDE))
        ),
        "in_order_ms": median_ms(lambda: queues.in_order(queue, available)),
        "bilateral_ms": median_ms(lambda: queues.bilateral(queue, available)),
        "fifo_ms": median_ms(lambda: queues.fifo(queue, available)),
        "bypass_ms": median_ms(lambda: queues.bypass(queue, available, queues.Objective.VALUE))
        if count <= 3000
        else -1,
    }


def shares() -> dict[str, float]:
    """Of the optimum: what passing by reaches, and offsetting in order."""
    found = {}
    for objective in queues.Objective:
        most = passing = in_order = 0
        for seed in range(40):
            queue, available = system(seed, 8, 60, 1000)
            most += optimum(queue, available, objective)
            passing += queues.worth(queue, queues.bypass(queue, available, objective), objective)
            in_order += queues.worth(queue, queues.fifo(queue, available), objective)
        found |= {f"bypass_{objective}": round(passing / most, 4), f"fifo_{objective}": round(in_order / most, 4)}
    return found


if __name__ == "__main__":
    for banks in BANKS:
        print(json.dumps(measured(banks, int(sys.argv[1]) if len(sys.argv) > 1 else 20)), flush=True)
    print(json.dumps(shares()), flush=True)
