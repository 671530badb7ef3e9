"""`jinliu clear FILE`: what a file says, how it is settled, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from jinliu.clear import ClearError, Offsetting, as_dict, clear, read
from jinliu.cli import clear_command
from streams.settlement.deferred import Shortfall
from tests.unit.jinliu.test_cli import run

HEAD = "what,bank,to,amount_fen,priority\n"
RING = HEAD + "balance,A,,20,\nlimit,C,,5,\npays,A,B,90,\npays,B,A,30,\npays,B,C,60,\npays,C,A,40,\npays,A,C,10,1\n"
"""Made by hand. Lines 4 to 8 are payments; A owes 30 net and has 20."""


def written(folder: Path, text: str) -> Path:
    path = folder / "system.csv"
    path.write_text(text, encoding="utf-8")
    return path


def settled(folder: Path, offsetting: Offsetting, rule: Shortfall = Shortfall.EXCLUDE, fund: int = 0) -> dict[str, Any]:
    return as_dict(clear(read(written(folder, RING)), rule, fund, offsetting))


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    system = read(written(tmp_path, "\ufeff" + RING.replace(",A,", ", A ,") + "\n,,,,\n"))
    assert system.banks == ("A", "B", "C")
    assert (system.balance.tolist(), system.limit.tolist()) == ([20, 0, 0], [0, 0, 5])
    assert system.payments.sender.tolist() == [0, 1, 1, 2, 0]
    assert system.payments.receiver.tolist() == [1, 0, 2, 0, 2]
    assert system.payments.priority.tolist() == [0, 0, 0, 0, 1]
    assert system.lines == (4, 5, 6, 7, 8)


def test_netting_and_bounds_by_hand(tmp_path: Path) -> None:
    found = settled(tmp_path, Offsetting.FIFO)
    assert (found["gross_fen"], found["bilateral_net_fen"], found["multilateral_net_fen"]) == (230, 150, 30)
    assert (found["liquidity_least_fen"], found["liquidity_as_it_comes_fen"]) == (30, 90)
    assert [each["excluded"] for each in found["net"]["rounds"]] == ["A", "B", None]
    assert (found["net"]["settled_fen"], len(found["net"]["carried"])) == (0, 5)
    guaranteed = settled(tmp_path, Offsetting.FIFO, Shortfall.GUARANTEE, 10)["net"]
    assert (guaranteed["settled_fen"], guaranteed["drawn_fen"]) == (230, {"A": 10, "B": 0, "C": 0})
    assert settled(tmp_path, Offsetting.FIFO, Shortfall.NOTHING)["net"]["settled_fen"] == 0


@pytest.mark.parametrize(
    ("offsetting", "waiting"),
    [
        (Offsetting.NONE, [4, 5, 6, 7, 8]),
        (Offsetting.BILATERAL, [4, 5, 6, 7, 8]),
        (Offsetting.FIFO, [8]),
        (Offsetting.VALUE, [8]),
        (Offsetting.COUNT, [4, 6]),
    ],
)
def test_queues_are_settled_as_far_as_they_can_be(tmp_path: Path, offsetting: Offsetting, waiting: list[int]) -> None:
    gross = settled(tmp_path, offsetting)["gross"]
    amounts = {4: 90, 5: 30, 6: 60, 7: 40, 8: 10}
    assert gross["settled_fen"] == sum(fen for line, fen in amounts.items() if line not in gross["waiting"])
    if offsetting != Offsetting.COUNT:
        assert gross["waiting"] == waiting
    assert len(gross["waiting"]) <= len(waiting)
    for step in gross["steps"]:
        assert min(step["left_fen"].values()) >= 0
        assert sum(step["left_fen"].values()) == 25, "money is moved, not made"


def test_what_comes_in_goes_on(tmp_path: Path) -> None:
    text = HEAD + "balance,A,,10,\npays,C,A,5,\npays,B,C,10,\npays,A,B,10,\n"
    gross = as_dict(clear(read(written(tmp_path, text)), Shortfall.EXCLUDE, 0, Offsetting.NONE))["gross"]
    assert gross["steps"] == [{"how": "one by one", "lines": [5, 4, 3], "left_fen": {"A": 5, "B": 0, "C": 5}}]
    assert gross["waiting"] == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "line 1: the columns are what,bank,to,amount_fen,priority"),
        ("a,b\n", "line 1: the columns are"),
        (HEAD, "it has no line that begins with pays"),
        (HEAD + "pays,A,B\n", "line 2: 3 cells"),
        (HEAD + "pays,A,B,1,0,9\n", "line 2: 6 cells"),
        (HEAD + "pays,A,B,-1,\n", "line 2: amount_fen '-1' is no integer from 0 to"),
        (HEAD + "pays,A,B,1.5,\n", "amount_fen '1.5'"),
        (HEAD + "pays,A,B,٣,\n", "is no integer"),
        (HEAD + f"pays,A,B,{2**62 + 1},\n", "is no integer from 0 to"),
        (HEAD + f"pays,A,B,{2**62},\nbalance,A,,1,\n", "all amounts together are more than"),
        (HEAD + "pays,A,B,0,\n", "a bank pays another one more than 0 fen"),
        (HEAD + "pays,A,A,1,\n", "a bank pays another one"),
        (HEAD + "pays,A,,1,\n", "a bank pays another one"),
        (HEAD + "pays,,B,1,\n", "the bank is not named"),
        (HEAD + "pays,A,B,1,first\n", "priority 'first' is no integer from 0 to 100"),
        (HEAD + "owes,A,B,1,\n", "what is balance, limit or pays, not 'owes'"),
        (HEAD + "balance,A,,1,\nbalance,A,,2,\n", "line 3: a balance is told once"),
        (HEAD + "limit,A,B,1,\n", "a limit is told once for each bank, without to and priority"),
    ],
)
def test_a_file_that_cannot_be_settled_is_named_with_the_line(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ClearError) as caught:
        read(written(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "system.csv"))
    assert what in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ClearError, match="No such file"):
        read(tmp_path / "nothing.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClearError, match="it is not UTF-8"):
        read(tmp_path / "bytes.csv")
    with pytest.raises(ClearError, match="Is a directory"):
        read(tmp_path)


def test_the_command_prints_the_steps_or_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(tmp_path, RING))
    assert run(monkeypatch, "clear", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["gross"]["waiting"] == [8]
    assert run(monkeypatch, "clear", path, "--shortfall", "guarantee", "--fund", "10") == 0
    told = capsys.readouterr().out
    for part in ("netted by all 30 (13.0% of gross)", "settled 230 of 230, 10 of it by the guarantee fund", "8 still"):
        assert part in told
    assert run(monkeypatch, "clear", str(tmp_path / "nothing.csv")) == 2
    assert "No such file" in capsys.readouterr().err


def test_the_command_s_words_are_those_of_the_core() -> None:
    """The command line spells them out: to import the core for its help would cost each command."""
    for name, words in {"shortfall": Shortfall, "offsetting": Offsetting}.items():
        spelled = get_args(get_args(get_type_hints(clear_command, include_extras=True)[name])[0])
        assert spelled == tuple(words)


def test_many_banks_are_listed_pair_by_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = HEAD + "".join(f"pays,bank {n},bank {(n + 1) % 20},{n + 1},\n" for n in range(20))
    assert run(monkeypatch, "clear", str(written(tmp_path, text)), "--offsetting", "none") == 0
    told = capsys.readouterr().out
    assert "bank 19" in told
    assert "still wait" in told
