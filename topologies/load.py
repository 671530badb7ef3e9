"""Worlds by name or by path: packaged ones, a user's own, and overlays over either."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from topologies.claims import FILE as CLAIMS
from topologies.document import Document, read
from topologies.errors import Place, Problem, TopologyError
from topologies.model import Topology
from topologies.overlay import merged
from topologies.validation import validated

HOME = Path(__file__).parent
SUFFIXES = (".yaml", ".yml")


def worlds() -> tuple[str, ...]:
    """Names of the packaged worlds."""
    return tuple(sorted(path.stem for path in HOME.glob("*.yaml") if path.name != CLAIMS.name))


def load(world: str | os.PathLike[str]) -> Topology:
    """The world of a packaged name (`china`), or of the YAML file at a path (with a slash, or ending in .yaml).

    A file with `over: <name or path>` is laid over that world; a path counts from the file's own directory.
    Raises TopologyError naming file, line, field and what is allowed, for all problems found.
    """
    path, shown = _find(world, Path.cwd(), None)
    return validated(Topology, _document(path, shown, ()))


def _find(world: str | os.PathLike[str], near: Path, asked: Place | None) -> tuple[Path, str]:
    """The file of a world and its name in messages; `asked` is where its name was written, if in a file."""
    text = os.fspath(world)
    by_path = not isinstance(world, str) or text.endswith(SUFFIXES) or os.sep in text
    path = near / text if by_path else HOME / f"{text}.yaml"
    if path.is_file() and (by_path or text in worlds()):
        return path, text if by_path else path.name
    close = get_close_matches(Path(text).stem, worlds(), n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    allowed = f"{', '.join(worlds())}, or the path of a YAML file"
    place, field = (asked, "over") if asked else (Place(text if by_path else "topology"), "")
    raise TopologyError([Problem(place, field, f"no {'file' if by_path else 'world'} {text!r}{hint}", allowed)])


def _document(path: Path, shown: str, above: tuple[Path, ...]) -> Document:
    """The data of a file, laid over what it names."""
    document = read(path, shown)
    if "over" not in document.data:
        return document
    over = document.data["over"]
    place = document.places[("over",)]
    above = (*above, path.resolve())
    if not isinstance(over, str):
        raise TopologyError([Problem(place, "over", f"{over!r} is not allowed", f"{', '.join(worlds())}, or a path")])
    if "name" not in document.data:
        raise TopologyError(
            [Problem(Place(shown, 1, 1), "name", "is missing", "a name of its own: an overlay is another world")]
        )
    base_path, base_shown = _find(over, path.parent, place)
    if base_path.resolve() in above:
        raise TopologyError([Problem(place, "over", f"{over} lies over this file in turn", "a world that does not")])
    base = _document(base_path, base_shown, above)
    rest = {key: value for key, value in document.data.items() if key != "over"}
    return merged(base, Document(rest, document.places, document.replaced))
