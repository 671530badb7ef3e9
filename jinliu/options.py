"""Options that the commands have in common, written once and given to every command that takes settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from jinliu.settings import Settings, settings

RUN = "The run"
PLACE = "Where"
OUTPUT = "Output"

COMMON: dict[str, Any] = {
    "topology": Annotated[
        str | None,
        typer.Option(
            help="World: a packaged name (china) or the path of a YAML file.", rich_help_panel=RUN, show_default="china"
        ),
    ],
    "seed": Annotated[int | None, typer.Option(help="Seed of all randomness.", rich_help_panel=RUN, show_default="7")],
    "from_": Annotated[
        str | None,
        typer.Option(
            "--from", help="First day (2022-01-01), or a time.", rich_help_panel=RUN, show_default="the topology's"
        ),
    ],
    "to": Annotated[
        str | None,
        typer.Option(
            "--to", help="Last day, inclusive; a time is the end.", rich_help_panel=RUN, show_default="the topology's"
        ),
    ],
    "speed": Annotated[
        str | None,
        typer.Option(
            help="Simulated seconds per second, or max.", rich_help_panel=RUN, show_default="86400, a day a second"
        ),
    ],
    "data": Annotated[
        Path | None,
        typer.Option(
            help="Directory of the embedded Kafka and the run.", rich_help_panel=PLACE, show_default=".jinliu"
        ),
    ],
    "broker": Annotated[
        str | None, typer.Option(help="HOST:PORT of another Kafka, instead of --data.", rich_help_panel=PLACE)
    ],
    "prefix": Annotated[str | None, typer.Option(help="Before every topic name, literally.", rich_help_panel=PLACE)],
    "registry_": Annotated[
        str | None,
        typer.Option("--registry", help="URL of a Confluent-compatible schema registry.", rich_help_panel=PLACE),
    ],
}
AS_JSON = Annotated[
    bool, typer.Option("--json", help="Machine-readable output on standard output.", rich_help_panel=OUTPUT)
]


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the common options added: it is called with a `Settings` first, then its own parameters."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def run(**said: Any) -> Any:
        chosen: Settings = settings(**{name: said.pop(name) for name in COMMON})
        return command(chosen, **said)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in COMMON.items()
    ]
    mine = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    arguments = [each for each in mine if each.default is inspect.Parameter.empty]
    options = [each for each in mine if each.default is not inspect.Parameter.empty]
    run.__signature__ = inspect.Signature([*arguments, *added, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in [*arguments, *added, *options]}
    del run.__wrapped__
    return run
