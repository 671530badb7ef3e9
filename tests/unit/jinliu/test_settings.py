"""Options, environment and what a data directory remembers: which wins, and what is refused."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jinliu.settings import DEFAULT_SEED, Settings, UsageError, settings
from topologies import TopologyError


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TOPOLOGY", "SEED", "FROM", "FROM_", "TO", "SPEED", "DATA", "BROKER", "PREFIX", "REGISTRY"):
        monkeypatch.delenv(f"JINLIU_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


def ms(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 1000


def test_nothing_said_is_the_baseline() -> None:
    chosen = settings()
    assert chosen.world.name == "china"
    assert chosen.chosen_seed == DEFAULT_SEED
    assert chosen.span_ms == (chosen.world.span.start_ms, chosen.world.span.end_ms)
    assert chosen.pace is None
    assert chosen.data == Path(".jinliu")


def test_the_last_day_is_inside_and_a_time_is_the_end() -> None:
    assert settings(from_="2022-01-01", to="2022-01-31").span_ms == (ms(2022, 1, 1), ms(2022, 2, 1))
    hours = settings(topology="one-to-one", from_="2022-06-15T12:00:00", to="2022-06-15T12:30:00").span_ms
    assert hours == (ms(2022, 6, 15, 12), ms(2022, 6, 15, 12) + 30 * 60_000)


def test_options_of_another_run_are_refused(tmp_path: Path) -> None:
    settings(data=tmp_path, seed=7, from_="2022-01-01", to="2022-01-31").remember()
    for same in ({}, {"seed": 7}, {"to": "2022-01-31"}, {"to": "2022-02-01T00:00:00"}, {"from_": "20220101"}):
        settings(data=tmp_path, **same).refuse_another_run()
    for other, names in (
        ({"seed": 8}, "--seed 8 is not allowed: the run in .* was started with 7"),
        ({"from_": "2022-01-02"}, "--from 2022-01-02 is not allowed"),
        ({"to": "2022-02-01"}, "--to 2022-02-01 is not allowed"),
    ):
        with pytest.raises(UsageError, match=names):
            settings(data=tmp_path, **other).refuse_another_run()
    fresh = settings(data=tmp_path, seed=8)
    fresh.forget()
    fresh.refuse_another_run()


def test_a_date_may_be_written_without_hyphens() -> None:
    assert settings(from_="20220101", to="20220331").span_ms == settings(from_="2022-01-01", to="2022-03-31").span_ms


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JINLIU_SEED", "8")
    monkeypatch.setenv("JINLIU_TOPOLOGY", "small")
    assert (settings().chosen_seed, settings().world.name) == (8, "small")
    assert settings(seed=9).chosen_seed == 9


def test_the_span_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JINLIU_FROM", "2019-03-01")
    monkeypatch.setenv("JINLIU_TO", "2019-03-31")
    assert settings().span_ms == (ms(2019, 3, 1), ms(2019, 4, 1))


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JINLIU_SEED", "")
    monkeypatch.setenv("JINLIU_TO", "")
    assert settings().chosen_seed == DEFAULT_SEED


def test_a_data_directory_remembers_its_run(tmp_path: Path) -> None:
    first = settings(topology="small", seed=11, from_="2018-04-01", to="2018-04-10", data=tmp_path / "run")
    first.remember()
    again = settings(data=tmp_path / "run")
    assert (again.world.name, again.chosen_seed, again.span_ms) == ("small", 11, first.span_ms)
    assert settings(data=tmp_path / "run", seed=12).chosen_seed == 12
    assert settings(data=tmp_path / "run", broker="127.0.0.1:9").chosen_seed == DEFAULT_SEED
    assert again.worker_options("127.0.0.1:9").datadir == tmp_path / "run"


def test_a_data_directory_remembers_its_registry_and_refuses_another(tmp_path: Path) -> None:
    with_one, without = tmp_path / "with", tmp_path / "without"
    settings(topology="small", data=with_one, registry_="http://there:8081/").remember()
    settings(topology="small", data=without).remember()
    assert settings(data=with_one).registry == "http://there:8081"
    assert settings(data=with_one, registry_="http://there:8081/").worker_options("b:1").registry == "http://there:8081"
    assert settings(data=without).registry is None
    assert settings(data=with_one, broker="b:1").registry is None
    with pytest.raises(UsageError, match=r"--registry http://other.* uses the schema registry http://there:8081"):
        _ = settings(data=with_one, registry_="http://other").registry
    with pytest.raises(UsageError, match="uses no schema registry"):
        settings(data=without, registry_="http://other").source_options("b:1")


def test_a_directory_that_never_said_its_registry_takes_the_option(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"topology": "small", "seed": 3}')
    chosen = settings(data=tmp_path, registry_="http://there")
    assert chosen.registry == "http://there"
    chosen.remember()
    assert settings(data=tmp_path).registry == "http://there"


def test_a_data_directory_remembers_its_prefix_and_refuses_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_one, without = tmp_path / "with", tmp_path / "without"
    settings(topology="small", data=with_one, prefix="a.").remember()
    settings(topology="small", data=without).remember()
    for chosen in (settings(data=with_one), settings(data=with_one, prefix="a.")):
        chosen.refuse_another_run()
        assert chosen.prefix == chosen.source_options("b:1").prefix == chosen.worker_options("b:1").prefix == "a."
    assert settings(data=without).prefix == settings(data=without, prefix="").prefix == ""
    assert settings(data=with_one, broker="b:1").prefix == ""
    assert settings(data=with_one, broker="b:1", prefix="c.").prefix == "c."
    for data, prefix, named in ((with_one, "c.", "prefix 'a.'"), (with_one, "", "prefix 'a.'"), (without, "c.", "no ")):
        said = f"--prefix '{prefix}' .* is not allowed: the run in {data} has (the )?{named}"
        with pytest.raises(UsageError, match=said):
            settings(data=data, prefix=prefix).refuse_another_run()
        with pytest.raises(UsageError, match="another --data directory"):
            settings(data=data, prefix=prefix).source_options("b:1")
    monkeypatch.setenv("JINLIU_PREFIX", "c.")
    with pytest.raises(UsageError, match="JINLIU_PREFIX"):
        _ = settings(data=with_one).prefix
    assert Settings(prefix="").prefix == ""
    assert settings().prefix == "c."


def test_a_directory_that_never_said_its_prefix_has_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"topology": "small", "seed": 3}')
    assert settings(data=tmp_path).prefix == ""
    with pytest.raises(UsageError, match="has no prefix"):
        _ = settings(data=tmp_path, prefix="a.").prefix
    fresh = settings(data=tmp_path, prefix="a.")
    fresh.forget()
    assert fresh.prefix == "a."


@pytest.mark.parametrize(
    "held",
    [
        {"topology": 5}, {"seed": True}, {"seed": -1}, {"seed": "7"}, {"from": 1}, {"to": None}, {"registry": 7},
        {"prefix": None}, {"prefix": "a/b"},
    ],
)  # fmt: skip
def test_what_a_directory_cannot_hold_is_named(held: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(held))
    name, value = next(iter(held.items()))
    with pytest.raises(UsageError, match=f"run.json: {name} is {json.dumps(value)}, which jinliu did not write"):
        _ = settings(data=tmp_path).held
    fresh = settings(data=tmp_path)
    fresh.forget()
    assert fresh.chosen_seed == DEFAULT_SEED


def test_what_is_forgotten_holds_no_more(tmp_path: Path) -> None:
    settings(topology="small", seed=11, from_="2018-04-02", data=tmp_path).remember()
    chosen = settings(data=tmp_path, registry_="http://there")
    chosen.forget()
    assert (chosen.world.name, chosen.chosen_seed, chosen.registry) == ("china", DEFAULT_SEED, "http://there")


def test_the_registry_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JINLIU_REGISTRY", "http://there")
    assert settings().registry == "http://there"


def test_a_torn_memory_is_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"seed": 1')
    assert settings(data=tmp_path).chosen_seed == DEFAULT_SEED


def test_what_is_remembered_is_plain(tmp_path: Path) -> None:
    settings(topology="small", data=tmp_path).remember()
    held = json.loads((tmp_path / "run.json").read_text())
    assert held["topology"] == "small"
    assert held["from"].startswith("2018-04-01")


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"seed": -1}, "--seed"),
        ({"seed": "seven"}, "--seed"),
        ({"broker": "localhost"}, "HOST:PORT"),
        ({"broker": "localhost:99999"}, "HOST:PORT"),
        ({"broker": "a:1,b"}, "HOST:PORT"),
        ({"broker": "a..b:9092"}, "HOST:PORT"),
        ({"broker": f"{'a' * 64}:9092"}, "HOST:PORT"),
        ({"prefix": "a/b"}, "--prefix"),
        ({"data": Path(__file__)}, "is a file"),
        ({"data": Path("a\nb")}, "line break"),
        ({"data": Path("a{b}")}, "brace"),
        ({"data": Path(os.fsdecode(b"a\xffb"))}, "no UTF-8"),
    ],
)
def test_values_that_cannot_be(said: dict[str, object], names: str) -> None:
    with pytest.raises(UsageError, match=names):
        settings(**said)


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"from_": "yesterday"}, "--from yesterday"),
        ({"to": "2022-13-01"}, "--to 2022-13-01"),
        ({"from_": "2022-01-01T00:00:00+08:00"}, "no zone"),
        ({"from_": "2022-02-01", "to": "2022-01-01"}, "does not lie after --from"),
        ({"from_": "2022-02-01", "to": "2022-02-01T00:00:00"}, "does not lie after --from"),
        ({"from_": "2022-02-01T10:00:00"}, "--from 2022-02-01T10:00:00 is not allowed: .* ticks of day"),
        ({"to": "2022-02-01T10:00:00"}, "--to 2022-02-01T10:00:00 is not allowed: .* ticks of day"),
        ({"from_": "1999-01-01", "to": "1999-02-01"}, "2018-01-01 to 2024-12-31"),
        ({"to": "2030-01-01"}, "2018-01-01 to 2024-12-31"),
    ],
)
def test_spans_that_cannot_be(said: dict[str, str], names: str) -> None:
    with pytest.raises(UsageError, match=names):
        _ = settings(**said).span_ms


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "inf", "nan", ""])
def test_speeds_that_cannot_be(speed: str) -> None:
    with pytest.raises(UsageError, match="--speed"):
        _ = Settings(speed=speed).pace


@pytest.mark.parametrize(("speed", "pace"), [("max", None), ("86400", 86400.0), ("0.5", 0.5)])
def test_speeds(speed: str, pace: float | None) -> None:
    assert settings(speed=speed).pace == pace


def test_an_unknown_world_says_which_there_are() -> None:
    with pytest.raises(TopologyError, match="china"):
        _ = settings(topology="atlantis").world
