"""Quantiles of histograms, and the SQL that a proof recomputes them with.

A quantile q is where the cumulative weight reaches q times the whole, linear inside its bin (Hyndman and Fan, Sample
Quantiles in Statistical Packages, The American Statistician 50(4), 1996, definition 4, on grouped data); bin 0 begins
at 0, the last bin counts as its lower edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


def quantile(bins: Int64, edges: Sequence[int], q: float) -> Float64:
    """float64 of the shape of int64 histograms (of `streams.measures.histogram`) without their last axis: the
    q-quantile, NaN where a histogram is empty.
    """
    bounds = np.array(edges, np.float64)
    lower, upper = np.concatenate(([0.0], bounds)), np.concatenate((bounds, bounds[-1:]))
    cumulative = bins.cumsum(axis=-1)
    target = cumulative[..., -1:].astype(np.float64) * q
    place = (cumulative.astype(np.float64) >= target).argmax(axis=-1)[..., None]
    inside = np.take_along_axis(bins, place, -1)
    before = np.take_along_axis(cumulative, place, -1) - inside
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (target - before.astype(np.float64)) / inside.astype(np.float64)
    found: Float64 = (lower[place] + part * (upper[place] - lower[place]))[..., 0]
    return found


def or_none(value: float | np.float64) -> float | None:
    """A quantile as a row holds it: None for the NaN of an empty histogram."""
    return None if np.isnan(value) else float(value)


def bins_sql(edges: Sequence[int]) -> str:
    """VALUES of (bin, low, high, match_low, match_high): a value v with match_low <= v < match_high lies in the bin."""
    least, most = -(2**62), 2**62
    return ", ".join(
        f"({number}, {low}, {high}, {match_low}, {match_high})"
        for number, (low, high, match_low, match_high) in enumerate(
            zip((0, *edges), (*edges, edges[-1]), (least, *edges), (*edges, most), strict=True)
        )
    )


def quantiles_sql(told: str, value: str, keys: Sequence[str], edges: Sequence[int], wanted: Mapping[str, float]) -> str:
    """CTEs up to `quantiles` (keys, and each wanted quantile by name, null where its histogram is empty) of the table
    `told` (keys, value, n), where n events or their weight have the value.
    """
    by = ", ".join(keys)
    levels = ", ".join(f"({q}::DOUBLE)" for q in wanted.values())
    columns = ", ".join(f"max(found) FILTER (WHERE q = {q}::DOUBLE) AS {name}" for name, q in wanted.items())
    return f"""bins (bin, low, high, match_low, match_high) AS (VALUES {bins_sql(edges)}
), binned AS (
    SELECT {by}, bin, low, high, sum(n)::BIGINT AS inside
    FROM {told} JOIN bins ON {value} >= match_low AND {value} < match_high GROUP BY ALL
), ascending AS (
    SELECT *, sum(inside) OVER (PARTITION BY {by} ORDER BY bin)::BIGINT AS upto,
        sum(inside) OVER (PARTITION BY {by})::BIGINT AS whole
    FROM binned
), placed AS (
    SELECT {by}, q, low, high, inside, upto - inside AS before, whole::DOUBLE * q AS target
    FROM ascending, (VALUES {levels}) AS wanted (q) WHERE upto::DOUBLE >= whole::DOUBLE * q
    QUALIFY row_number() OVER (PARTITION BY {by}, q ORDER BY bin) = 1
), quantiles AS (
    SELECT {by}, {columns}
    FROM (SELECT *, low::DOUBLE + (target - before::DOUBLE) / inside::DOUBLE * (high::DOUBLE - low::DOUBLE) AS found
        FROM placed) GROUP BY ALL
)"""
