"""The settlement core on a file: obligations, balances and limits as CSV in, the steps of their settlement out.

    what,bank,to,amount_fen,priority
    balance,A,,5000,
    limit,A,,1000,
    pays,A,B,3000,0

`balance` is a bank's money, `limit` the credit it may use beside it (both 0 where they are not told, and told once),
`pays` a payment of it; the lines' sequence is that of arrival, priority 0 (or empty) comes first.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from schemas.errors import JinliuError
from streams.settlement import deferred, netting, queues
from streams.settlement.deferred import NetSettlement, Shortfall
from streams.settlement.netting import AMOUNT_MAX, Int64
from streams.settlement.queues import Objective, Payments

COLUMNS = ("what", "bank", "to", "amount_fen", "priority")


class Offsetting(StrEnum):
    """How queued payments settle many at once."""

    NONE = "none"
    BILATERAL = "bilateral"
    FIFO = "fifo"
    VALUE = "value"
    COUNT = "count"


class ClearError(JinliuError):
    """A file that cannot be settled; the text says which line, and what to do."""


class System(NamedTuple):
    """Banks in the order of their names, fen each; payments by arrival, and the line of the file each is on."""

    banks: tuple[str, ...]
    balance: Int64
    limit: Int64
    payments: Payments
    lines: tuple[int, ...]


class Step(NamedTuple):
    """Payments that settled, by number of the payment, and what each bank has left behind them, balance and limit."""

    how: str
    payments: Int64
    left: Int64


class Cleared(NamedTuple):
    """Both ways to settle a system, each from the start. waiting: numbers of the payments still queued in the end."""

    system: System
    owed: Int64
    net: NetSettlement
    steps: tuple[Step, ...]
    waiting: Int64


def read(path: Path) -> System:
    """The system in a file. Raises ClearError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ClearError(f"{path}: {reason}") from error
    lines = csv.reader(text.splitlines())
    head = tuple(cell.strip() for cell in next(lines, []))
    if head != COLUMNS:
        raise ClearError(f"{path}, line 1: the columns are {','.join(COLUMNS)}")
    banks: dict[str, int] = {}
    money: dict[tuple[str, int], int] = {}
    rows, at = [], []
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}, line {lines.line_num}"
        what, bank, to, amount, priority = _cells(where, cells)
        number = banks.setdefault(bank, len(banks))
        fen = _integer(where, "amount_fen", amount, AMOUNT_MAX)
        if what == "pays":
            if not to or to == bank or fen == 0:
                raise ClearError(f"{where}: a bank pays another one more than 0 fen")
            order = _integer(where, "priority", priority or "0", 100)
            rows.append((number, banks.setdefault(to, len(banks)), fen, order))
            at.append(lines.line_num)
        elif what in ("balance", "limit"):
            if (what, number) in money or to or priority:
                raise ClearError(f"{where}: a {what} is told once for each bank, without to and priority")
            money[what, number] = fen
        else:
            raise ClearError(f"{where}: what is balance, limit or pays, not {what!r}")
    if not rows:
        raise ClearError(f"{path}: it has no line that begins with pays")
    names = sorted(banks)
    places = np.empty(len(names), np.int64)
    places[[banks[name] for name in names]] = np.arange(len(names))
    payer, payee, amounts, priority_of = np.array(rows, np.int64).T
    balance, limit = (
        np.array([money.get((what, banks[name]), 0) for name in names], np.int64) for what in ("balance", "limit")
    )
    if sum(money.values()) + sum(row[2] for row in rows) > AMOUNT_MAX:
        raise ClearError(f"{path}: all amounts together are more than {AMOUNT_MAX} fen")
    queue = Payments(places[payer], places[payee], amounts, priority_of)
    return System(tuple(names), balance, limit, queue, tuple(at))


def _cells(where: str, cells: list[str]) -> tuple[str, str, str, str, str]:
    if len(cells) > len(COLUMNS) or len(cells) < 4:
        raise ClearError(f"{where}: {len(cells)} cells, the columns are {','.join(COLUMNS)}")
    what, bank, to, amount, priority = (cell.strip() for cell in (*cells, "")[: len(COLUMNS)])
    if not bank:
        raise ClearError(f"{where}: the bank is not named")
    return what, bank, to, amount, priority


def _integer(where: str, name: str, text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise ClearError(f"{where}: {name} {text!r} is no integer from 0 to {most}")
    return int(text)


def clear(system: System, rule: Shortfall, fund: int, offsetting: Offsetting) -> Cleared:
    """Settle a system, all at once by net positions and, apart from that, one by one with offsetting of the queues."""
    available = system.balance + system.limit
    owed = netting.matrix(len(system.banks), *system.payments[:3])
    net = deferred.settle(owed, available, rule, fund)
    left, waiting, steps = available, np.arange(len(system.lines)), []
    ways = {"one by one": _one_by_one, **({offsetting.value: _offsets(offsetting)} if offsetting != "none" else {})}
    moved = True
    while moved:
        moved = False
        for how, way in ways.items():
            queue = system.payments.taken(waiting)
            numbers = way(queue, left)
            if len(numbers):
                moved = True
                done = np.zeros(len(waiting), bool)
                done[numbers] = True
                left = left + queues.flows(queue, done, len(left))
                steps.append(Step(how, waiting[numbers], left))
                waiting = waiting[~done]
    return Cleared(system, owed, net, tuple(steps), waiting)


def _one_by_one(queue: Payments, left: Int64) -> Int64:
    return queues.in_order(queue, left)


def _offsets(how: Offsetting) -> Callable[[Payments, Int64], Int64]:
    def offset(queue: Payments, left: Int64) -> Int64:
        match how:
            case Offsetting.BILATERAL:
                return np.flatnonzero(queues.bilateral(queue, left))
            case Offsetting.FIFO:
                return np.flatnonzero(queues.fifo(queue, left))
        return np.flatnonzero(queues.bypass(queue, left, Objective(how.value)))

    return offset


def as_dict(cleared: Cleared) -> dict[str, Any]:
    """What was done, as a document; payments by the lines they are on."""
    system, net = cleared.system, cleared.net
    totals = netting.netted(cleared.owed)
    needed = netting.upper_bound(len(system.banks), *system.payments[:3])

    def by_bank(amounts: Int64) -> dict[str, int]:
        return dict(zip(system.banks, amounts.tolist(), strict=True))

    def pairs(owed: Int64) -> list[dict[str, Any]]:
        return list(_pairs(system, owed))

    def lines(numbers: Int64) -> list[int]:
        return [system.lines[number] for number in numbers.tolist()]

    return {
        "banks": [
            {"bank": bank, "balance_fen": int(system.balance[i]), "limit_fen": int(system.limit[i])}
            for i, bank in enumerate(system.banks)
        ],
        "obligations": pairs(cleared.owed),
        "gross_fen": totals.gross,
        "bilateral_net_fen": totals.bilateral,
        "multilateral_net_fen": totals.multilateral,
        "netting_ratio": totals.ratio,
        "liquidity_least_fen": int(netting.lower_bound(cleared.owed).sum()),
        "liquidity_as_it_comes_fen": int(needed.sum()),
        "net": {
            "rounds": [
                {
                    "positions_fen": by_bank(each.positions),
                    "lacking_fen": by_bank(each.lacking),
                    "excluded": system.banks[each.excluded] if each.excluded >= 0 else None,
                }
                for each in net.rounds
            ],
            "settled_fen": int(net.settled.sum()),
            "carried": pairs(net.carried),
            "drawn_fen": by_bank(net.drawn),
            "cover_fen": net.cover,
        },
        "gross": {
            "steps": [
                {"how": each.how, "lines": lines(each.payments), "left_fen": by_bank(each.left)}
                for each in cleared.steps
            ],
            "settled_fen": totals.gross - int(system.payments.amount[cleared.waiting].sum()),
            "waiting": lines(cleared.waiting),
        },
    }


def _pairs(system: System, owed: Int64) -> Iterator[dict[str, Any]]:
    for payer, payee in np.argwhere(owed).tolist():
        yield {"bank": system.banks[payer], "to": system.banks[payee], "amount_fen": int(owed[payer, payee])}
