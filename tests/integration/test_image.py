"""The image by itself: what is in it, as whom it runs, and that it makes the same events as this machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

import topologies
from producers.digest import digest
from tests.integration.composed import IMAGE, ROOT

pytestmark = pytest.mark.containers
DAY_MS = 86_400_000
START_MS = 1_522_540_800_000  # 2018-04-01


def docker(*arguments: str, limit_s: float = 600) -> str:
    """Output of `docker <arguments>`."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=limit_s, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def image(engine: None) -> str:
    """The image as the compose file builds it; layers that another test built are there already."""
    subprocess.run(
        ["docker", "compose", "build", "--quiet", "clock"],
        cwd=ROOT, env=os.environ | {"JINLIU_IMAGE": IMAGE}, check=True, capture_output=True,
    )  # fmt: skip
    return IMAGE


@pytest.fixture
def container(image: str) -> Iterator[str]:
    """A container that has made a digest of two days in each of two worlds; its output can be read as logs."""
    name = docker(
        "create", "--init", "--entrypoint", "sh", image, "-c",
        "for world in china small; do jinliu digest --topology $world --from 2018-04-01 --to 2018-04-02 --json; done",
    ).strip()  # fmt: skip
    try:
        docker("start", name)
        assert docker("wait", name).strip() == "0", docker("logs", name)
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def test_events_are_those_of_this_machine_and_nothing_is_compiled_again(container: str) -> None:
    said = [json.loads(line) for line in docker("logs", container).splitlines()]
    for world, found in zip(("china", "small"), said, strict=True):
        assert found == digest(topologies.load(world), 7, START_MS, START_MS + 2 * DAY_MS)
    written = [line for line in docker("diff", container).splitlines() if line.endswith((".nbc", ".nbi", ".py"))]
    assert written == []


def test_it_runs_as_a_user_of_its_own_and_installs_nothing(image: str) -> None:
    config = json.loads(docker("inspect", image))[0]["Config"]
    assert config["User"] == "jinliu"
    assert config["Entrypoint"] == ["jinliu"]
    script = "id -u; touch /opt/app/x || echo sealed; python -m pip --version || echo no pip; ls -A /home/jinliu"
    out = docker("run", "--rm", "--entrypoint", "sh", image, "-c", script).split()
    assert int(out[0]) >= 1000
    assert out[1:4] == ["sealed", "no", "pip"]
    assert "cache" in out[4:]


def test_a_wrong_option_is_one_line_and_exit_code_2(image: str) -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", "--init", image, "produce", "--source", "nobody", "--broker", "nowhere:1"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("jinliu: no source 'nobody' in topology china; it has alipay")
    assert len(done.stderr.splitlines()) == 1
