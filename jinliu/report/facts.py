"""The metric rows of a run, as measurements ask for them: closed windows that lie wholly inside the run's span."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from jinliu.oracle import spans
from schemas.errors import JinliuError

if TYPE_CHECKING:
    from jinliu.report.beside import Raw, Worlds
    from topologies import Topology

DAY_MS = 86_400_000
FINENESS = ("day", "month", "year")
Row = Mapping[str, Any]
Found = TypeVar("Found")


class UncoveredError(JinliuError):
    """The run does not cover what a claim is about; the text says which span would."""


@dataclass(frozen=True, slots=True)
class Period:
    """Days [first, after)."""

    first: date
    after: date

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.after - self.first).days

    def __str__(self) -> str:
        return f"{self.first} to {self.after - timedelta(days=1)}"


def year(number: int) -> Period:
    """A calendar year."""
    return Period(date(number, 1, 1), date(number + 1, 1, 1))


def ms(day: date) -> int:
    """Start of a day, UTC ms."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def day_of(moment_ms: int) -> date:
    """The day a moment lies in."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).date()


class Facts:
    """Rows by metric. rows: metric -> all newest rows of its topic; start_ms, end_ms: the run's span.

    untold: metrics that this world does not compute -> the topics that nobody tells. raw: what lies on the run's topics
    beside. worlds: what simulates the run's world with one lever moved.
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[Row]],
        start_ms: int,
        end_ms: int,
        topology: "Topology",
        *,
        untold: Mapping[str, str] | None = None,
        raw: "Raw | None" = None,
        worlds: "Worlds | None" = None,
    ) -> None:
        self.start_ms, self.end_ms, self.topology = start_ms, end_ms, topology
        self._rows: dict[tuple[str, str], list[Row]] = {}
        self._read = frozenset(rows)
        self._untold = dict(untold or {})
        self._raw, self._worlds = raw, worlds
        for metric, found in rows.items():
            for row in found:
                if "window" in row and start_ms <= row["window_start"] and row["window_end"] <= end_ms:
                    self._rows.setdefault((metric, row["window"]), []).append(row)

    @property
    def span(self) -> Period:
        """The run's whole days."""
        return Period(day_of(self.start_ms + DAY_MS - 1), day_of(self.end_ms))

    @property
    def raw(self) -> "Raw":
        """What lies on the run's topics beside metric rows. Raises UncoveredError where they cannot be read."""
        if self._raw is None:
            raise UncoveredError("needs the run's own topics, not its metrics alone")
        return self._raw

    @property
    def worlds(self) -> "Worlds":
        """What simulates worlds one lever apart. Raises UncoveredError where nothing does."""
        if self._worlds is None:
            raise UncoveredError("needs two worlds, simulated one lever apart")
        return self._worlds

    def _must_be_read(self, metric: str) -> None:
        if metric in self._untold:
            raise UncoveredError(
                f"topology {self.topology.name} has no source that tells {self._untold[metric]}, so there is no "
                f"metrics.{metric}"
            )
        if metric not in self._read:
            raise ValueError(f"metrics.{metric} was not read: `claims` of its METRIC names none of those asked")

    def over(self, metric: str, period: Period, coarsest: str = "month", **wanted: object) -> list[Row]:
        """FINAL rows of a metric that together cover a period, by time, in the finest windows up to `coarsest`.

        wanted: field -> value. Raises UncoveredError where the span or the closed windows do not cover the period,
        ValueError where the metric does not say that it answers a claim asked.
        """
        self._must_be_read(metric)
        if ms(period.first) < self.start_ms or ms(period.after) > self.end_ms:
            raise UncoveredError(f"needs a run over {period}; this one is over {self.span}")
        for window in FINENESS[: FINENESS.index(coarsest) + 1]:
            rows = [
                row
                for row in self._rows.get((metric, window), ())
                if ms(period.first) <= row["window_start"] < ms(period.after) and row["window_end"] <= ms(period.after)
            ]
            if rows:
                return sorted(self._closed(rows, metric, window, period, wanted), key=lambda row: row["window_start"])
        raise UncoveredError(f"metrics.{metric} holds no windows of a {coarsest} or less over {period}")

    def _closed(
        self, rows: list[Row], metric: str, window: str, period: Period, wanted: Mapping[str, object]
    ) -> list[Row]:
        present = {row["window_start"] for row in rows if row["status"] == "FINAL"}
        for due in spans.over(window, ms(period.first), ms(period.after)):
            if due.start not in present:
                raise UncoveredError(f"metrics.{metric}: the {window} of {day_of(due.start)} is not FINAL")
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    def whole_year(self, metric: str, number: int) -> list[Row]:
        """The FINAL rows of one window of a year, for what does not add up over months (distinct people).

        Raises UncoveredError, ValueError as `over`.
        """
        self._must_be_read(metric)
        period = year(number)
        if ms(period.first) < self.start_ms or ms(period.after) > self.end_ms:
            raise UncoveredError(f"needs a run over {period}; this one is over {self.span}")
        rows = [row for row in self._rows.get((metric, "year"), ()) if row["window_start"] == ms(period.first)]
        if not rows or any(row["status"] != "FINAL" for row in rows):
            raise UncoveredError(f"metrics.{metric}: the year {number} is not FINAL")
        return rows

    def months(self, first: date | None = None) -> Period:
        """The whole months of the span, from `first` on. Raises UncoveredError where there is none."""
        start = max(self.span.first, first) if first else self.span.first
        begin = start if start.day == 1 else _next_month(start)
        after = self.span.after.replace(day=1)
        if begin >= after:
            since = f" from {first}" if first else ""
            raise UncoveredError(f"needs a run over at least one whole month{since}; this one is over {self.span}")
        return Period(begin, after)

    def usual(self, first: date | None = None) -> Period:
        """The year 2022, of which most of the paper's undated figures are; where the run lacks it, its whole months."""
        whole = year(2022)
        if ms(whole.first) >= self.start_ms and ms(whole.after) <= self.end_ms:
            return whole
        return self.months(first)

    def decided(self, lever: str, value: object) -> date:
        """The day from which the topology sets a lever to a value. Raises UncoveredError where it never does."""
        for decision in self.topology.levers[lever].decisions:
            if decision.value == value:
                return decision.effective
        raise UncoveredError(f"topology {self.topology.name} never sets {lever} to {value}")

    def institutions(self, *kinds: str) -> list[str]:
        """Ids of the institutions of these kinds, in the topology's order."""
        return [item.id for item in self.topology.institutions if item.kind in kinds]


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def some(found: list[Found], what: str) -> list[Found]:
    """What was found, where there is any. Raises UncoveredError where there is none of `what`."""
    if not found:
        raise UncoveredError(f"there is no {what} in the closed windows")
    return found


def total(rows: Iterable[Row], name: str) -> int:
    """Sum of a field, null as 0."""
    return sum(row[name] or 0 for row in rows)


def by_window(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows grouped by window, in order of time."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["window_start"], []).append(row)
    return [groups[start] for start in sorted(groups)]


def named(metric: str, rows: Sequence[Row], period: Period, **key: object) -> str:
    """How a reader finds the rows again.

    `metrics.market-share month 2022-01-01 to 2022-12-31 channel=ALIPAY (12 windows)`.
    """
    windows = len({row["window_start"] for row in rows})
    what = "".join(f" {name}={'|'.join(value) if isinstance(value, tuple) else value}" for name, value in key.items())
    length = rows[0]["window"] if rows else "window"
    return f"metrics.{metric} {length} {period}{what} ({windows} window{'s' if windows != 1 else ''})"
