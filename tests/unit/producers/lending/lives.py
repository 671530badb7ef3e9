"""The life of a loan, written down once more in plain Python: what each step needs, and what must add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from schemas import catalog

KINDS: tuple[str, ...] = next(
    field["type"]["symbols"] for field in catalog.schema("loan").parsed["fields"] if field["name"] == "kind"
)
BEFORE = {
    "APPLIED": ("NONE",), "BROUGHT_FORWARD": ("NONE",), "SCREENED": ("APPLIED",), "REFERRED": ("SCREENED",),
    "OFFERED": ("SCREENED", "REFERRED"), "APPROVED": ("OFFERED",), "REJECTED": ("SCREENED", "REFERRED", "OFFERED"),
    "ABANDONED": ("OFFERED",), "FUNDED": ("APPROVED",), "COMMISSION": ("OPEN",), "DUE": ("OPEN",), "REPAID": ("OPEN",),
    "PAST_DUE": ("OPEN",), "CHARGED_OFF": ("OPEN",), "RECOVERED": ("WRITTEN_OFF",),
}  # fmt: skip
MONEY = ("FUNDED", "DUE", "REPAID", "CHARGED_OFF", "RECOVERED", "BROUGHT_FORWARD")
MARKS = ("CURRENT", "DPD1", "DPD30", "DPD60", "DPD90")


def steps(columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of event columns in order; a field that is null is 0, `kind` and `arrears` are words."""
    lists = {name: np.asarray(column).tolist() for name, column in columns.items()}
    for i in range(len(lists["kind"])):
        row = {name: column[i] for name, column in lists.items() if not name.endswith("?")}
        for name in lists:
            if name.endswith("?") and not lists[name][i]:
                row[name[:-1]] = 0
        row["kind"], row["arrears"] = KINDS[row["kind"]], MARKS[row["arrears"]]
        yield row


class Lives:
    """Follows every loan; `take` raises AssertionError at the first step that cannot be."""

    def __init__(self) -> None:
        self.stage: dict[int, str] = {}
        self.left: dict[int, int] = {}
        self.funded: dict[int, int] = {}
        self.repaid: dict[int, int] = {}
        self.written_off: dict[int, int] = {}
        self.mark: dict[int, str] = {}
        self.at: dict[int, int] = {}

    def take(self, step: Mapping[str, Any]) -> None:
        """The next step in the log."""
        loan, kind = step["loan_id"], step["kind"]
        stage = self.stage.get(loan, "NONE")
        assert stage in BEFORE[kind], (loan, kind, stage)
        assert step["event_time"] >= self.at.get(loan, 0)
        assert loan // 256 == step["borrower_id"]
        assert step["months_on_book"] >= 0
        self.at[loan] = step["event_time"]
        self._parts(step)
        self.stage[loan] = {
            "FUNDED": "OPEN", "BROUGHT_FORWARD": "OPEN", "COMMISSION": "OPEN", "DUE": "OPEN", "REPAID": "OPEN",
            "PAST_DUE": "OPEN", "CHARGED_OFF": "WRITTEN_OFF", "RECOVERED": "WRITTEN_OFF", "REJECTED": "OVER",
            "ABANDONED": "OVER",
        }.get(kind, kind)  # fmt: skip
        self._money(loan, step)

    def _parts(self, step: Mapping[str, Any]) -> None:
        amount = step["amount_fen"] if step["kind"] in MONEY else 0
        assert step["principal_fen"] + step["interest_fen"] == amount
        assert step["bank_fen"] + step["platform_fen"] == amount
        assert 0 <= step["platform_interest_fen"] <= min(step["interest_fen"], step["platform_fen"])
        assert step["platform_fen"] - step["platform_interest_fen"] <= step["principal_fen"]
        assert 0 <= step["service_fen"] <= step["interest_fen"] - step["platform_interest_fen"]
        assert step["bank_funding_fen"] + step["platform_funding_fen"] <= step["amount_fen"]
        assert 0 <= step["bank_outstanding_fen"] <= step["outstanding_fen"]
        assert min(value for name, value in step.items() if name.endswith("_fen")) >= 0

    def _money(self, loan: int, step: Mapping[str, Any]) -> None:
        kind, amount = step["kind"], step["amount_fen"]
        if kind in ("FUNDED", "BROUGHT_FORWARD"):
            self.funded[loan] = self.left[loan] = amount
            self.mark[loan] = step["arrears"]
        elif kind == "REPAID":
            assert step["arrears"] == self.mark[loan]
            self.left[loan] -= step["principal_fen"]
            self.repaid[loan] = self.repaid.get(loan, 0) + step["principal_fen"]
            self.mark[loan] = "CURRENT"
            if not self.left[loan]:
                self.stage[loan] = "REPAID"
        elif kind == "PAST_DUE":
            assert MARKS.index(step["arrears"]) == MARKS.index(self.mark[loan]) + 1
            self.mark[loan] = step["arrears"]
        elif kind == "CHARGED_OFF":
            assert amount == self.left[loan]
            assert self.mark[loan] == step["arrears"] == "DPD90"
            self.written_off[loan], self.left[loan] = amount, 0
        elif kind == "RECOVERED":
            assert amount <= self.written_off[loan]
        if kind in ("FUNDED", "BROUGHT_FORWARD", "DUE", "REPAID", "PAST_DUE", "CHARGED_OFF"):
            assert step["outstanding_fen"] == self.left[loan] >= 0
            whole = self.repaid.get(loan, 0) + self.written_off.get(loan, 0) + self.left[loan]
            assert self.funded[loan] == whole
