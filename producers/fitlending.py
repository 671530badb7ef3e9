"""Fit of the lending section: `python -m producers.fitlending` writes its free parameters, with what they miss, into
the topology.

Seven parameters against eight targets, all measured on the simulated loans of the pools concerned (the same draws for
every trial): what `metrics.default-rates`, `metrics.channel-fees`, `metrics.joint-lending` and `metrics.bank-income`
will say of a run over the era. They fall into groups that do not touch one another. Three are exactly determined, one
parameter to one target, and show no more than that the mechanism can carry the figure: mu is steered by Baitiao's bad
debts, delta by China Merchants Bank's delinquency, the service share by the split of joint loans' revenue. Four of the
small banks' parameters have five targets, figures of one bank; beside them stand what was set by hand (the path of its
traffic, the rate of referred loans), which the figures' citations name. Rows that should emerge stay out: the gap
between Baitiao and the banks, Weilidai behind the credit system, the order of non-performing ratios, the year 2024 of
the small bank, and what the other small banks show.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares  # type: ignore[import-untyped, unused-ignore]

from producers.economy import Economy
from producers.fitfile import write
from producers.lending import life
from producers.lending.emitter import LoanEmitter
from producers.months import Months
from topologies.lending import PRODUCTS

if TYPE_CHECKING:
    from topologies import Topology

Columns = Mapping[str, NDArray[Any]]
UNDER_STUDY = "lan-hai"
MATURED_YEARS = (2018, 2022)  # vintages whose loans have ended by the end of the era
DELINQUENT = (life.DPD30, life.DPD60, life.DPD90)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A free parameter: its path in the lending section, the value before any fit, its bounds."""

    path: tuple[str, ...]
    before: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Target:
    """A row of the objective; tolerance: relative error that counts as one."""

    name: str
    value: float
    measure: Callable[[Figures], float]
    tolerance: float


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters and the targets that steer them and no others."""

    parameters: tuple[Parameter, ...]
    targets: tuple[Target, ...]


class Figures:
    """What the loans of a world come to; each is simulated when first asked for."""

    def __init__(self, topology: Topology, seed: int) -> None:
        self.economy = Economy(topology, seed)
        self._events: dict[tuple[str, str], Columns] = {}
        self._accounts: dict[str, dict[int, dict[str, float]]] = {}

    def events(self, source: str, pool: str) -> Columns:
        """All steps of the loans of a pool that a source tells over the era."""
        if (source, pool) not in self._events:
            era = self.economy.topology.era
            emitter = LoanEmitter(self.economy, source, era.start_ms, (pool,))
            parts = [
                emitter.rows(shard, era.start_ms, era.end_ms) for shard in range(self.economy.topology.scale.shards)
            ]
            self._events[source, pool] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return self._events[source, pool]

    def accounts(self, bank: str) -> dict[int, dict[str, float]]:
        """A small bank's years in fen: assets at the end, revenue, profit, commission, referred originations."""
        if bank not in self._accounts:
            self._accounts[bank] = dict(_years(self.economy, bank, self.events("banks", f"of-{bank}")))
        return self._accounts[bank]


def weighted(columns: Columns, where: NDArray[np.bool_], name: str) -> int:
    """Weighted sum of a column over the rows `where`."""
    return int((columns[name][where] * columns["weight"][where]).sum())


def _years(economy: Economy, bank: str, x: Columns) -> Any:
    kind, months, assets = x["kind"], Months(economy), 0
    of_year = x["event_time"].astype("M8[ms]").astype("M8[Y]").astype(np.int64) + 1970
    referred = np.isin(x["product"], [PRODUCTS.index("PARTNERSHIP"), PRODUCTS.index("COFINANCED")])
    for year in range(economy.first.year, int(of_year.max()) + 1):
        now = of_year == year
        repaid, funded = now & (kind == life.K_REPAID), now & (kind == life.K_FUNDED)
        lost = now & (kind == life.K_CHARGED_OFF)
        interest = weighted(x, repaid, "interest_fen") - weighted(x, repaid, "platform_interest_fen")
        money = weighted(x, lost | (now & (kind == life.K_DUE)), "bank_funding_fen")
        commission = weighted(x, now & (kind == life.K_COMMISSION), "amount_fen")
        losses = weighted(x, lost, "bank_fen") - weighted(x, now & (kind == life.K_RECOVERED), "bank_fen")
        came = weighted(x, funded | (now & (kind == life.K_BROUGHT_FORWARD)), "bank_fen")
        assets += came - (weighted(x, repaid, "bank_fen") - interest) - weighted(x, lost, "bank_fen")
        first, after = ((date(y, 1, 1) - date(1970, 1, 1)).days for y in (year, year + 1))
        beside: dict[str, int] = {}
        for day in range(first, after):
            for entry in months.of(bank, day):
                beside[entry.kind] = beside.get(entry.kind, 0) + (entry.amount_fen or 0)
        cost = beside["BRANCH_COST"] + beside["LABOUR_COST"] + beside["OTHER_COST"]
        revenue = interest + beside["PLATFORM_FEES"] - money - commission
        yield (
            year,
            {
                "assets": float(assets),
                "revenue": float(revenue),
                "profit": float(revenue - losses - cost - beside.get("FINE", 0)),
                "commission": float(commission),
                "partnership": float(
                    weighted(x, funded & (x["product"] == PRODUCTS.index("PARTNERSHIP")), "amount_fen")
                ),
                "referred": float(weighted(x, funded & referred, "amount_fen")),
                "funded": float(weighted(x, funded, "amount_fen")),
            },
        )


def default_rate(
    x: Columns, products: Collection[str], first: int = MATURED_YEARS[0], last: int = MATURED_YEARS[1]
) -> float:
    """Defaulted over disbursed amount of the vintages of whole years [first, last]."""
    mine = np.isin(x["product"], [PRODUCTS.index(product) for product in products])
    mine &= (x["vintage"] >= (first - 2010) * 12) & (x["vintage"] < (last + 1 - 2010) * 12)
    defaulted = mine & (x["kind"] == life.K_PAST_DUE) & (x["arrears"] == life.DPD90)
    return weighted(x, defaulted, "outstanding_fen") / weighted(x, mine & (x["kind"] == life.K_FUNDED), "amount_fen")


def delinquency(x: Columns) -> float:
    """Outstanding of loans 30 days or more past due over all outstanding, mean over the ends of the era's months."""
    order = np.argsort(x["event_time"], kind="stable")
    kind, arrears, weight = x["kind"][order], x["arrears"][order], x["weight"][order]
    left, principal = x["outstanding_fen"][order] * weight, x["principal_fen"][order] * weight
    came = (kind == life.K_FUNDED) | (kind == life.K_BROUGHT_FORWARD)
    stock = np.where(came, left, 0) - np.where((kind == life.K_REPAID) | (kind == life.K_CHARGED_OFF), principal, 0)
    behind = np.where(np.isin(kind, [life.K_PAST_DUE]) & (arrears == life.DPD30), left, 0)
    behind += np.where((kind == life.K_BROUGHT_FORWARD) & np.isin(arrears, DELINQUENT), left, 0)
    behind -= np.where((kind == life.K_REPAID) & np.isin(arrears, DELINQUENT), left + principal, 0)
    behind -= np.where((kind == life.K_CHARGED_OFF), principal, 0)
    month = x["event_time"][order].astype("M8[ms]").astype("M8[M]").astype(np.int64)
    ends = np.searchsorted(month, np.unique(month), side="right") - 1
    return float((np.cumsum(behind)[ends] / np.cumsum(stock)[ends]).mean())


def joint_split(x: Columns) -> float:
    """The platform's share of the revenue of joint loans while the cap holds."""
    repaid = (x["kind"] == life.K_REPAID) & (x["product"] == PRODUCTS.index("JOINT"))
    repaid &= x["vintage"] >= (2021 - 2010) * 12 + 2
    mine = weighted(x, repaid, "platform_interest_fen") + weighted(x, repaid, "service_fen")
    return mine / weighted(x, repaid, "interest_fen")


def grown(what: str) -> Callable[[Figures], float]:
    """2023 over 2018 of the bank under study."""

    def measure(figures: Figures) -> float:
        years = figures.accounts(UNDER_STUDY)
        return years[2023][what] / years[2018][what]

    return measure


def fee(year: int) -> Callable[[Figures], float]:
    """Commission over what it was paid for, of the bank under study."""

    def measure(figures: Figures) -> float:
        account = figures.accounts(UNDER_STUDY)[year]
        return account["commission"] / account["partnership"]

    return measure


GROUPS = (
    Group(
        (Parameter(("mean",), -1.95, -3.5, -0.5),),
        (Target("loan.baitiao-bad", 0.032, lambda f: default_rate(f.events("jd", "unbanked"), ["BAITIAO"]), 0.01),),
    ),
    Group(
        (Parameter(("discipline",), 0.45, 0.0, 2.0),),
        (Target("loan.cmb-delinquency", 0.016, lambda f: delinquency(f.events("banks", "cmb")), 0.01),),
    ),
    Group(
        (Parameter(("joint", "service"), 0.22, 0.0, 1.0),),
        (Target("coop.split", 0.30, lambda f: joint_split(f.events("alipay", "unbanked")), 0.01),),
    ),
    Group(
        (
            Parameter(("regional", "referred_mean"), 1.8, 0.5, 3.0),
            Parameter(("regional", "traffic"), 2.5, 0.5, 8.0),
            Parameter(("regional", "own", "rate"), 0.12, 0.08, 0.2),
            Parameter(("regional", "bargain", "beta"), 0.22, 0.0, 1.0),
        ),
        (
            Target("coop.fee-rise (start)", 0.005, fee(2018), 0.1),
            Target("coop.fee-rise (end)", 0.012, fee(2023), 0.03),
            Target("coop.lanhai-growth (assets)", 2.95, grown("assets"), 0.02),
            Target("coop.lanhai-growth (revenue)", 5.6, grown("revenue"), 0.03),
            Target("coop.lanhai-growth (profit)", 3.3, grown("profit"), 0.03),
        ),
    ),
)


def with_values(topology: Topology, values: Mapping[tuple[str, ...], float]) -> Topology:
    """The topology with parameters at `values`."""
    section: dict[str, Any] = topology.lending.model_dump()
    for path, value in values.items():
        place = section
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = float(value)
    return topology.model_copy(update={"lending": type(topology.lending).model_validate(section)})


def solve(topology: Topology, seed: int, group: Group, targets: Sequence[Target]) -> Topology:
    """Least squares of one group; the topology with its parameters."""
    paths = [parameter.path for parameter in group.parameters]

    def misses(x: Any) -> list[float]:
        figures = Figures(with_values(topology, dict(zip(paths, x, strict=True))), seed)
        return [(target.measure(figures) / target.value - 1) / target.tolerance for target in targets]

    found = least_squares(
        misses,
        [parameter.before for parameter in group.parameters],
        x_scale=[0.1 * abs(parameter.before) for parameter in group.parameters],
        bounds=([p.low for p in group.parameters], [p.high for p in group.parameters]),
        diff_step=0.03,  # defaults come one by one: a smaller step would see none
        xtol=1e-3,
        ftol=1e-3,
        max_nfev=12,
    )
    return with_values(topology, {path: float(f"{x:.5g}") for path, x in zip(paths, found.x, strict=True)})


def value_of(topology: Topology, path: tuple[str, ...]) -> float:
    """The value of a parameter in a topology."""
    place: Any = topology.lending
    for key in path:
        place = getattr(place, key)
    return float(place)


def main() -> None:
    """Fit, print, leave one out, write."""
    import topologies

    options = argparse.ArgumentParser(prog="python -m producers.fitlending", description=(__doc__ or "").split("\n")[0])
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--dry", action="store_true", help="print only")
    options.add_argument("--only", default="", help="fit only the groups with a target of which the name holds this")
    options.add_argument("--skip-left-out", action="store_true", help="do not refit with each row left out")
    options.add_argument("--measure", action="store_true", help="fit nothing: measure the rows as the world stands")
    chosen = options.parse_args()
    topology = topologies.load("china")
    rows: dict[str, dict[str, float]] = {name: row.model_dump() for name, row in topology.lending.fit.items()}
    for group in GROUPS:
        if not any(chosen.only in target.name for target in group.targets):
            continue
        before = topology
        if not chosen.measure:
            topology = solve(topology, chosen.seed, group, group.targets)
        for parameter in group.parameters:
            print(
                f"{'.'.join(parameter.path):32} {parameter.before:>10g} {value_of(topology, parameter.path):>10g}",
                flush=True,
            )
        figures = Figures(topology, chosen.seed)
        for target in group.targets:
            model = target.measure(figures)
            rows[target.name] = {"target": target.value, "model": model, "relative": model / target.value - 1}
            predicted = ""
            others = [each for each in group.targets if each is not target]
            if others and not chosen.skip_left_out and not chosen.measure:
                left_out = Figures(solve(before, chosen.seed, group, others), chosen.seed)
                predicted = f"left out {target.measure(left_out):.6g}"
            missed = model / target.value - 1
            print(f"  {target.name:30} {target.value:>10.6g} {model:>10.6g} {missed:>+8.2%} {predicted}", flush=True)
    if not chosen.dry:
        path = Path(topologies.__file__).parent / "china.yaml"
        values = {p.path: value_of(topology, p.path) for group in GROUPS for p in group.parameters}
        path.write_text(write(path.read_text(), "lending", values, rows, "producers.fitlending"))


if __name__ == "__main__":
    main()
