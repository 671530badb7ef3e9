"""The stack of `compose.yaml` under a project, ports and volume of its own, by testcontainers' DockerCompose."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import topologies
from jinliu.broker import free_port
from jinliu.lag import Lag
from producers.logs import TopicReader
from producers.options import RUNS
from schemas import catalog
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "jinliu-test"
CCOMPAT = "/apis/ccompat/v7"
RUN_LIMIT_S = 180.0


class Composed:
    """A project of the compose file that is up.

    Attributes
    ----------
    address : str
        Broker, as the host reaches it.
    registry : str or None
        Registry, as the host reaches it.
    """

    def __init__(self, home: Path, variables: dict[str, str], profile: str | None) -> None:
        port, registry_port = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        self.registry = f"http://127.0.0.1:{registry_port}{CCOMPAT}" if profile else None
        self.world = topologies.load(variables["JINLIU_TOPOLOGY"])
        self._variables = {
            "COMPOSE_PROJECT_NAME": f"jinliu-test-{port}",
            "JINLIU_IMAGE": IMAGE,
            "JINLIU_HOST_PORT": str(port),
            "JINLIU_REGISTRY_PORT": str(registry_port),
            "JINLIU_REGISTRY": f"http://registry:8080{CCOMPAT}" if profile else "",
        } | variables
        self._file = home / "compose.env"
        self._write()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from testcontainers.compose import DockerCompose
        self.project = DockerCompose(
            ROOT, build=True, wait=True, env_file=str(self._file), profiles=[profile] if profile else None
        )

    def _write(self) -> None:
        self._file.write_text("".join(f"{name}={value}\n" for name, value in self._variables.items()))

    def compose(self, *arguments: str) -> str:
        """Output of `docker compose <arguments>` in this project."""
        done = subprocess.run(
            [*self.project.compose_command_property, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stderr[-3000:]}\n{self.said()}"
        return done.stdout

    def said(self, *services: str) -> str:
        """The last log lines of each container."""
        out, err = self.project.get_logs("--no-color", "--tail=15", *services)
        return out + err

    def up(self, processors: int = 1, **variables: str) -> None:
        """`docker compose up --wait`, with so many processors, after changing variables."""
        self._variables |= variables
        self._write()
        self.compose("up", "--wait", "--scale", f"processor={processors}")

    def states(self) -> dict[str, tuple[str, int]]:
        """Container to its state ("healthy", "running", "exited") and exit code, stopped ones too."""
        rows = [json.loads(line) for line in self.compose("ps", "--all", "--format", "json").splitlines()]
        return {row["Name"]: (row["Health"] or row["State"], row["ExitCode"]) for row in rows}

    def container(self, service: str, number: int = 1) -> str:
        """Name of a container of the project."""
        return f"{self._variables['COMPOSE_PROJECT_NAME']}-{service}-{number}"

    def ids(self) -> Any:
        """Schema ids of the run."""
        return catalog.ids(self.registry)

    def told_ms(self) -> tuple[int, bool]:
        """Simulated time to which every source has told the run, and whether all have closed."""
        roster = dict.fromkeys(self.world.roster("payments"), (0, False))
        with TopicReader(self.address, RUNS, self.ids(), "jinliu-composed") as reader:
            for entry in reader.read_to_end():
                if entry.name == "progress" and entry.value is not None:
                    roster[entry.value["source"]] = (entry.value["tick_end"], entry.value["closed"])
        return min(end for end, _ in roster.values()), all(closed for _, closed in roster.values())

    def ended(self) -> bool:
        """Whether all is told, folded and merged."""
        if not self.told_ms()[1]:
            return False
        with Lag(self.address, "", self.world) as lag:
            return lag.records() == 0

    def run_to_the_end(self) -> None:
        wait_until(self.ended, "the run to be told, folded and merged", RUN_LIMIT_S)


@contextlib.contextmanager
def composed(home: Path, profile: str | None = None, **variables: str) -> Iterator[Composed]:
    """The stack, built and up, with `JINLIU_*` variables; its containers and volume are gone afterwards."""
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    stack = Composed(home, variables, profile)
    with stack.project:
        yield stack
