"""The book of loans as a table: whatever is put in and forgotten, it holds what a dict holds."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from types import ModuleType

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import ledgerkernel, loankernel
from streams.loanbook import SLOTS, LoanBook
from tests.unit.streams.chunks import WORLD, plan_for, rows
from tests.unit.streams.loanlives import PLAN, parties, step

INT64 = st.integers(-(2**63), 2**63 - 1)


def last_homes() -> list[int]:
    """Loans whose probes begin at the last two slots, and so run over the end of the table."""
    with np.errstate(over="ignore"):
        return [n for n in range(50_000) if loankernel.home(n, SLOTS) >= SLOTS - 2][:40]


HOMES = last_homes()


def row(loan: int, stage: int) -> list[int]:
    return [loan, 4, 10, 7, stage, 1000 + loan % 7, 0] if stage else [loan, 0, 0, 0, 0, 0, 0]


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.one_of(st.sampled_from(HOMES), st.integers(0, 20), INT64), st.integers(0, 7)), max_size=200
    )
)
def test_it_holds_what_a_dict_holds(steps: list[tuple[int, int]]) -> None:
    book, truth = LoanBook(PLAN), dict[int, list[int]]()
    for loan, stage in steps:
        book.put(np.array([row(loan, stage)], np.int64))
        if stage:
            truth[loan] = row(loan, stage)
        else:
            truth.pop(loan, None)
        assert book.held == len(truth)
    assert book.loans().tolist() == [truth[loan] for loan in sorted(truth)]


def test_loans_with_one_home_really_meet() -> None:
    assert len(HOMES) == 40
    book = LoanBook(PLAN)
    book.put(np.array([row(loan, 1) for loan in HOMES], np.int64))
    assert np.count_nonzero(book._table[: len(HOMES) - 2, loankernel.STAND]) == len(HOMES) - 2, "around the end"


def test_it_grows_before_it_is_half_full_and_keeps_what_it_holds() -> None:
    book = LoanBook(PLAN)
    for low in range(0, 5000, 700):
        made = np.array([row(loan, 6) for loan in range(low, low + 700)], np.int64)
        book.put(made)
        assert 2 * book.held <= len(book._table)
    assert book.loans()[:, 0].tolist() == list(range(5600))


def test_a_chunk_of_more_applications_than_there_is_room_for_is_taken() -> None:
    plan = plan_for([], "loans", waiting=(1, 3))
    book = LoanBook(plan)
    shared = parties("CARD")
    log = [step(shared | {"loan_id": n}, "APPLIED", 1) for n in range(3 * SLOTS)]
    steps, table, changed, notes, *_ = book.life(rows(plan, log).columns["loan"])
    assert steps.shape == (21, 3 * SLOTS)
    assert len(table) >= 6 * SLOTS
    assert min(len(changed), len(notes)) >= 3 * SLOTS


def top_names(module: ModuleType) -> set[str]:
    """What a module defines on its own."""
    found: set[str] = set()
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


def test_the_kernels_share_no_name_but_the_one_that_is_replaced() -> None:
    assert {"walk", "OPEN", "SEQ"} < top_names(ledgerkernel)
    assert {"find", "APPLIED", "CAP_UNIT"} < top_names(loankernel)
    assert top_names(ledgerkernel) & top_names(loankernel) == {"objection"}


def test_the_tag_names_what_the_numbers_mean() -> None:
    turned = dataclasses.replace(WORLD, institutions=WORLD.institutions[::-1])
    assert LoanBook(PLAN).tag == LoanBook(plan_for([], "loans", waiting=(2, 3))).tag
    assert LoanBook(PLAN).tag != LoanBook(plan_for([], "loans", world=turned)).tag
