"""A wrong world is told with its file, line, field and what is allowed, all problems at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import topologies
from schemas.errors import JinliuError
from topologies import Problem, Topology, TopologyError

Problems = Callable[[str], tuple[Problem, ...]]

# text of the overlay (from line 3), line, field, what, allowed
WRONG = [
    ("scale: {shards: 0}", 3, "scale.shards", "0 is not allowed", "an integer from 1 to 256"),
    ("scale: {shards: 257}", 3, "scale.shards", "257 is not allowed", "an integer from 1 to 256"),
    (
        "lending: {regional: {banks: {lan-hai: {traffic_a_year: {2019-01-01: -0.3}}}}}",
        3,
        "lending.regional.banks.lan-hai.traffic_a_year.2019-01-01",
        "-0.3 is not allowed",
        "a number at least 0",
    ),
    ("scale:\n  shards: many", 4, "scale.shards", "'many' is not allowed", "an integer from 1 to 256"),
    ("scale: {shards: true}", 3, "scale.shards", "true is not allowed", "an integer from 1 to 256"),
    ("scale: {weight: 1.5}", 3, "scale.weight", "1.5 is not allowed", "an integer from 1 to"),
    ("scale:\n  wieght: 3", 4, "scale.wieght", "unknown key (did you mean weight?)", "weight, person_weight"),
    ("scael: {}", 3, "scael", "unknown key (did you mean scale?)", "name, about, era, span, scale"),
    ("scale: 3", 3, "scale", "3 is not allowed", "a mapping with weight"),
    ("scale: {tick: month}", 3, "scale.tick", "month is not allowed", "day, hour, second"),
    ("scale: {tick: 7h}", 3, "scale.tick", "7h is not allowed", "a length of which a day holds a whole number"),
    ("scale: {rare_weight: 2000000}", 3, "scale.rare_weight", "2000000", "at most the weight, 1000000"),
    ("scale: {lead_ticks: 60}", 3, "scale.lead_ticks", "60", "less than patience_ticks, 60"),
    ("scale: {person_weight: 1000000000}", 3, "scale.person_weight", "leaves shards without people", "at most"),
    ("span: {from: 2017-12-31}", 3, "span.from", "outside the era", "a date from 2018-01-01 to 2024-12-31"),
    ("span: {to: 2025-01-01}", 3, "span.to", "outside the era", "a date from 2018-01-01 to 2024-12-31"),
    ("span: {to: tomorrow}", 3, "span.to", "'tomorrow' is not allowed", "a date such as 2022-06-30, or a time"),
    ("span: {from: 2022-02-01, to: 2022-01-01}", 3, "span.to", "2022-01-01", "after 2022-02-01"),
    ("span: {to: 2022-01-01 12:00:00}", 3, "span.to", "not the start of a tick", "whole number of ticks (day)"),
    ("era: {to: 2024-12-31 12:00:00}", 3, "era.to", "is not allowed", "whole days"),
    ("windows: {market-share: [fortnight]}", 3, "windows.market-share[0]", "'fortnight'", "second, minute, hour"),
    ("windows: {market-share: [hour]}", 3, "windows.market-share[0]", "not a union of ticks", "whole ticks (day)"),
    ("windows: {market-share: [36h]}", 3, "windows.market-share[0]", "not a union of ticks", "whole ticks (day)"),
    ("windows: {market-share: [7d, month]}", 3, "windows.market-share[1]", "not a union of 7d", "finest window first"),
    ("windows: {market-share: [month, day]}", 3, "windows.market-share[1]", "not a union of month", "finest window"),
    ("windows: {market-share: [day, day]}", 3, "windows.market-share[1]", "stands twice", "once"),
    ("scenes: [DINING, DINNING]", 3, "scenes[1]", "no figures in economy.scenes (did you mean DINING?)", "TRANSPORT"),
    ("segments: [YOUNG, YOUNG]", 3, "segments[1]", "stands twice", "once"),
    ("institutions:\n- {id: icbc, kind: bank}", 4, "institutions.icbc.kind", "'bank' is not allowed", "state-bank"),
    ("institutions:\n- {id: Icbc, name: I, kind: platform}", 4, "institutions.Icbc.id", "'Icbc'", "lower-case"),
    ("institutions:\n- {id: new, kind: platform}", 4, "institutions.new.name", "is missing", "text"),
    ("institutions:\n- {id: icbc, certified: 2030-01-01}", 4, "institutions.icbc.certified", "outside the era", "2018"),
    ("institutions:\n- {id: icbc, legacy_core: 1}", 4, "institutions.icbc.legacy_core", "1 is", "true or false"),
    ("institutions:\n- {id: icbc}\n- {id: icbc}", 5, "institutions.icbc", "icbc stands twice", "each once"),
    ("sources:\n- {name: alipay, topics: [paymnts]}", 4, "sources.alipay.topics[0]", "'paymnts'", "one of payments"),
    ("sources:\n- {name: alipay, topics: []}", 4, "sources.alipay.topics", "[] is not allowed", "at least 1"),
    (
        "sources:\n- {name: alipay, institutions: [alipai]}",
        4,
        "sources.alipay.institutions[0]",
        "no institution 'alipai' (did you mean alipay?)",
        "ids under institutions",
    ),
    (
        "sources:\n- {name: new, topics: [operations], institutions: [icbc]}",
        4,
        "sources.new.institutions[0]",
        "told by banks",
        "in one source",
    ),
    ("levers:\n  route: {baseline: SIDEWAYS}", 4, "levers.route.baseline", "'SIDEWAYS'", "one of DIRECT, NETWORK"),
    ("levers:\n  route: {baseline: NETWROK}", 4, "levers.route.baseline", "did you mean NETWORK?", "DIRECT, NETWORK"),
    (
        "levers:\n  joint-loan-cap: {baseline: 1.5}",
        4,
        "levers.joint-loan-cap.baseline",
        "1.5",
        "a number from 0 to 1 (share)",
    ),
    ("levers:\n  federated: {baseline: 1}", 4, "levers.federated.baseline", "1 is not allowed", "true or false"),
    ("levers:\n  federated: {minimum: 1}", 4, "levers.federated.minimum", "bool has no bounds", "type number only"),
    ("levers:\n  route: {values: []}", 4, "levers.route.values", "does not fit", "symbols for the type enum"),
    (
        "levers:\n  route:\n    decisions:\n    - {effective: 2030-01-01, value: DIRECT, source: free parameter}",
        6,
        "levers.route.decisions[0].effective",
        "outside the era",
        "a date from 2018-01-01",
    ),
    (
        "levers:\n  route:\n    decisions:\n    - {effective: 2018-01-01, value: DIRECT, source: free parameter}",
        6,
        "levers.route.decisions[0].effective",
        "the era's first day",
        "a later date",
    ),
    (
        "levers:\n  route:\n    decisions:\n    - {effective: 2020-01-01, value: DIRECT, source: free parameter}\n"
        "    - {effective: 2019-01-01, value: NETWORK, source: free parameter}",
        7,
        "levers.route.decisions[1].effective",
        "2019-01-01",
        "a date after the decision before it, 2020-01-01",
    ),
    (
        "levers:\n  horizon: {about: x, type: bool, baseline: true, source: free parameter}",
        4,
        "levers.horizon",
        "the clock",
        "another name",
    ),
    (
        "levers:\n  federated: {source: tech.federatd}",
        4,
        "levers.federated.source",
        "did you mean tech.federated?",
        "the id of a claim",
    ),
    (
        "figures: {economy.adults: pay.duopolly}",
        3,
        "figures.economy.adults",
        "did you mean pay.duopoly?",
        "free parameter",
    ),
    ("figures: {economy.adults: 'external: '}", 3, "figures.economy.adults", "which is none", "external: <reference>"),
    (
        "figures: {economy.adlts: free parameter}",
        3,
        "figures.economy.adlts",
        "covers no figure",
        "the path of a number",
    ),
    (
        "figures: !replace {scale: free parameter}",
        None,
        "economy.adults",
        "cites nothing",
        "under figures, `economy.adults:`",
    ),
    (
        "lending:\n  joint: {banks: [psbc, jd]}",
        4,
        "lending.joint.banks[1]",
        "jd is no bank",
        "ids of banks",
    ),
    (
        "lending:\n  offers: {cmb-card: {bank: cmbc}}",
        4,
        "lending.offers.cmb-card.bank",
        "no institution 'cmbc'",
        "the ids under institutions",
    ),
    (
        "lending:\n  regional: {platform_share: [0.005, 0.35]}",
        4,
        "lending.regional.platform_share",
        "0.005 to 0.35 is not allowed",
        "from 0.01 to 0.2",
    ),
    (
        "lending:\n  pools: {cmb: {weight: 20000000}}",
        4,
        "lending.pools.cmb.weight",
        "20000000 times thin, 1, is not allowed",
        "at most 10000000 together",
    ),
    (
        "lending:\n  offers: {cmb-card: {amount_yuan: 90000000}}",
        4,
        "lending.offers.cmb-card.amount_yuan",
        "9e+07 is not allowed",
        "at most 1000000",
    ),
    (
        "lending:\n  offers: {cmb-card: {decision: {median_seconds: 5000000}}}",
        4,
        "lending.offers.cmb-card.decision.median_seconds",
        "5e+06 is not allowed",
        "at most 1728000, 20 days",
    ),
    (
        "lending:\n  offers: {cmb-card: {pool: nobody}}",
        3,
        "lending",
        "offer cmb-card is for the pool nobody",
        "",
    ),
    ("economy:\n  adults: -3", 4, "economy.adults", "-3 is not allowed", "an integer above 0"),
    ("economy:\n  adults: .inf", 4, "economy.adults", "inf is not allowed", "an integer above 0"),
    ("economy:\n  bureau_share: .nan", 4, "economy.bureau_share", "nan is not allowed", "a number from 0 to 1"),
    (
        "economy:\n  bank_size: {icbx: 3}",
        4,
        "economy.bank_size.icbx",
        "no bank 'icbx' (did you mean icbc?)",
        "ids of banks",
    ),
    ("economy:\n  bank_size: {icbc: .inf}", 4, "economy.bank_size.icbc", "inf is not allowed", "a finite number"),
    ("economy:\n  segments: {OLD: {share: 1}}", 4, "economy.segments.OLD", "the key 'OLD'", "one of YOUNG, MASS"),
    ("economy:\n  scenes:\n    DINING: {share: lots}", 5, "economy.scenes.DINING.share", "'lots'", "from 0 to 1"),
    ("economy:\n  scenes:\n    DINING: {share: 0.9}", 3, "economy", "shares of scenes add up to", ""),
]


@pytest.mark.parametrize(
    ("text", "line", "field", "what", "allowed"), WRONG, ids=[f"{w[2]}-{n}" for n, w in enumerate(WRONG)]
)
def test_it_names_line_field_and_what_is_allowed(
    problems: Problems, text: str, line: int | None, field: str, what: str, allowed: str
) -> None:
    told = problems(text)
    found = [problem for problem in told if problem.field == field]
    assert len(found) == 1
    if not text.startswith(("institutions:", "scenes:", "segments:", "figures: !replace")):  # those have consequences
        assert [problem for problem in told if Path(problem.place.file).name == "mine.yaml"] == found
    assert what in found[0].what
    assert allowed in found[0].allowed
    expected = ("mine.yaml", line) if line else ("china.yaml", found[0].place.line)
    assert (Path(found[0].place.file).name, found[0].place.line) == expected


def test_it_tells_several_problems_in_the_order_of_the_lines(problems: Problems) -> None:
    found = problems("scale:\n  shards: 0\n  tick: soon\nlevers:\n  route: {baseline: 3}\neconomy: {adults: none}")
    assert [(problem.place.line, problem.field) for problem in found] == [
        (4, "scale.shards"),
        (5, "scale.tick"),
        (7, "levers.route.baseline"),
        (8, "economy.adults"),
    ]


def test_the_message_holds_everything(write: Callable[..., Path]) -> None:
    path = write("over: china\nname: mine\nscale: {shards: 0}\nspan: {to: never}\n")
    with pytest.raises(JinliuError) as caught:
        topologies.load(path)
    lines = str(caught.value).split("\n")
    assert lines[0] == "2 problems"
    assert lines[1] == f"  {path}:3: scale.shards: 0 is not allowed; allowed: an integer from 1 to 256"


def test_one_problem_is_one_line(write: Callable[..., Path]) -> None:
    with pytest.raises(JinliuError) as caught:
        topologies.load(write("over: china\nname: mine\nscale: {shards: 0}\n"))
    assert "\n" not in str(caught.value)
    assert "mine.yaml:3: scale.shards: 0 is not allowed" in str(caught.value)


def test_a_mistake_in_the_base_is_told_there(write: Callable[..., Path]) -> None:
    write("over: china\nname: base\nscale:\n  shards: 0\n", "base.yaml")
    with pytest.raises(TopologyError) as caught:
        topologies.load(write("over: base.yaml\nname: mine\n\nscale: {weight: 0}\n"))
    places = {problem.field: (Path(problem.place.file).name, problem.place.line) for problem in caught.value.problems}
    assert places == {"scale.shards": ("base.yaml", 4), "scale.weight": ("mine.yaml", 4)}


def test_a_right_overlay_is_right(over_china: Callable[[str], Topology]) -> None:
    assert over_china("scale: {shards: 256}").scale.shards == 256


def test_an_unknown_world_lists_the_packaged_ones() -> None:
    with pytest.raises(TopologyError, match=r"no world 'chian' \(did you mean china\?\); allowed: .*china, .*small"):
        topologies.load("chian")


def test_the_claims_are_no_world() -> None:
    with pytest.raises(TopologyError, match="no world 'claims'"):
        topologies.load("claims")


def test_a_missing_file_lists_the_packaged_worlds() -> None:
    with pytest.raises(
        TopologyError, match=r"no file 'nowhere/chian\.yaml' \(did you mean china\?\); allowed: .*one-to-one"
    ):
        topologies.load("nowhere/chian.yaml")


def test_an_empty_world_lacks_all_its_parts(write: Callable[..., Path]) -> None:
    with pytest.raises(TopologyError) as caught:
        topologies.load(write("name: mine\n"))
    assert {problem.field for problem in caught.value.problems} == set(Topology.model_fields) - {"name"}
    assert all(problem.what == "is missing" and problem.allowed for problem in caught.value.problems)
