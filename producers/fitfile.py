"""Writing fitted figures into the text of a topology without touching anything else of it, comments least of all."""

from __future__ import annotations

import re
from collections.abc import Mapping

from schemas.errors import JinliuError


class FitFileError(JinliuError):
    """The topology's text lacks the place of a fitted figure."""


def write(
    text: str, section: str, values: Mapping[tuple[str, ...], float], rows: Mapping[str, Mapping[str, float]], by: str
) -> str:
    """The text with each path of a section set to its value and the section's `fit:` block, its last, replaced by
    `rows`. by: the module that was run."""
    for path, value in values.items():
        text = put(text, (section, *path), value)
    head, begin, rest = re.split(rf"(?m)^({section}:.*\n)", text, maxsplit=1)
    inside, *behind = re.split(r"(?m)^(?=\S)", rest, maxsplit=1)
    inside = re.split(r"(?m)^  fit:.*\n", inside)[0].rstrip("\n")
    lines = [
        f"    {name}: {{target: {row['target']:.6g}, model: {row['model']:.6g}, relative: {row['relative']:.3g}}}"
        for name, row in rows.items()
    ]
    made = "\n".join(
        [inside, f"  fit:                          # written by `python -m {by}`", *(_floats(x) for x in lines), ""]
    )
    return head + begin + made + ("\n" + behind[0] if behind else "")


def put(text: str, path: tuple[str, ...], value: float) -> str:
    """Set one scalar in block style at a path of nested mappings, each level two spaces deeper."""
    lines = text.split("\n")
    at = 0
    for depth, key in enumerate(path):
        wanted = re.compile(rf"^{'  ' * depth}{re.escape(key)}:")
        while at < len(lines) and not wanted.match(lines[at]):
            if (
                depth
                and lines[at].strip()
                and not lines[at].startswith("  " * depth)
                and not lines[at].lstrip().startswith("#")
            ):
                at = len(lines)
            at += 1
        if at >= len(lines):
            raise FitFileError(f"no line for {'.'.join(path)} in the topology; write it in block style, one key a line")
        at += 1
    at -= 1
    lines[at] = re.sub(r"^(\s*[\w.-]+:\s*)\S+", lambda m: m.group(1) + _number(value), lines[at], count=1)
    return "\n".join(lines)


def _number(value: float) -> str:
    """A YAML 1.1 float: `1e-05` needs its point."""
    return _floats(f"{value:.6g}")


def _floats(text: str) -> str:
    return re.sub(r"(?<![\w.])(-?\d+)e", r"\1.0e", text)
