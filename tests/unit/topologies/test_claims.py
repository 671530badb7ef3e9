"""The paper's claims, all 71, and what a claim must have."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType

import pytest

from topologies import TopologyError, claims
from topologies.document import parse

ROW = "claims:\n- {id: pay.one, at: '1', says: a, measure: b, check: eq, value: 1, kind: set}\n"


def test_there_are_71_in_the_order_of_the_file() -> None:
    found = claims.load()
    assert isinstance(found, MappingProxyType)
    assert len(found) == 71
    assert next(iter(found)) == "pay.duopoly"
    assert list(found)[-1] == "org.apibank"
    assert all(key == claim.id for key, claim in found.items())


def test_their_groups_and_kinds() -> None:
    found = claims.load().values()
    assert set(Counter(claim.group for claim in found)) == {
        "pay",
        "clear",
        "api",
        "ecny",
        "xborder",
        "loan",
        "coop",
        "wealth",
        "tech",
        "reg",
        "org",
    }
    assert {claim.kind for claim in found} == {"set", "fitted", "emerges", "structure", "counter", "note"}


def test_values_and_tolerances_come_as_written() -> None:
    found = claims.load()
    assert (found["pay.volume-2022"].value, found["pay.volume-2022"].within) == (3.5e14, 0.02)
    assert found["api.churn"].within == "0.5 pp"
    assert found["coop.cac"].value == ((120, 150), (20, 30))
    assert found["loan.bank-speed"].value == ("3 d", "7 d")
    assert found["clear.peak"].scenario == "capacity-as-stated"
    assert found["pay.wechat-daily"].at == "2.3.1"


def test_a_right_row_reads() -> None:
    assert list(claims.of(parse(ROW, "c.yaml"))) == ["pay.one"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: pay.one", "id: Pay", r"c\.yaml:2: claims\.Pay\.id: 'Pay' is not allowed; allowed: text"),
        ("kind: set", "kind: sett", r"claims\.pay\.one\.kind: 'sett' is not allowed; allowed: one of set, fitted"),
        ("check: eq", "check: near", r"claims\.pay\.one\.check: 'near' is not allowed; allowed: one of eq, gt"),
        ("value: 1, ", "", r"claims\.pay\.one\.check: eq has no value; allowed: a `value`, or the check `all`"),
        ("says: a, ", "", r"claims\.pay\.one\.says: is missing; allowed: text"),
        ("says: a", "sais: a", r"claims\.pay\.one\.sais: unknown key \(did you mean says\?\); allowed: id, at, says"),
    ],
)
def test_a_wrong_row_is_told(old: str, new: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        claims.of(parse(ROW.replace(old, new), "c.yaml"))


def test_an_id_twice_is_told() -> None:
    with pytest.raises(
        TopologyError, match=r"c\.yaml:3: claims\.pay\.one\.id: pay\.one stands twice; allowed: each id once"
    ):
        claims.of(parse(ROW + ROW.splitlines()[1] + "\n", "c.yaml"))
