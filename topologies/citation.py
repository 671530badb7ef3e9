"""Where a figure comes from: a claim of the paper, a source outside it, or a free parameter that says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from topologies import claims
from topologies.allowed import Allowed, meant

EXTERNAL = "external: "
FREE = "free parameter"
WORDS = f"the id of a claim of claims.yaml, `{EXTERNAL}<reference>`, or `{FREE}` (`{FREE}: <reason>`)"


def _cited(text: str) -> str:
    known = claims.load()
    external = text.startswith(EXTERNAL) and text.removeprefix(EXTERNAL).strip()
    if not (text in known or text == FREE or text.startswith(FREE + ": ") or external):
        raise PydanticCustomError(
            "refused", "{text}", {"text": f"cites {text!r}, which is none{meant(text, list(known))}"}
        )
    return text


Citation = Annotated[str, AfterValidator(_cited), Allowed(WORDS)]


class Figure(BaseModel):
    """A number of the world: dotted field, value, and the citation that covers it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    value: int | float
    source: Citation

    @property
    def claim(self) -> str | None:
        """The claim it cites, if it cites one."""
        return self.source if self.source in claims.load() else None

    @property
    def free(self) -> bool:
        """Whether it is a free parameter."""
        return self.source.startswith(FREE)


def names(source: str, claim: str) -> bool:
    """Whether a citation is the claim or names it: `free parameter: fitted for pay.alipay-daily`."""
    return re.search(rf"(?<![\w.-]){re.escape(claim)}(?![\w-])", source) is not None


def numbers(value: Any, path: str) -> Iterator[tuple[str, int | float]]:
    """(dotted path, number) of every number in plain data; items of lists go by their id, else by the list's path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            name = item.get("id") if isinstance(item, Mapping) else None
            yield from numbers(item, f"{path}.{name}" if name else path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def covering(path: str, citations: Mapping[str, str]) -> str | None:
    """The longest key of `citations` that is the path or a beginning of it at a dot, or None."""
    while path:
        if path in citations:
            return path
        path = path.rpartition(".")[0]
    return None
