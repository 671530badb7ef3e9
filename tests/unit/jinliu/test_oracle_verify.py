"""The proof on a whole run: it holds for the engine's rows, and it names whatever is changed."""

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jinliu.oracle import OracleError, Progress, Verdict, verify
from jinliu.oracle.compare import KEPT, compare, same
from jinliu.oracle.contract import LOANS, MAX_SEQ_JUMP, TOPICS
from jinliu.oracle.decode import bare
from jinliu.oracle.plain import datum
from schemas import catalog
from schemas.eventtopics import EVENT_TOPICS
from streams import metrics, plan
from streams.metric import Metric
from streams.metrics import load
from streams.rows import avro
from tests.unit.jinliu.engine_run import DIGEST, operations, payments, processed, topology
from tests.unit.jinliu.oracle_world import HOUR, START, MemoryLog, payment, tick, wire

README = Path(__file__).parents[3] / "README.md"
Raw = dict[str, list[list[bytes | None]]]


def raw() -> Raw:
    return {"payments": payments(), "operations": operations()}


def proved(log: MemoryLog) -> Verdict:
    return verify("", "", topology(), log=log)


def rewritten(log: MemoryLog, metric: str, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> int:
    """Change rows of a metric topic (None removes one); how many were."""
    schema, rows, changed = bare(avro(metric, load()[metric].row)), [], 0
    for key, value in log.topics[f"metrics.{metric}"][0]:
        assert value is not None
        row = datum(schema, value[5:])
        new = change(dict(row))
        changed += new != row
        if new is not None:
            rows.append((key, value if new == row else wire(metric, new)))
    log.topics[f"metrics.{metric}"] = [rows]
    return changed


def test_every_row_of_a_sound_run_is_equal() -> None:
    seen: list[Progress] = []
    verdict = verify("", "", topology(), seen.append, log=processed(raw()))
    assert verdict.differences == []
    assert verdict.equal
    assert verdict.metrics.keys() == {"accounting", "institutions", "market-share", "payment-quality"}
    assert verdict.compared == sum(verdict.metrics.values()) > 30
    assert {progress.stage for progress in seen} == {"reading", "proving"}
    assert json.loads(json.dumps(verdict.as_dict())) == {
        "compared": verdict.compared,
        "different": 0,
        "unread": 0,
        "unmerged": 0,
        "differences": [],
    }


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("payments", lambda value: value + 1),
        ("amount_weighted_fen", lambda value: value - 10),
        ("share", lambda value: value * (1 + 1e-9)),
        ("hhi", lambda value: None),
        ("status", lambda value: "INCOMPLETE"),
        ("missing", lambda value: 3),
        ("window_end", lambda value: value + 1),
    ],
)
def test_a_changed_field_is_named_with_both_values(field: str, change: Callable[[Any], Any]) -> None:
    log = processed(raw())

    def spoil(row: dict[str, Any]) -> dict[str, Any]:
        hit = row["window"] == "hour" and row["window_start"] == START + HOUR and row["scene"] == "ALL"
        return row | {field: change(row[field])} if hit else row

    assert rewritten(log, "market-share", spoil) == 1
    verdict = proved(log)
    assert verdict.different == 1
    (difference,) = verdict.as_dict()["differences"]
    assert difference["metric"] == "market-share"
    assert difference["row"] == f"window=hour window_start={START + HOUR} channel=ALIPAY scene=ALL"
    assert difference["field"] == field
    assert difference["expected"] != difference["found"]


def test_a_rounding_of_the_last_bits_is_no_difference() -> None:
    log = processed(raw())
    changed = rewritten(log, "market-share", lambda row: row | {"hhi": row["hhi"] * (1 + 3e-16)} if row["hhi"] else row)
    assert changed > 0
    assert proved(log).equal


def test_a_missing_row_and_a_row_too_many_are_differences() -> None:
    log = processed(raw())
    assert rewritten(log, "institutions", lambda row: None if row["window_start"] == START else row) == 1
    verdict = proved(log)
    assert [(d.field, d.found) for d in verdict.differences] == [("row", "absent")]

    log = processed(raw())
    (shard,) = log.topics["metrics.institutions"]
    row = datum(bare(avro("institutions", load()["institutions"].row)), shard[0][1][5:])  # type: ignore[index]
    shard.append((b"one more", wire("institutions", row | {"institution": "icbc"})))
    verdict = proved(log)
    assert [(d.field, d.expected) for d in verdict.differences] == [("row", "absent")]


def leftover(log: MemoryLog, metric: str, **other: Any) -> None:
    """Add a provisional row, made of the first of a metric's, under a key of its own."""
    shard = log.topics[f"metrics.{metric}"][0]
    value = shard[0][1]
    assert value is not None
    row = datum(bare(avro(metric, load()[metric].row)), value[5:])
    shard.append((b"left over", wire(metric, row | {"status": "PROVISIONAL"} | other)))


def test_a_provisional_row_that_no_closed_row_replaced_is_one_too_many() -> None:
    log = processed(raw())
    leftover(log, "institutions", institution="icbc")
    (difference,) = proved(log).differences
    assert (difference.metric, difference.field, difference.expected) == ("institutions", "row", "absent")
    assert difference.row == f"window=3h window_start={START} institution=icbc"
    assert difference.found["status"] == "PROVISIONAL"


def test_a_provisional_row_of_a_window_that_is_open_says_nothing() -> None:
    cut: Raw = {"payments": [shard[:30] for shard in payments()], "operations": operations()}
    log = processed(cut)
    leftover(log, "market-share", window_start=START + 5 * HOUR, scene="TAXES")
    leftover(log, "market-share", window="day", scene="TAXES")
    assert proved(log).equal
    leftover(log, "market-share", scene="TAXES")
    assert proved(log).different == 1


def test_a_provisional_row_that_is_left_of_a_metric_of_ones_own_is_one_too_many(own: Metric) -> None:
    log = processed(raw())
    leftover(log, own.name, segment="RETIRED")
    (difference,) = verify("", "", topology(), log=log, metrics=load()).differences
    assert (difference.metric, difference.field, difference.expected) == (own.name, "row", "absent")
    log.topics[f"metrics.{own.name}"][0].append((b"left over", None))
    assert verify("", "", topology(), log=log, metrics=load()).equal


def test_an_event_the_engine_never_saw_is_found_out() -> None:
    log = processed(raw())
    extra = payment("banks", 5, HOUR + 9, 1, 777)
    events = log.topics["payments"][1]
    at = next(i for i, (_, value) in enumerate(events) if value == payment("banks", 5, HOUR, 1, 100))
    events[at] = (None, extra)
    verdict = proved(log)
    assert not verdict.equal
    assert any(d.field == "amount_fen" for d in verdict.differences)


def test_accounting_is_recomputed() -> None:
    log = processed(raw())
    assert rewritten(log, "accounting", lambda row: row | {"late": row["late"] + (row["source"] == "banks")}) == 4
    verdict = proved(log)
    assert verdict.different == 4
    assert {d.field for d in verdict.differences} == {"late"}


def test_a_row_left_provisional_is_a_difference_once_its_window_is_closed() -> None:
    log = processed(raw())
    assert rewritten(log, "institutions", lambda row: row | {"status": "PROVISIONAL"}) > 0
    assert {(d.field, d.found) for d in proved(log).differences} == {("status", "PROVISIONAL")}


def test_open_windows_are_not_compared() -> None:
    cut: Raw = {"payments": [shard[:30] for shard in payments()], "operations": operations()}
    verdict = proved(processed(cut))
    assert verdict.equal
    assert verdict.metrics["market-share"] < proved(processed(raw())).metrics["market-share"]


def test_the_first_persons_of_two_shards_are_two_people() -> None:
    neighbours = raw()
    neighbours["payments"][0][1] = payment("alipay", 1, 0, 0, payer_id=0)
    neighbours["payments"][1][1] = payment("alipay", 1, 0, 1, payer_id=1)
    assert proved(processed(neighbours)).differences == []


def test_noise_is_accounted_for_and_changes_nothing_else() -> None:
    noisy = raw()
    events = noisy["payments"][0]
    for bad in (
        None,
        b"noise",
        b"\x00\x00\x00\x00\x63abc",
        payment("alipay", 3, 10, amount=-5),
        payment("alipay", 2, 10)[:-3],
    ):
        events.insert(5, bad)
    verdict = proved(processed(noisy))
    assert verdict.differences == []


def test_a_forged_seq_leaves_no_window_open() -> None:
    forged = raw()
    forged["payments"][0].insert(3, payment("alipay", 900_000, 10))
    log = processed(forged)
    assert proved(log).differences == []
    assert proved(log).metrics == proved(processed(raw())).metrics, "all rows are there"


@given(st.data())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_engine_and_proof_agree_about_damaged_logs(data: st.DataObject) -> None:
    topics = raw()
    events = topics["payments"][data.draw(st.integers(0, 1))]
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(events) - 1))
        deed = data.draw(st.sampled_from(["drop", "drop many", "repeat", "move", "noise", "payment", "tick"]))
        if deed == "drop":
            events.pop(at)
        elif deed == "drop many":
            del events[at : at + data.draw(st.integers(2, 15))]
        elif deed == "repeat":
            events.insert(data.draw(st.integers(at, len(events))), events[at])
        elif deed == "move":
            events.insert(data.draw(st.integers(0, len(events) - 1)), events.pop(at))
        elif deed == "noise":
            events.insert(at, data.draw(st.sampled_from([None, b"", b"noise", payment("alipay", 1, 1)[:20]])))
        elif deed == "payment":
            seq, when = data.draw(st.integers(-1, 40)), data.draw(st.integers(-1, 7)) * HOUR
            events.insert(
                at,
                payment(
                    data.draw(st.sampled_from(["alipay", "banks", "nobody"])), seq, when, data.draw(st.integers(0, 1))
                ),
            )
        else:
            kind = data.draw(st.sampled_from(["OPEN", "TICK", "CLOSE"]))
            hour = data.draw(st.integers(-1, 7))
            source = data.draw(st.sampled_from(["alipay", "banks", "nobody"]))
            seq = data.draw(st.integers(-1, 1_000_100))
            events.insert(
                at, tick(source, seq, hour, data.draw(st.integers(0, 4)), 303, data.draw(st.integers(0, 1)), kind)
            )
        if len(events) < 2:
            break
    assert proved(processed(topics)).differences == []


def test_a_broker_without_a_run_is_told_so() -> None:
    with pytest.raises(OracleError, match="no run"):
        proved(MemoryLog({}))


def test_another_number_of_partitions_is_refused() -> None:
    log = processed(raw())
    log.topics["payments"].append([])
    with pytest.raises(OracleError, match="3 partitions"):
        proved(log)


def test_a_run_of_another_topology_is_not_judged() -> None:
    log, world = processed(raw()), topology()
    world.name, world.digest = "china", "c4" * 32
    with pytest.raises(OracleError) as caught:
        verify("", "", world, log=log)
    said = str(caught.value)
    assert said.startswith("the run 0123456789abcdef was opened with another topology (or another version of it)")
    assert f"'tiny', digest {DIGEST[:12]}" in said
    assert "'china', digest c4c4c4c4c4c4" in said
    assert said.endswith("give --topology")


def beside_the_bundled(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Iterator[Metric]:
    """The metric of this module text, loaded from a folder of one's own."""
    (folder / "own_metric.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(folder)])
    monkeypatch.setattr(catalog, "_extra", {})
    load.cache_clear()
    (found,) = metrics.own().values()
    yield found
    load.cache_clear()
    sys.modules.pop("streams.metrics.own_metric", None)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metric]:
    """The metric of the README, as its code block stands there."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    yield from beside_the_bundled(tmp_path, monkeypatch, next(block for block in blocks if "METRIC = Metric(" in block))


def proved_as(metric: Metric) -> Verdict:
    """The proof of the run with this metric in place of the one of its name."""
    return verify("", "", topology(), log=processed(raw()), metrics=load() | {metric.name: metric})


def test_the_metric_of_the_readme_is_proved(own: Metric) -> None:
    verdict = proved_as(own)
    assert verdict.differences == []
    assert verdict.metrics[own.name] > 0


@pytest.fixture
def stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metric]:
    """A metric with a cumulative rollup beside a plain one."""
    yield from beside_the_bundled(tmp_path, monkeypatch, Path(__file__).with_name("own_stock.py").read_text())


def test_what_is_cumulative_is_proved(stock: Metric) -> None:
    verdict = proved_as(stock)
    assert verdict.differences == []
    assert verdict.metrics[stock.name] == 6 + 3 + 1


def test_what_is_cumulative_is_proved_where_something_is_lost(stock: Metric) -> None:
    topics = raw()
    del topics["payments"][1][9]
    log = processed(topics)
    rows = [datum(bare(avro(stock.name, stock.row)), value[5:]) for _, value in log.topics["metrics.paid-so-far"][0]]
    lacking = sorted((row["window"], row["window_start"]) for row in rows if row["status"] == "INCOMPLETE")
    assert 0 < len(lacking) < len(rows), "the windows before the loss are whole, all later ones are not"
    assert {row["missing_sources"] for row in rows if row["status"] == "INCOMPLETE"} <= {"alipay=1", "banks=1"}
    verdict = verify("", "", topology(), log=log, metrics=load())
    assert verdict.differences == []


@pytest.mark.parametrize(
    ("lost", "kept", "name"),
    [
        ("'{window}' AS window, ", "", "window"),
        ("{w} AS window_start", "{w} AS began", "window_start"),
        ("AS payments", "AS payment_count", "payments"),
        ("AS qr_share", "AS share", "qr_share"),
    ],
)
def test_a_proof_that_leaves_out_a_field_is_refused(own: Metric, lost: str, kept: str, name: str) -> None:
    assert own.proof.count(lost) == 1
    short = dataclasses.replace(own, proof=own.proof.replace(lost, kept))
    with pytest.raises(OracleError, match=rf"^the proof of metric 'qr-by-segment' says nothing of {name}: "):
        proved_as(short)


def test_all_fields_that_a_proof_leaves_out_are_named_even_where_it_gives_no_row(own: Metric) -> None:
    short = dataclasses.replace(own, proof="SELECT '{window}' AS window, {w} AS window_start FROM payments WHERE FALSE")
    names = "segment, payments, amount_weighted_fen, qr_weighted_fen, qr_share"
    with pytest.raises(OracleError, match=f"says nothing of {names}: "):
        proved_as(short)


def test_a_metric_without_a_proof_is_refused() -> None:
    bare_metric = dataclasses.replace(load()["institutions"])
    object.__setattr__(bare_metric, "proof", " ")  # a definition itself refuses this
    with pytest.raises(OracleError, match=r"^metric 'institutions' has no proof"):
        proved_as(bare_metric)


def test_the_restated_contract_is_the_engines() -> None:
    assert plan.MAX_SEQ_JUMP == MAX_SEQ_JUMP
    assert TOPICS.keys() == EVENT_TOPICS.keys()
    for name, topic in EVENT_TOPICS.items():
        stated = TOPICS[name]
        assert (stated.record, stated.person, stated.institution) == (topic.record, topic.person, topic.institution)
        assert (stated.words, stated.ranges) == (topic.vocabularies, topic.bounds)
        assert (stated.population, stated.worth) == (topic.population, topic.worth or ("amount_fen",))
        assert topic.lifecycle is (name == LOANS)


@pytest.mark.parametrize(
    ("expected", "found", "equal"),
    [
        (1, 1, True), (1, 2, False), (2**60, 2**60 + 1, False), (0.1, 0.1 + 2e-17, True), (0.1, 0.1 * (1 + 1e-11),
        False), (None, None, True), (None, 0, False), (0.0, None, False), ("a", "a", True), (1.0, "a", False), (True,
        True, True),
    ],
)  # fmt: skip
def test_sameness(expected: Any, found: Any, equal: bool) -> None:
    assert same(expected, found) is equal


def test_all_differences_are_counted_but_few_are_spelled_out() -> None:
    verdict = Verdict()
    compare(
        verdict,
        "m",
        ("k",),
        {(i,): {"k": i, "v": 1} for i in range(KEPT + 50)},
        {(i,): {"k": i, "v": 2} for i in range(KEPT + 50)},
    )
    assert verdict.different == KEPT + 50
    assert len(verdict.differences) == KEPT


def test_every_metric_row_has_a_schema_the_proof_can_read() -> None:
    for name, metric in load().items():
        assert catalog.schema(name).parsed["name"]
        assert set(metric.key) <= {field["name"] for field in avro(name, metric.row)["fields"]}
