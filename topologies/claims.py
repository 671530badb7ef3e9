"""What the source paper says: one row per checkable statement, and how a measured value is held against it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, model_validator

from topologies.document import Document, read
from topologies.validation import Finding, refuse, validated

FILE = Path(__file__).with_name("claims.yaml")

Kind = Literal["set", "fitted", "emerges", "structure", "counter", "note"]
Check = Literal["eq", "gt", "gte", "lt", "between", "direction", "order", "all"]
Scalar = StrictInt | StrictFloat | StrictStr
Text = Annotated[str, Field(min_length=1)]


class Claim(BaseModel):
    """One statement of the paper.

    id : group and name, such as `pay.duopoly`. at : section of the paper. says : in our words.
    measure : what is measured for it.
    check : how the measure is held against `value` (tolerance `within`); units stand in the text (`200 ms`, `1.5 pp`).
    kind : what it means that it holds, see claims.yaml.
    scenario : the world it is measured in, where that is not the baseline.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[a-z]+\.[a-z0-9-]+$")]
    at: Text
    says: Text
    measure: Text
    check: Check
    value: Scalar | tuple[Scalar | tuple[Scalar, ...], ...] | None = None
    within: Scalar | None = None
    kind: Kind
    scenario: Text | None = None
    note: Text | None = None

    @property
    def group(self) -> str:
        """What stands before the dot of the id."""
        return self.id.partition(".")[0]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    claims: tuple[Claim, ...]

    @model_validator(mode="after")
    def _consistent(self) -> _File:
        seen: set[str] = set()
        findings = []
        for n, claim in enumerate(self.claims):
            if claim.id in seen:
                findings.append(Finding(("claims", n, "id"), f"{claim.id} stands twice", "each id once"))
            if claim.value is None and claim.check != "all":
                findings.append(
                    Finding(("claims", n, "check"), f"{claim.check} has no value", "a `value`, or the check `all`")
                )
            seen.add(claim.id)
        refuse(findings)
        return self


def of(document: Document) -> Mapping[str, Claim]:
    """The claims of a document by id, in its order. Raises TopologyError."""
    return MappingProxyType({claim.id: claim for claim in validated(_File, document).claims})


@cache
def load() -> Mapping[str, Claim]:
    """The paper's claims by id, in the order of claims.yaml."""
    return of(read(FILE, FILE.name))
