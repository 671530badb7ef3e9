"""What a person sees while a stack runs: a table that moves in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console, Group, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from jinliu.overview import Overview

REFRESH_S = 0.25
LINE_S = 2.0
BAR = 24
SHARE_COLUMNS: Mapping[str, JustifyMethod] = {
    "channel": "left", "share of amount": "left", "": "right", "payments": "right", "yuan": "right", "status": "left",
}  # fmt: skip
LOAN_COLUMNS: Mapping[str, JustifyMethod] = {
    "lender": "left", "yuan owed": "right", "yuan lent": "right", "30+ days late": "right", "90+ days": "right",
    "status": "left",
}  # fmt: skip
LENDERS = 2
CLASSES = ("TRADITIONAL_BANKS", "PLATFORMS")
ALL = "ALL"
NAMES = {
    "ALIPAY": "Alipay", "WECHAT_PAY": "WeChat Pay", "UNIONPAY": "UnionPay", "BANK": "banks' own",
    "TRADITIONAL_BANKS": "banks alone", "PLATFORMS": "platforms", ALL: "all",
}  # fmt: skip


class View(Protocol):
    """Where `up` shows what happens."""

    def say(self, what: str, text: str) -> None:
        """One thing a newcomer wants to know once."""

    def show(self, overview: Overview, last: bool = False) -> None:
        """The state now; called often."""


class Silent:
    """Shows nothing: for --json, where standard output belongs to the document. Progress goes to standard error."""

    def __init__(self) -> None:
        self._lines = Lines(sys.stderr)

    def say(self, what: str, text: str) -> None:
        """To standard error."""
        self._lines.say(what, text)

    def show(self, overview: Overview, last: bool = False) -> None:
        """To standard error."""
        self._lines.show(overview, last)


class _Rate:
    """Events a second between looks."""

    def __init__(self) -> None:
        self._at, self._events, self.per_s = time.monotonic(), 0, 0.0

    def look(self, events: int) -> float:
        now = time.monotonic()
        if now - self._at >= 1.0:
            self.per_s = max(0, events - self._events) / (now - self._at)
            self._at, self._events = now, events
        return self.per_s


class Lines:
    """A line every other second."""

    def __init__(self, out: object = sys.stdout) -> None:
        self._console = Console(file=out, highlight=False, soft_wrap=True)  # type: ignore[arg-type]
        self._rate, self._at = _Rate(), 0.0

    def say(self, what: str, text: str) -> None:
        """`broker: 127.0.0.1:9092`."""
        self._console.print(f"{what}: {text}", markup=False)

    def show(self, overview: Overview, last: bool = False) -> None:
        """Simulated date, shares and loans, events and windows."""
        rate = self._rate.look(overview.total("folded"))
        now = time.monotonic()
        if (not last and now - self._at < LINE_S) or overview.sim_ms is None:
            return
        self._at = now
        said = [f"{NAMES.get(name, name)} {row.share or 0:.1%}" for name, row in sorted(overview.share.rows.items())]
        lent = overview.lent.rows.get(ALL)
        if lent is not None:
            owed = number(lent.outstanding_weighted_fen / 100)
            said.append(f"loans {owed} yuan, {lent.npl_ratio or 0:.2%} 90 days late")
        self._console.print(
            f"{day(overview.sim_ms)}  {'  '.join(said)}  | {overview.total('folded'):,} events, {rate:,.0f}/s, "
            f"windows {overview.windows('FINAL'):,} final {overview.windows('INCOMPLETE'):,} incomplete "
            f"of {overview.expected:,}",
            markup=False,
        )


class Terminal:
    """A live table in a terminal."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._rate, self._at, self._open = _Rate(), 0.0, False

    def say(self, what: str, text: str) -> None:
        """A dim line above the table."""
        self._console.print(Text(f"{what}: {text}", style="dim"))

    def show(self, overview: Overview, last: bool = False) -> None:
        """Redraw, at most four times a second."""
        rate = self._rate.look(overview.total("folded"))
        now = time.monotonic()
        if not last and now - self._at < REFRESH_S:
            return
        self._at = now
        if not self._open:
            self._live.start()
            self._open = True
        self._live.update(picture(overview, rate), refresh=True)
        if last:
            self._live.stop()


def picture(overview: Overview, rate: float) -> Group:
    """A table for each of payments and loans that is told of, and what has happened. rate: events a second."""
    when = day(overview.sim_ms) if overview.sim_ms is not None else "waiting for the first window ..."
    title = Text.assemble(("jinliu 金流  ", "bold"), (when, "bold cyan"))
    tables = [made(newest.rows) for made, newest in ((_shares, overview.share), (_loans, overview.lent)) if newest.rows]
    facts = (
        f"{overview.total('folded'):,} events ({rate:,.0f}/s)  lag {overview.lag:,}  "
        f"windows {overview.windows('FINAL'):,} final, "
        f"{overview.windows('INCOMPLETE'):,} incomplete of {overview.expected:,}  late {overview.total('late')}  "
        f"duplicate {overview.total('duplicate')}  dead {overview.total('dead')}"
    )
    quality = [Text(_quality(overview))] if overview.quality is not None else []
    return Group(
        title, *tables, *quality, Text(facts, style="dim"), Text("Ctrl-C stops and keeps the data", style="dim")
    )


def _table(rows: Mapping[str, Any], columns: Mapping[str, JustifyMethod]) -> Table:
    """A table about the window of some rows, still empty."""
    table = Table(expand=False, caption_justify="left")
    for name, justify in columns.items():
        table.add_column(name, justify=justify)
    row = next(iter(rows.values()))
    closed = all(each.status != "PROVISIONAL" for each in rows.values())
    table.caption = f"the newest closed {row.window}: {day(row.window_start)}" if closed else "the first window fills"
    return table


def _shares(rows: Mapping[str, Any]) -> Table:
    table = _table(rows, SHARE_COLUMNS)
    for channel, row in sorted(rows.items(), key=lambda each: -(each[1].share or 0)):
        share = row.share or 0.0
        bar = "█" * round(share * BAR)
        table.add_row(
            NAMES.get(channel, channel), Text(bar, style="cyan"), f"{share:.2%}", number(row.payments_weighted),
            number(row.amount_weighted_fen / 100), row.status.lower(),
        )  # fmt: skip
    return table


def _loans(rows: Mapping[str, Any]) -> Table:
    """Classes of lenders, the single lenders with the most outstanding, and all."""
    table = _table(rows, LOAN_COLUMNS)
    by_size = sorted(rows, key=lambda name: -rows[name].outstanding_weighted_fen)
    lenders = [name for name in by_size if name not in (*CLASSES, ALL)]
    for name in filter(rows.__contains__, (*CLASSES, *lenders[:LENDERS], ALL)):
        row = rows[name]
        table.add_row(
            NAMES.get(name, name), number(row.outstanding_weighted_fen / 100), number(row.funded_weighted_fen / 100),
            f"{row.delinquency_ratio or 0:.2%}", f"{row.npl_ratio or 0:.2%}", row.status.lower(),
        )  # fmt: skip
    return table


def _quality(overview: Overview) -> str:
    row = overview.quality
    if row.success_rate is None:
        return ""
    return (
        f"{row.window} from {day(row.window_start)}: {row.success_rate:.4%} succeed, "
        f"response p50 {row.latency_p50_ms:.0f} ms p99 {row.latency_p99_ms:.0f} ms, "
        f"{row.phished_users or 0:,} of {row.qr_users or 0:,} simulated people phished"
    )


def number(value: float) -> str:
    """A large number with its unit: 12.3 bn."""
    for unit, name in ((1e12, "tn"), (1e9, "bn"), (1e6, "m")):
        if abs(value) >= unit:
            return f"{value / unit:.2f} {name}"
    return f"{value:,.0f}"


def day(ms: int) -> str:
    """2022-03-01, with the time of day where it is not midnight."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%d") if ms % 86_400_000 == 0 else moment.strftime("%Y-%m-%d %H:%M:%S")


def view_for(as_json: bool) -> View:
    """The view that fits standard output."""
    if as_json:
        return Silent()
    return Terminal() if sys.stdout.isatty() else Lines()
