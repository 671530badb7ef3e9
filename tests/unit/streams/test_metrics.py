"""What holds for every metric, and how one is added."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import fastavro
import pytest

import schemas
from schemas import catalog
from streams import metrics
from streams.errors import DefinitionError
from streams.measures import Measure, count, distinct, histogram, largest, total
from streams.metric import Metric
from streams.plan import plan_topic
from streams.rollup import Rollup
from streams.rows import Row, as_dict, avsc, doc
from tests.unit.streams import everything
from tests.unit.streams.chunks import ROSTER, WORLD, plan_for

METRICS = list(metrics.load().values())
AVSC = Path(schemas.__file__).parent / "avsc" / "metrics"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_committed_schemas_equal_the_row_classes(metric: Metric) -> None:
    assert (AVSC / f"{metric.name}.avsc").read_text(encoding="utf-8") == avsc(metric.name, metric.row), (
        "run python -m streams.rows"
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_keeps_the_contract(metric: Metric) -> None:
    parsed = json.loads(avsc(metric.name, metric.row))
    fastavro.parse_schema(parsed)
    names = [field["name"] for field in parsed["fields"]]
    if metric.rollups:
        assert names[:6] == ["window", "window_start", "window_end", "status", "revision", "missing"]
        assert metric.key[:2] == ("window", "window_start")
        assert metric.proof.format(window="day", w="window_start_day")
    assert set(metric.key) <= set(names)
    known = {claim["id"] for claim in _claims()}
    assert set(metric.claims) <= known


def _claims() -> list[dict[str, str]]:
    import yaml

    import topologies

    path = Path(topologies.__file__).parent / "claims.yaml"
    return list(yaml.safe_load(path.read_text(encoding="utf-8"))["claims"])


STRANGER = '''
from dataclasses import dataclass

from streams.measures import count
from streams.metric import Metric
from streams.rollup import Rollup
from streams.rows import Row, doc


@dataclass(slots=True, kw_only=True)
class FlagRow(Row):
    """Flagged payments."""

    flagged: int = doc("How many.")


FLAGS = Rollup(name="flags", topic="payments", keys=(), measures={"flagged": count()}, where={"flagged": True})


def derive(window, merged):
    yield FlagRow(flagged=int(merged["flags"]["flagged"]))


METRIC = Metric(
    name="flags", row=FlagRow, key=("window", "window_start"), rollups=(FLAGS,), derive=derive,
    proof="SELECT '{window}' AS window, {w} AS window_start, sum(flagged::INT) AS flagged FROM payments GROUP BY 2",
)
'''


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "flags.py"
    path.write_text(STRANGER, encoding="utf-8")
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    monkeypatch.setattr(catalog, "_extra", {})
    metrics.load.cache_clear()
    yield path
    metrics.load.cache_clear()
    sys.modules.pop("streams.metrics.flags", None)


def test_a_metric_is_added_by_dropping_one_file(stranger: Path) -> None:
    found = metrics.load()
    assert "flags" in found
    assert catalog.schema("flags").id >= 2**30
    bound = plan_for([found["flags"]], windows={"default": ("day",)}).rollups
    assert [(rollup.name, rollup.windows[0].name) for rollup in bound] == [("flags", "day")]
    assert metrics.own() == {"flags": found["flags"]}


def test_a_file_without_a_metric_or_with_a_name_taken_is_refused(stranger: Path) -> None:
    stranger.write_text("", encoding="utf-8")
    with pytest.raises(DefinitionError, match="defines no METRIC"):
        metrics.load()
    sys.modules.pop("streams.metrics.flags")
    importlib.invalidate_caches()
    stranger.write_text(STRANGER.replace('name="flags", row', 'name="market-share", row') + "#", encoding="utf-8")
    with pytest.raises(DefinitionError, match="exists already"):
        metrics.load()


def test_a_file_that_does_not_import_is_named_with_the_reason(stranger: Path) -> None:
    stranger.write_text("import nothing_of_this_name", encoding="utf-8")
    with pytest.raises(DefinitionError, match=rf"{stranger} cannot be imported: ModuleNotFoundError: No module named"):
        metrics.load()


def test_a_file_that_ends_the_program_is_named(stranger: Path) -> None:
    stranger.write_text("raise SystemExit", encoding="utf-8")
    with pytest.raises(DefinitionError, match=rf"{stranger} cannot be imported: SystemExit: no more is said"):
        metrics.load()


def test_jinlius_own_metrics_are_nobody_elses() -> None:
    assert metrics.own() == {}


def test_a_folder_that_cannot_be_meant_is_named(
    tmp_path: Path, stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "market_share.py").write_text("", encoding="utf-8")
    for name, why in (("none", "which is no folder"), ("empty", "no .py file"), ("shadow", "has the name of one of")):
        monkeypatch.setattr(metrics, "_folders", [str(tmp_path / name)])
        with pytest.raises(DefinitionError, match=why):
            metrics.load()
    monkeypatch.setattr(metrics, "_folders", [str(tmp_path)])
    assert "flags" in metrics.load()


def rollup(measure: Measure, **changes: object) -> Rollup:
    fields = {"name": "r", "topic": "payments", "keys": (), "measures": {"m": measure}} | changes
    return Rollup(**fields)  # type: ignore[arg-type]


WRONG = [
    (rollup(total("price")), "has no column 'price'"),
    (rollup(count(), keys=("payer_id",)), "'payer_id' has no closed set"),
    (rollup(count(by="weight")), "'weight' has no closed set"),
    (rollup(count(), where={"scene": "MOON"}), "'scene' is never 'MOON'"),
    (rollup(count(where={"scene": ("DINING", "MOON")})), "never 'MOON'"),
    (rollup(count(), measures={}), "0 cells a window"),
    (rollup(distinct("payee_id")), "measure 'm': `distinct` counts .* 'payee_id' is not; only 'payer_id' is allowed"),
    (rollup(distinct("seq"), topic="operations"), "'seq' is not; topic 'operations' has none"),
    (rollup(largest("days"), topic="operations"), "measure 'm': 'days' may be null, which `largest` would take for 0"),
    (rollup(distinct("payer_id"), keys=("payer_bank", "payee_bank", "scene", "channel", "segment", "route")), "cells"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_rollup_is_refused_at_start(wrong: Rollup, message: str) -> None:
    metric = Metric(
        name="m",
        row=everything.EverythingRow,
        key=("window",),
        rollups=(wrong,),
        derive=everything.derive,
        proof="SELECT 1",
    )
    big = WORLD.__class__(**{**as_dict(WORLD), "people": 10**6})
    with pytest.raises(DefinitionError, match=f"metric 'm', rollup 'r'.*{message}"):
        plan_for([metric], wrong.topic, world=big)


def test_wrong_definitions_say_what_is_wrong() -> None:
    with pytest.raises(DefinitionError, match="ascending"):
        histogram("latency_ms", (10, 10))
    with pytest.raises(DefinitionError, match="go together"):
        Metric(name="m", row=Row, key=(), rollups=(everything.KEYED,))
    with pytest.raises(DefinitionError, match="metric 'm': no proof"):
        Metric(name="m", row=Row, key=("window",), rollups=(everything.KEYED,), derive=everything.derive)
    with pytest.raises(DefinitionError, match="no field of Row"):
        Metric(name="m", row=Row, key=("colour",))
    with pytest.raises(DefinitionError, match="no event topic 'weather'"):
        plan_topic("weather", WORLD, ROSTER, (0, 10, 1), (1, 1), [], {})


@pytest.mark.parametrize("name", ["Every Thing/數", "", "a_b", "-a", "a--b", "a.b", "a\n", "A", "a" * 101])
def test_a_name_that_no_topic_can_have_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="lower-case letters and digits with single hyphens"):
        Metric(name=name, row=Row, key=("window",))


@pytest.mark.parametrize("field", ["key", "claims", "windows"])
def test_a_string_in_place_of_a_tuple_is_refused(field: str) -> None:
    said: dict[str, object] = {"name": "m", "row": Row, "key": ("window",)} | {field: ("window")}
    with pytest.raises(DefinitionError, match=rf"metric 'm': {field} is the string 'window'; write \('window',\)"):
        Metric(**said)  # type: ignore[arg-type]


def test_a_string_in_place_of_a_rollups_keys_is_refused() -> None:
    wrong = rollup(count(), keys=("scene"))
    with pytest.raises(DefinitionError, match=r"metric 'm': keys of rollup 'r' is the string 'scene'; write"):
        Metric(name="m", row=Row, key=("window",), rollups=(wrong,), derive=everything.derive, proof="SELECT 1")


def test_a_row_field_needs_a_known_type_and_a_doc() -> None:
    odd = dataclasses.make_dataclass("Odd", [("parts", list[int], doc("Parts."))], bases=(Row,), kw_only=True)
    bare = dataclasses.make_dataclass("Bare", [("number", int)], bases=(Row,), kw_only=True)
    with pytest.raises(DefinitionError, match="use int, float, str or bool"):
        avsc("odd", odd)
    with pytest.raises(DefinitionError, match="has no doc"):
        avsc("bare", bare)
