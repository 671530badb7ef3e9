"""Arrow columns as the int64 arrays that events are judged by."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


def mapped(column: pa.Array, codes: Mapping[str, int], other: int) -> Int64:
    """int64[n] codes of a string column, `other` for unknown strings."""
    encoded = column.dictionary_encode()
    table = np.array([codes.get(word, other) for word in encoded.dictionary.to_pylist()] or [other], np.int64)
    codes_by_row: Int64 = table[encoded.indices.to_numpy(zero_copy_only=False)]
    return codes_by_row


def longs(batch: pa.RecordBatch, name: str) -> Int64:
    """int64[n] of an integer column, 0 where null."""
    column = batch.column(name)
    if column.null_count:
        column = column.fill_null(0)
    values: Int64 = column.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return values
