"""What a user says: by option, by environment (`JINLIU_SEED=8`), or by what the data directory already holds."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

import topologies
from producers.options import Options as SourceOptions
from schemas.errors import JinliuError
from streams.options import Options as WorkerOptions

DEFAULT_DATA = Path(".jinliu")
DEFAULT_TOPOLOGY = "china"
DEFAULT_SEED = 7
DAY_MS = 86_400_000
SEED_MAX = 2**63 - 1
PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")


class UsageError(JinliuError):
    """An option has a value that cannot be."""


class Settings(BaseSettings):
    """Options common to the commands. None: not said."""

    model_config = SettingsConfigDict(
        env_prefix="JINLIU_", env_ignore_empty=True, populate_by_name=True, extra="ignore"
    )

    topology: str | None = None
    seed: int | None = None
    from_: str | None = Field(default=None, validation_alias="JINLIU_FROM")  # `from` is a keyword
    to: str | None = None
    speed: str | None = None
    data: Path = DEFAULT_DATA
    broker: str | None = None
    registry_: str | None = Field(default=None, validation_alias="JINLIU_REGISTRY")  # said; `registry` is what holds
    prefix_: str | None = Field(default=None, alias="prefix", validation_alias="JINLIU_PREFIX")  # likewise

    @model_validator(mode="before")
    @classmethod
    def _said(cls, said: dict[str, Any]) -> dict[str, Any]:
        """A prefix that is given is the one said; the name itself is that of what holds."""
        if "prefix" in said:
            said["JINLIU_PREFIX"] = said.pop("prefix")
        return said

    @field_validator("seed")
    @classmethod
    def _seed(cls, seed: int | None) -> int | None:
        if seed is not None and not 0 <= seed <= SEED_MAX:
            raise ValueError(f"must be between 0 and {SEED_MAX}")
        return seed

    @field_validator("broker")
    @classmethod
    def _broker(cls, broker: str | None) -> str | None:
        for server in (broker or "").split(","):
            host, _, port = server.strip().rpartition(":")
            if broker is not None and not (_is_host(host) and port.isdigit() and 0 < int(port) < 65536):
                raise ValueError("must be HOST:PORT, such as 127.0.0.1:9092")
        return broker

    @field_validator("prefix_")
    @classmethod
    def _prefix(cls, prefix: str | None) -> str | None:
        if prefix is not None and not PREFIX.fullmatch(prefix):
            raise ValueError("must be at most 100 letters, digits, dots, hyphens or underscores")
        return prefix

    @field_validator("data")
    @classmethod
    def _data(cls, data: Path) -> Path:
        if any(ord(character) < 32 for character in str(data)):
            raise ValueError("holds a line break or another control character; choose another name")
        if "{" in str(data) or "}" in str(data):
            raise ValueError("holds a brace, which Faust takes for a template; choose another name")
        try:
            os.fsencode(data).decode()
        except UnicodeDecodeError:
            raise ValueError("is no UTF-8, which Java needs; choose another name") from None
        if data.exists() and not data.is_dir():
            raise ValueError("is a file; a directory is wanted")
        return data

    @cached_property
    def held(self) -> dict[str, Any]:
        """What the run of the data directory was started with; empty when there is none or another broker is used."""
        return remembered(self.data) if self.broker is None else {}

    def forget(self) -> None:
        """Leave out what the data directory holds: its run is about to be dropped."""
        self.__dict__["held"] = {}

    @property
    def prefix(self) -> str:
        """What stands before every topic name of the run.

        Raises UsageError where the run of the data directory has another one. A directory of an earlier version does
        not say; there it is empty.
        """
        if not self.held:
            return self.prefix_ or ""
        held: str = self.held.get("prefix", "")
        if self.prefix_ is not None and self.prefix_ != held:
            raise UsageError(
                f"--prefix {self.prefix_!r} (JINLIU_PREFIX) is not allowed: the run in {self.data} has "
                f"{f'the prefix {held!r}' if held else 'no prefix'}, and a directory holds one run; leave the option "
                "out, or choose another --data directory"
            )
        return held

    @property
    def registry(self) -> str | None:
        """URL of the run's schema registry, or None for the ids that the repository fixes.

        Raises UsageError where the run of the data directory was started with another one: its records carry the ids
        which that one gave. A directory of an earlier version does not say; then the option holds.
        """
        if "registry" not in self.held:
            return self.registry_
        held: str | None = self.held["registry"]
        if self.registry_ is not None and self.registry_.rstrip("/") != held:
            uses = f"the schema registry {held}" if held else "no schema registry"
            raise UsageError(
                f"--registry {self.registry_} (JINLIU_REGISTRY) is not allowed: the run in {self.data} uses {uses}, "
                "and its records carry those schema ids; leave the option out, or start a run in another --data "
                "directory"
            )
        return held

    @cached_property
    def world(self) -> topologies.Topology:
        """The topology. Raises TopologyError naming file, line, field and what is allowed."""
        return topologies.load(self.topology or self.held.get("topology") or DEFAULT_TOPOLOGY)

    @property
    def chosen_seed(self) -> int:
        """The seed of the run."""
        if self.seed is not None:
            return self.seed
        return int(self.held.get("seed", DEFAULT_SEED))

    @cached_property
    def span_ms(self) -> tuple[int, int]:
        """Start and end (exclusive) of the run, simulated UTC ms. A date as --to is the last day; a time is the end."""
        first = self.from_ or self.held.get("from")
        last = self.to or self.held.get("to")
        start = _moment("--from", first)[0] if first else self.world.span.start_ms
        end = self.world.span.end_ms
        if last:
            end, whole_day = _moment("--to", last)
            end += DAY_MS if whole_day else 0
        if end <= start:
            raise UsageError(
                f"--to {last or self.world.span.last} does not lie after --from {first or self.world.span.first}"
            )
        self._inside_era(start, end)
        for option, text, moment in (("--from", first, start), ("--to", last, end)):
            if moment % self.world.scale.tick_ms:
                raise UsageError(
                    f"{option} {text} is not allowed: topology {self.world.name} goes in ticks of "
                    f"{self.world.scale.tick}, so the span has to begin and end with one; give a date"
                )
        return start, end

    def refuse_another_run(self) -> None:
        """Raises UsageError where an option says otherwise than the run of the data directory was started with."""
        held, _ = self.held, self.prefix
        said: dict[str, tuple[Any, Any]] = {"--seed": (self.seed, held.get("seed"))}
        for option, text, name in (("--from", self.from_, "from"), ("--to", self.to, "to")):
            if text and name in held:
                moment, whole_day = _moment(option, text)
                moment += DAY_MS if whole_day and name == "to" else 0
                same = moment == _moment(option, held[name])[0]
                said[option] = (text, text if same else held[name])
        for option, (mine, its) in said.items():
            if mine is not None and its is not None and mine != its:
                raise UsageError(
                    f"{option} {mine} is not allowed: the run in {self.data} was started with {its}; leave it out, or "
                    "choose another --data directory"
                )

    def _inside_era(self, start: int, end: int) -> None:
        era = self.world.era
        if start < era.start_ms or end > era.end_ms:
            raise UsageError(
                f"the span lies outside what topology {self.world.name} covers: choose --from and --to within "
                f"{_day(era.start_ms)} to {_day(era.end_ms - 1)}"
            )

    @cached_property
    def pace(self) -> float | None:
        """Simulated seconds per second; None for `max`."""
        if self.speed is None or self.speed == "max":
            return None
        try:
            pace = float(self.speed)
        except ValueError:
            pace = 0.0
        if not 0 < pace < float("inf"):
            raise UsageError(
                f"--speed {self.speed} is not allowed: a number above 0 (simulated seconds per second), or max"
            )
        return pace

    def make_data(self) -> None:
        """Make the data directory, if it is not there. Raises UsageError."""
        try:
            self.data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--data {self.data} cannot be made: {error.strerror}") from error

    def remember(self) -> None:
        """Write what this run was started with into its data directory, for the commands that come after."""
        self.make_data()
        said = {"topology": self.topology or self.held.get("topology") or DEFAULT_TOPOLOGY, "seed": self.chosen_seed}
        said |= {"from": _time(self.span_ms[0]), "to": _time(self.span_ms[1])}
        registry = self.registry
        said["registry"] = registry.rstrip("/") if registry is not None else None
        said["prefix"] = self.prefix
        path = self.data / "run.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(said, indent=1) + "\n")
        part.replace(path)

    def source_options(self, broker: str, sources: tuple[str, ...] = ()) -> SourceOptions:
        """What `producers` is told."""
        start, end = self.span_ms
        return SourceOptions(broker, self.prefix, self.world, self.chosen_seed, start, end, sources, self.registry)

    def worker_options(self, broker: str, **more: Any) -> WorkerOptions:
        """What `streams` is told."""
        return WorkerOptions(
            broker=broker, topology=self.world, prefix=self.prefix, registry=self.registry, datadir=self.data, **more
        )


def remembered(data: Path) -> dict[str, Any]:
    """What the run of a data directory was started with; empty when there is none.

    Raises UsageError where somebody else wrote there what cannot be: guessing would show the wrong run.
    """
    path = data / "run.json"
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(held, dict):
        return {}
    for name in ("topology", "seed", "from", "to", "registry", "prefix"):
        if name in held and not _may_be_held(name, held[name]):
            raise UsageError(
                f"{path}: {name} is {json.dumps(held[name], ensure_ascii=False)}, which jinliu did not write; correct "
                "it, or remove the file and give the options of the run"
            )
    return held


def _may_be_held(name: str, value: Any) -> bool:
    if name == "seed":
        return type(value) is int and 0 <= value <= SEED_MAX  # True is an int, too
    if name == "registry" and value is None:
        return True
    return isinstance(value, str) and (name != "prefix" or PREFIX.fullmatch(value) is not None)


def settings(**said: Any) -> Settings:
    """Settings from options (None: not said), then the environment.

    Raises
    ------
    UsageError
        Naming the option or variable, its value and what is allowed.
    """
    try:
        return Settings(**{name: value for name, value in said.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).removeprefix("JINLIU_").lower().rstrip("_")
        why = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"--{name} (JINLIU_{name.upper()}) {str(first['input'])!r}: {why}") from error


def _is_host(name: str) -> bool:
    """Whether it can be the name of a host: the resolver takes it, if only to know nothing of it."""
    try:
        return bool(name.encode("idna"))
    except UnicodeError:
        return False


def _moment(option: str, text: str) -> tuple[int, bool]:
    """UTC ms of a date or time, and whether it is a whole date."""
    try:
        return _utc_ms(datetime.combine(date.fromisoformat(text), datetime.min.time())), True
    except ValueError:
        pass  # no date: a time, then
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text} is not allowed: a date such as 2022-06-30, or a time such as 2022-06-30T12:00:00"
        ) from None
    if moment.tzinfo is not None:
        raise UsageError(f"{option} {text} is not allowed: the simulated clock has no zone; leave it out")
    return _utc_ms(moment), False


def _utc_ms(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
