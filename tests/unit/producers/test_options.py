"""What a source is told to do."""

import hashlib

import pytest

from producers.errors import ProducerError
from tests.unit.producers.fake_world import DAY_MS, ROSTER, START_MS, options


def test_no_sources_means_all_and_the_order_is_the_topologys() -> None:
    assert options().sources == ROSTER
    assert options(sources=("banks", "alipay", "banks")).sources == ("alipay", "banks")


def test_wrong_options_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(ProducerError, match="no source 'visa' in topology test; it has alipay, wechat-pay"):
        options(sources=("visa",))
    with pytest.raises(ProducerError, match="the span is empty"):
        options(ticks=0)
    with pytest.raises(ProducerError, match="compression 'gzip' is none of lz4, none"):
        options(compression="gzip")
    with pytest.raises(ProducerError, match="no whole number of ticks"):
        options(end_ms=START_MS + DAY_MS + 1)


def test_the_run_id_is_a_function_of_seed_topology_and_span() -> None:
    one = options(prefix="p.")
    text = f"7|{'ab' * 32}|{START_MS}|{START_MS + 30 * DAY_MS}"
    assert one.run_id == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert one.run_id == options(sources=("banks",), broker="other:1").run_id
    assert one.run_id != options(ticks=31).run_id


def test_names_carry_the_prefix() -> None:
    one = options(prefix="lab.")
    assert (one.topic("payments"), one.group("banks")) == ("lab.payments", "lab.source.banks")
    assert one.roster() == {"operations": ROSTER, "payments": ROSTER}
    assert one.ticks == 30
