"""What a person sees while a stack runs: a table that moves in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from jinliu.overview import Overview

REFRESH_S = 0.25
LINE_S = 2.0
BAR = 24
NAMES = {"ALIPAY": "Alipay", "WECHAT_PAY": "WeChat Pay", "UNIONPAY": "UnionPay", "BANK": "banks' own"}


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
        """Simulated date, shares, events and windows."""
        rate = self._rate.look(overview.total("folded"))
        now = time.monotonic()
        if (not last and now - self._at < LINE_S) or overview.sim_ms is None:
            return
        self._at = now
        shares = "  ".join(
            f"{NAMES.get(name, name)} {row.share or 0:.1%}" for name, row in sorted(overview.share.items())
        )
        self._console.print(
            f"{day(overview.sim_ms)}  {shares}  | {overview.total('folded'):,} events, {rate:,.0f}/s, "
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
        self._live.update(_picture(overview, rate), refresh=True)
        if last:
            self._live.stop()


def _picture(overview: Overview, rate: float) -> Group:
    when = day(overview.sim_ms) if overview.sim_ms is not None else "waiting for the first window ..."
    shown = {row.window_start for row in overview.share.values()}
    title = Text.assemble(("jinliu 金流  ", "bold"), (when, "bold cyan"))
    table = Table(title=title, title_justify="left", expand=False)
    for name, justify in (
        ("channel", "left"),
        ("share of amount", "left"),
        ("", "right"),
        ("payments", "right"),
        ("yuan", "right"),
        ("status", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for channel, row in sorted(overview.share.items(), key=lambda each: -(each[1].share or 0)):
        share = row.share or 0.0
        bar = "█" * round(share * BAR)
        table.add_row(
            NAMES.get(channel, channel), Text(bar, style="cyan"), f"{share:.2%}", number(row.payments_weighted),
            number(row.amount_weighted_fen / 100), row.status.lower(),
        )  # fmt: skip
    if shown:
        table.caption = f"the newest closed day: {day(max(shown))}" if _closed(overview) else "the first window fills"
        table.caption_justify = "left"
    facts = (
        f"{overview.total('folded'):,} events ({rate:,.0f}/s)  lag {overview.lag:,}  "
        f"windows {overview.windows('FINAL'):,} final, "
        f"{overview.windows('INCOMPLETE'):,} incomplete of {overview.expected:,}  late {overview.total('late')}  "
        f"duplicate {overview.total('duplicate')}  dead {overview.total('dead')}"
    )
    return Group(
        table, Text(_quality(overview)), Text(facts, style="dim"), Text("Ctrl-C stops and keeps the data", style="dim")
    )


def _quality(overview: Overview) -> str:
    row = overview.quality
    if row is None or row.success_rate is None:
        return ""
    return (
        f"{row.window} from {day(row.window_start)}: {row.success_rate:.4%} succeed, "
        f"response p50 {row.latency_p50_ms:.0f} ms p99 {row.latency_p99_ms:.0f} ms, "
        f"{row.phished_users or 0:,} of {row.qr_users or 0:,} simulated people phished"
    )


def _closed(overview: Overview) -> bool:
    return all(row.status != "PROVISIONAL" for row in overview.share.values())


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
