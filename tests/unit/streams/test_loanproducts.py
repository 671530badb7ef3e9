"""The groups of products against the list of topic `loans`."""

from __future__ import annotations

import json

from schemas import catalog
from streams.loanproducts import ALONE, OF_BANKS, OF_PLATFORMS, REFERRED


def told() -> list[str]:
    fields = json.loads(catalog.schema("loan").text)["fields"]
    symbols: list[str] = next(field for field in fields if field["name"] == "product")["type"]["symbols"]
    return symbols


def test_every_product_is_lent_alone_or_referred_or_joint() -> None:
    assert sorted([*ALONE, *REFERRED, "JOINT"]) == sorted(told())


def test_every_product_is_a_banks_or_a_platforms_or_referred() -> None:
    assert sorted([*OF_BANKS, *OF_PLATFORMS, *REFERRED]) == sorted(told())
