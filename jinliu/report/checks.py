"""How a measured value is held against a claim's figure: one function a kind of check.

The point value decides. `within` is a distance for shares, rates and ratios (figures below 2) and where it carries a
unit itself; for larger figures, such as volumes and days, it is relative.
"""

import itertools
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jinliu.report.measured import Measured

if TYPE_CHECKING:
    from topologies.claims import Claim

RATIO_MAX = 2
UNITS = {"pp": 0.01, "%": 0.01}
ROUNDING = 1e-12


def number(figure: Any) -> float | None:
    """A claim's figure as a number: `200 ms` is 200, `1.5 pp` 0.015; None where it is words."""
    if isinstance(figure, bool):
        return float(figure)
    if isinstance(figure, int | float):
        return float(figure)
    match = re.match(r"\s*([-+]?\d[\d.]*(?:[eE][-+]?\d+)?)\s*(\S*)", str(figure))
    return float(match[1]) * UNITS.get(match[2], 1.0) if match else None


def figures(value: Any) -> tuple[float | None, ...]:
    """A claim's figures, one or several."""
    return tuple(number(item) for item in value) if isinstance(value, list | tuple) else (number(value),)


def values(measured: Measured) -> tuple[float, ...]:
    """The measured values, one or several."""
    return tuple(map(float, measured.value)) if isinstance(measured.value, tuple) else (float(measured.value),)


def tolerance(claim: "Claim", figure: float) -> float:
    """How far a value may lie from a figure of the claim."""
    within = number(claim.within) if claim.within is not None else 0.0
    if within is None:
        raise ValueError(f"claim {claim.id}: within {claim.within!r} is no number")
    relative = not isinstance(claim.within, str) and abs(figure) >= RATIO_MAX
    return within * abs(figure) if relative else within


def bounds(claim: "Claim", measured: Measured) -> tuple[float, ...]:
    """What the values are held against.

    Raises ValueError where the claim speaks in words and nothing stands for them.
    """
    if measured.against is not None:
        return (measured.against,)
    found = tuple(figure for figure in figures(claim.value) if figure is not None)
    if len(found) != len(figures(claim.value)):
        raise ValueError(f"claim {claim.id}: {claim.value!r} is no number, and the measurement names none")
    return found


def _eq(claim: "Claim", measured: Measured) -> bool:
    held = values(measured), bounds(claim, measured)
    return all(
        abs(value - figure) <= tolerance(claim, figure) + ROUNDING * abs(figure)
        for value, figure in zip(*held, strict=True)
    )


def _gt(claim: "Claim", measured: Measured) -> bool:
    return all(value > figure for value, figure in zip(values(measured), bounds(claim, measured), strict=True))


def _gte(claim: "Claim", measured: Measured) -> bool:
    held = values(measured), bounds(claim, measured)
    return all(value >= figure - tolerance(claim, figure) for value, figure in zip(*held, strict=True))


def _lt(claim: "Claim", measured: Measured) -> bool:
    return all(value < figure for value, figure in zip(values(measured), bounds(claim, measured), strict=True))


def _between(claim: "Claim", measured: Measured) -> bool:
    """Each value within its own bounds, a lone figure being both; all within the same where the claim has one pair."""
    listed = claim.value if isinstance(claim.value, list | tuple) else ()
    several = bool(listed) and isinstance(listed[0], list | tuple)
    found = values(measured)
    limits = [figures(pair) for pair in listed] if several else [figures(listed)] * len(found)
    return all(
        pair[0] is not None and pair[-1] is not None and pair[0] <= value <= pair[-1]
        for value, pair in zip(found, limits, strict=True)
    )


def _direction(claim: "Claim", measured: Measured) -> bool:
    before, after = values(measured)
    return after > before if claim.value == "up" else after < before


def _order(claim: "Claim", measured: Measured) -> bool:
    ranked = values(measured)
    return all(low < high for low, high in itertools.pairwise(ranked))


def _all(claim: "Claim", measured: Measured) -> bool:
    return all(value == 1 for value in values(measured))


CHECKS: dict[str, Callable[["Claim", Measured], bool]] = {
    "eq": _eq,
    "gt": _gt,
    "gte": _gte,
    "lt": _lt,
    "between": _between,
    "direction": _direction,
    "order": _order,
    "all": _all,
}


def holds(claim: "Claim", measured: Measured) -> bool:
    """Whether the claim's check is met, and whatever must hold besides."""
    if any(math.isnan(value) for value in values(measured)):
        return False
    return CHECKS[claim.check](claim, measured) and all((measured.besides or {}).values())
