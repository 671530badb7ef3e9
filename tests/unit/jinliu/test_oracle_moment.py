"""The proof of a stack that runs, or was stopped anywhere: what is not done yet is left out, never called different."""

import json
from typing import Any

import pytest

from jinliu import proofview
from jinliu.oracle import OracleError, Verdict, plain, verify
from jinliu.oracle.decode import bare
from jinliu.oracle.moment import look
from schemas import catalog, wire
from streams.metrics import load
from streams.plan import told
from streams.rows import avro
from tests.unit.jinliu.engine_run import RUN, operations, payments, processed, topology
from tests.unit.jinliu.moving_stack import MovingStack

ROLLED = [name for name, metric in told(load(), RUN["roster"]).items() if metric.rollups]


def raw() -> dict[str, list[list[bytes | None]]]:
    return {"payments": payments(), "operations": operations()}


def proved(log: Any) -> Verdict:
    return verify("", "", topology(), log=log)


@pytest.fixture(scope="module")
def whole() -> Verdict:
    stack = MovingStack(raw(), 0)
    stack.finish()
    return proved(stack)


def test_a_stack_that_came_to_its_end_leaves_nothing_out(whole: Verdict) -> None:
    assert (whole.differences, whole.unread, whole.unmerged) == ([], 0, 0)
    assert whole.compared == proved(processed(raw())).compared


@pytest.mark.parametrize("seed", range(0, 60, 4))
def test_nothing_differs_wherever_a_stack_was_stopped(seed: int, whole: Verdict) -> None:
    stack = MovingStack(raw(), seed)
    for _ in range(60 + 25 * seed):
        stack.step()
    stack.settle()
    stopped = proved(stack)
    assert stopped.differences == []
    stack.finish()
    ended = proved(stack)
    assert (ended.differences, ended.unread, ended.unmerged) == ([], 0, 0)
    assert ended.compared == whole.compared


@pytest.mark.parametrize("seed", range(0, 60, 2))
def test_nothing_differs_while_a_stack_goes_on(seed: int) -> None:
    stack = MovingStack(raw(), seed, pace=80)
    for _ in range(60 + 20 * seed):
        stack.step()
    assert proved(stack).differences == []


def between_fold_and_merge() -> MovingStack:
    """All is folded, nothing merged."""
    stack = MovingStack(raw(), 1)
    merges = [owner for owner in stack.owners if owner.topic.startswith("partials.")]
    stack.owners = [owner for owner in stack.owners if owner not in merges]
    stack.finish()
    stack.owners += merges
    return stack


def test_a_log_that_stops_between_fold_and_merge_has_windows_left_out(
    whole: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = between_fold_and_merge()
    verdict = proved(stack)
    closed = {name: {(row[0], row[1]) for row in _keys(name)} for name in ROLLED}
    assert (verdict.different, verdict.unread) == (0, 0)
    assert verdict.unmerged == sum(map(len, closed.values())) > 10
    assert verdict.metrics == {"accounting": whole.metrics["accounting"]}
    proofview.show(verdict)
    told = " ".join(capsys.readouterr().out.split())
    assert f"0 raw records that no worker has read yet, {verdict.unmerged} windows not merged yet" in told
    assert "let `jinliu up` or `jinliu process` go on, then verify again" in told
    stack.finish()
    assert proved(stack).compared == whole.compared


def test_a_provisional_row_of_a_window_not_merged_yet_says_nothing() -> None:
    stack, rows = between_fold_and_merge(), processed(raw()).topics["metrics.institutions"][0]
    schema = bare(avro("institutions", load()["institutions"].row))
    row = plain.datum(schema, (rows[0][1] or b"")[5:]) | {"status": "PROVISIONAL", "institution": "icbc"}
    stack.log["metrics.institutions", 0] = [(b"left over", wire.encode("institutions", row, catalog.ids()), None)]
    assert proved(stack).different == 0
    stack.finish()
    (difference,) = proved(stack).differences
    assert (difference.field, difference.expected) == ("row", "absent")


def _keys(name: str) -> list[Any]:
    return [tuple(json.loads(key or b"").values()) for key, _ in processed(raw()).topics[f"metrics.{name}"][0]]


def test_what_no_worker_has_read_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    stack = MovingStack(raw(), 3)
    for owner in stack.owners:
        while owner.task.next_offset < 10 and owner.topic == "payments":
            stack.step(owner)
    stack.settle()
    verdict = proved(stack)
    every = sum(len(shard) for shards in raw().values() for shard in shards)
    read = sum(owner.task.next_offset for owner in stack.owners if owner.topic == "payments")
    assert verdict.as_dict() == {
        "compared": verdict.compared, "different": 0, "unread": every - read, "unmerged": 0, "differences": [],
    }  # fmt: skip
    proofview.show(verdict)
    assert f"{every - read} raw records" in " ".join(capsys.readouterr().out.split())


def test_rows_behind_the_snapshot_are_not_looked_at(whole: Verdict) -> None:
    stack = between_fold_and_merge()

    class Later(type(stack)):  # type: ignore[misc]
        """The merge does all its work between the look at the metric topics' ends and that at the accounts."""

        def settled(self, topics: Any) -> Any:
            ends = super().settled(topics)
            if "metrics.market-share" in topics:
                self.finish()
            return ends

    stack.__class__ = Later
    verdict = proved(stack)
    assert verdict.different == 0
    assert verdict.unmerged > 10
    assert verdict.metrics == {"accounting": whole.metrics["accounting"]}
    stack.__class__ = MovingStack
    assert proved(stack).compared == whole.compared


def test_a_row_that_is_lost_differs_though_other_windows_are_not_merged() -> None:
    stack = MovingStack(raw(), 5)
    while not (rows := [n for n, (_, value, _) in enumerate(stack.log["metrics.institutions", 0]) if final(value)]):
        stack.step()
    stack.settle()
    key = stack.log["metrics.institutions", 0][rows[0]][0]
    stack.log["metrics.institutions", 0] = [each for each in stack.log["metrics.institutions", 0] if each[0] != key]
    verdict = proved(stack)
    assert [(d.metric, d.field, d.found) for d in verdict.differences] == [("institutions", "row", "absent")]


def final(value: bytes | None) -> bool:
    return wire.decode(value)[1]["status"] == "FINAL"


def test_hostile_partials_leave_no_window_out() -> None:
    log = processed(raw())
    sound = between_fold_and_merge().log["partials.market-share", 0]
    key, value = next((k, v) for k, v, _ in sound if final(v))
    provisional = wire.encode("partial", wire.decode(value)[1] | {"status": "PROVISIONAL"}, catalog.ids())
    hostile = [
        (None, value), (b"noise", value), (b"a|b|c|d", value), (b"a|0|day|0", value), (b"\xff|0|hour|0", value),
        (key, None), (key, b"noise"), (key, value[:-3]), (key, b"\x00\x00\x00\x00\x63" + value[5:]), (key, provisional),
    ]  # fmt: skip
    log.topics["partials.market-share"] = [list(hostile), []]
    metrics = load()
    assert look(log, metrics, catalog.ids()).unmerged["market-share"] == frozenset()
    log.topics["partials.market-share"][1] = [(key, value)]
    assert len(look(log, metrics, catalog.ids()).unmerged["market-share"]) == 1
    log.topics["state.partials.market-share"] = [[], [(b"position", b'{"upto": 1}')]]
    assert look(log, metrics, catalog.ids()).unmerged["market-share"] == frozenset()


@pytest.mark.parametrize("text", [b"noise", b"[]", b"{}", b'{"upto": -1}', b'{"upto": "1"}', b'{"upto": true}'])
def test_a_damaged_position_is_named(text: bytes) -> None:
    log = processed(raw())
    log.topics["state.partials.market-share"] = [[], [(b"position", text)]]
    with pytest.raises(OracleError, match=r"topic state\.partials\.market-share, partition 1: .* new prefix"):
        proved(log)
