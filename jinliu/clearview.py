"""How `jinliu clear` looks in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

MOST_BANKS = 12
"""As many columns as fit; the obligations of more are listed pair by pair."""


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print what `jinliu.clear.as_dict` tells, step by step."""
    banks = [each["bank"] for each in found["banks"]]
    console.print("[bold]What is owed[/bold], fen")
    console.print(_matrix(found["obligations"], banks))
    gross, pairs, net = found["gross_fen"], found["bilateral_net_fen"], found["multilateral_net_fen"]
    console.print(
        f"gross {gross:,}; netted by pairs {pairs:,}; netted by all {net:,} ({found['netting_ratio']:.1%} of gross)\n"
        f"the least of own money that settles all: {found['liquidity_least_fen']:,}; "
        f"as it comes, without waiting: {found['liquidity_as_it_comes_fen']:,}\n"
    )
    console.print("[bold]Net, all at once[/bold]")
    for number, each in enumerate(found["net"]["rounds"], 1):
        console.print(f"round {number}", _money(banks, found, each))
        if each["excluded"] is not None:
            lacks = each["lacking_fen"][each["excluded"]]
            console.print(f"{escape(each['excluded'])} lacks {lacks:,}: it is left out, with all it owes and is owed")
    drawn = sum(found["net"]["drawn_fen"].values())
    fund = f", {drawn:,} of it by the guarantee fund" if drawn else ""
    console.print(
        f"settled {found['net']['settled_fen']:,} of {gross:,}{fund}; "
        f"the largest debtor's position is {found['net']['cover_fen']:,}\n"
    )
    console.print("[bold]Gross, in the queues' order[/bold]")
    for number, each in enumerate(found["gross"]["steps"], 1):
        lines = ", ".join(map(str, each["lines"]))
        left = ", ".join(f"{escape(bank)} {fen:,}" for bank, fen in each["left_fen"].items())
        console.print(f"{number}. {each['how']}: lines {lines}; left: {left}")
    waiting = found["gross"]["waiting"]
    still = f"lines {', '.join(map(str, waiting))} still wait" if waiting else "nothing waits"
    console.print(f"settled {found['gross']['settled_fen']:,} of {gross:,}; {still}")


def _matrix(owed: list[dict[str, Any]], banks: list[str]) -> Table:
    if len(banks) > MOST_BANKS:
        table = Table("bank", "owes", "fen")
        for each in owed:
            table.add_row(escape(each["bank"]), escape(each["to"]), f"{each['amount_fen']:,}")
        return table
    table = Table("owes", *(escape(bank) for bank in banks))
    cells = {(each["bank"], each["to"]): f"{each['amount_fen']:,}" for each in owed}
    for bank in banks:
        table.add_row(escape(bank), *(cells.get((bank, to), "") for to in banks))
    return table


def _money(banks: list[str], found: Mapping[str, Any], each: Mapping[str, Any]) -> Table:
    table = Table("bank", "position", "has", "lacks")
    has = {bank["bank"]: bank["balance_fen"] + bank["limit_fen"] for bank in found["banks"]}
    for bank in banks:
        lacking = each["lacking_fen"][bank]
        table.add_row(
            escape(bank), f"{each['positions_fen'][bank]:,}", f"{has[bank]:,}", f"{lacking:,}" if lacking else ""
        )
    return table
