"""The run record: who opened the prefix, and with what."""

from producers.logs import Entry
from producers.policies import TOPOLOGY, Decision
from producers.runrecord import Run, first_run, topology_decisions
from schemas import catalog, wire
from tests.unit.producers.fake_world import START_MS, Policy, options


def entry(offset: int, run: Run, *, gone: bool = False) -> Entry:
    key = run.id.encode()
    return Entry(key, offset, None, None) if gone else Entry(key, offset, "run", run.record())


def progress(offset: int) -> Entry:
    return Entry(b"r/a", offset, "progress", {"run": "r", "source": "a", "tick_end": 1, "events": 0, "closed": False})


def test_it_survives_the_wire() -> None:
    run = Run.of(options())
    value = wire.encode("run", run.record(), catalog.ids())
    assert Run.read(wire.decode(value)[1]) == run
    assert run.sources() == ("alipay", "wechat-pay", "unionpay", "banks")


def test_the_first_record_opens_the_prefix() -> None:
    mine, other = Run.of(options()), Run.of(options(seed=8))
    assert first_run([]) is None
    assert first_run([progress(0)]) is None
    assert first_run([progress(0), entry(1, mine), entry(2, other), entry(3, mine)]) == mine


def test_a_record_taken_back_does_not_count_even_when_compaction_moved_the_winner() -> None:
    mine, other = Run.of(options()), Run.of(options(seed=8))
    assert first_run([entry(1, other), entry(2, mine), entry(3, other, gone=True)]) == mine


def test_it_names_itself_for_messages() -> None:
    assert str(Run.of(options(ticks=31))) == "seed 7, topology test (abababab), 2022-01-01 to 2022-02-01"


def test_policies_become_records_in_order() -> None:
    policies = [Policy("route", "NETWORK", 5), Policy("federated", True, 3), Policy("cap", {"b": 0.3, "a": 1}, 4)]
    assert topology_decisions(policies) == [
        Decision("route", '"NETWORK"', 5, TOPOLOGY),
        Decision("federated", "true", 3, TOPOLOGY),
        Decision("cap", '{"a": 1, "b": 0.3}', 4, TOPOLOGY),
    ]
    assert Run.of(options()).start_ms == START_MS
