"""Contract with numpy: the compiled Philox gives the words that numpy's gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.philox import seed_word, stream, words

word = st.integers(0, (1 << 64) - 1)


@settings(deadline=None)
@given(k0=word, k1=word, counter=st.tuples(st.integers(1, (1 << 64) - 1), word, word, word))
def test_words_are_numpys(k0: int, k1: int, counter: tuple[int, int, int, int]) -> None:
    ours = words(np.uint64(k0), np.uint64(k1), *(np.uint64(c) for c in counter))
    before = [counter[0] - 1, *counter[1:]]
    bits = np.random.Philox(
        key=np.array([k0, k1], dtype=np.uint64), counter=np.array(before, dtype=np.uint64)
    ).random_raw(4)
    assert [int(w) for w in ours] == [int(w) for w in bits]


def test_streams_are_told_apart_by_name() -> None:
    names = [stream(source, "payments", shard) for source in ("alipay", "banks") for shard in range(8)]
    assert len(set(names)) == len(names)
    assert stream("alipay", "payments", 1) == stream("alipay", "payments", 1)
    assert seed_word(-1) == (1 << 64) - 1
