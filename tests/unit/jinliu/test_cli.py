"""The command line: help that reads well, and a user's mistake as one line with exit code 2."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import jinliu.cli as cli
from jinliu import up as stack
from jinliu.children import ChildDied
from jinliu.jvm import BrokerError
from jinliu.stop import Stop
from schemas.errors import JinliuError
from streams.errors import StateMismatch
from streams.failures import RecordsDeletedError

RUNNING = ("up", "setup", "produce", "process", "clock", "broker")
LOOKING = ("watch", "topics", "verify", "report", "digest", "bench")
ALONE = ("clear",)
COMMON = ("--topology", "--seed", "--from", "--to", "--speed", "--data", "--broker", "--prefix")


@pytest.fixture(autouse=True)
def a_place_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty directory and environment; what `main` sets for its whole process is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("TOPOLOGY", "SEED", "FROM", "TO", "SPEED", "DATA", "BROKER", "PREFIX", "REGISTRY", "PARENT", "DEBUG"):
        monkeypatch.delenv(f"JINLIU_{name}", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    levels = {name: logging.getLogger(name).level for name in ("", "kafka", "aiokafka")}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Exit code of `jinliu <words>`."""
    monkeypatch.setattr(sys, "argv", ["jinliu", *words])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0
    said = capsys.readouterr().out
    for command in RUNNING + LOOKING + ALONE:
        assert f" {command} " in said


@pytest.mark.parametrize("command", ["up", "produce", "process", "clock", *LOOKING[:-1]])
def test_common_options_are_everywhere(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, command, "--help") == 0
    said = capsys.readouterr().out
    for option in COMMON:
        assert option in said


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("topics",), "holds no run"),
        (("verify",), "holds no run"),
        (("report",), "holds no run"),
        (("watch", "market-share"), "holds no run"),
        (("up", "--seed", "-3"), "--seed"),
        (("up", "--topology", "atlantis"), "atlantis"),
        (("up", "--from", "1066-10-14"), "2018-01-01 to 2024-12-31"),
        (("up", "--once", "--speed", "fast"), "--speed fast"),
        (("up", "--broker", "nowhere"), "HOST:PORT"),
        (("verify", "--broker", "a..b:9092"), "HOST:PORT"),
        (("up", "--data", ""), "--data is given an empty value"),
        (("up", "--once", "--data="), "--data is given an empty value"),
        (("topics", "--topology", "", "--json"), "--topology is given an empty value"),
        (("digest", "--source", ""), "--source is given an empty value"),
        (("topics", "--prefix", ""), "holds no run"),
        (("up", "--broker", "127.0.0.1:9", "--fresh"), "--fresh"),
        (("digest", "--source", "lehman"), "lehman"),
        (("clock", "--broker", "127.0.0.1:9", "--speed", "0"), "--speed 0"),
        (("up", "--seed", "seven"), "'--seed'"),
        (("up", "--workers", "0"), "`jinliu up --help` lists"),
        (("up", "--from", "2022-02-30"), "--from 2022-02-30"),
        (("up", "--sed", "7"), "--sed"),
        (("wach",), "wach"),
        (("watch",), "missing argument"),
        (("process", "--commit-ms", "soon"), "'--commit-ms'"),
        (("process", "--broker", "127.0.0.1:9"), "no Kafka broker answers at 127.0.0.1:9"),
        (("produce", "--broker", "127.0.0.1:9"), "no Kafka broker answers at 127.0.0.1:9"),
        (("watch", "market-share", "--broker", "127.0.0.1:9"), "no Kafka broker answers at 127.0.0.1:9"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: tuple[str, ...], names: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert names in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RecordsDeletedError("payments", 1, 0, 10), 70),
        (StateMismatch("state.payments/1 was written with another version"), 70),
        (ChildDied("worker-1 ended with exit code 70", 70), 70),
        (ChildDied("worker-1 ended with signal SIGKILL", -9), 1),
        (BrokerError("Kafka does not answer any more"), 2),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    error: JinliuError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failed(*_: object) -> None:
        raise error

    monkeypatch.setattr(stack, "up", failed)
    assert run(monkeypatch, "up", "--once", "--json") == code
    assert capsys.readouterr() == ("", f"jinliu: {error}\n")


def test_a_run_that_was_cut_short_has_its_document_and_a_last_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = stack.Ended({"complete": False}, None, "1 window is open; go on", ChildDied("worker-1 ended", -9))
    monkeypatch.setattr(stack, "up", lambda *_: ended)
    assert run(monkeypatch, "up", "--json") == 1
    assert capsys.readouterr() == ('{"complete": false}\n', "jinliu: worker-1 ended; 1 window is open; go on\n")


@pytest.mark.parametrize("command", ["verify", "report", "topics", "digest", "produce", "process", "clock", "up"])
def test_another_prefix_than_the_directorys_is_refused_before_anything_starts(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"topology": "small", "seed": 7, "prefix": "a."}')
    assert run(monkeypatch, command, "--data", "run", "--prefix", "b.") == 2
    assert "the run in run has the prefix 'a.'" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def ended_without_reader(*words: str) -> int:
    """Exit code of a command whose output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, "-m", "jinliu", *words], stdout=writer, stderr=subprocess.PIPE
        ).returncode
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    "words",
    [("--help",), ("up", "--help"), ("digest", "--topology", "small", "--from", "2018-04-01", "--to", "2018-04-02")],
)
def test_a_reader_that_left_is_no_error(words: tuple[str, ...]) -> None:
    assert ended_without_reader(*words) == 0


def test_a_terminal_of_ascii_shows_what_it_can(tmp_path: Path) -> None:
    def told(*words: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "jinliu", *words],
            capture_output=True, encoding="ascii", env=os.environ | {"PYTHONIOENCODING": "ascii"},
        )  # fmt: skip
        return ended.returncode, ended.stdout, ended.stderr

    code, out, _ = told("--help")
    assert (code, "jinliu (??)" in out) == (0, True)
    code, _, error = told("topics", "--data", "數")
    assert (code, error.startswith("jinliu: \\u6578 holds no run")) == (2, True)


def test_a_document_escapes_what_the_terminal_cannot_show(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli._out({"name": "數é"})
    assert capsys.readouterr().out == '{"name": "數é"}\n'
    with (tmp_path / "out").open("w+", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        cli._out({"name": "數é"})
        out.seek(0)
        assert json.load(out) == {"name": "數é"}


@pytest.mark.parametrize(("words", "code"), [(("--once",), 128 + signal.SIGTERM), ((), 0)])
def test_rows_that_were_cut_short_by_a_signal_are_told_by_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    def stopped(*_: Any, stop: Stop, **__: Any) -> None:
        stop.tell(signal.SIGTERM, None)

    monkeypatch.setattr("jinliu.watch.watch", stopped)
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert run(monkeypatch, "watch", "market-share", *words) == code
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def test_nothing_is_made_by_a_mistake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(monkeypatch, "watch", "market-share")
    run(monkeypatch, "up", "--to", "never")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("up",), ("process",), ("verify",), ("watch", "market-share"), ("produce",)])
def test_a_registry_that_the_run_does_not_use_is_refused_before_anything_starts(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"topology": "small", "seed": 7, "registry": "http://there:8081"}')
    assert run(monkeypatch, *command, "--data", "run", "--registry", "http://other:8081") == 2
    said = capsys.readouterr()
    assert "uses the schema registry http://there:8081" in said.err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


@pytest.mark.parametrize("command", [("up",), ("process",), ("verify",), ("watch", "market-share"), ("topics",)])
def test_a_metrics_folder_that_cannot_be_is_told_before_anything_starts(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "jinliu", *command, "--data", str(tmp_path / "run")],
        capture_output=True, text=True, env=os.environ | {"JINLIU_METRICS": str(tmp_path / "none")},
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr == (
        f"jinliu: JINLIU_METRICS names {tmp_path}/none, which is no folder: correct it, or unset the variable\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("up",), ("process",), ("verify",)])
def test_a_metric_that_ends_the_program_is_named(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    ended = subprocess.run(
        [sys.executable, "-m", "jinliu", *command, "--data", str(tmp_path / "run")],
        capture_output=True, text=True, env=os.environ | {"JINLIU_METRICS": str(tmp_path / "own")},
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr == f"jinliu: {tmp_path}/own/leaves.py cannot be imported: SystemExit: 3\n"
    assert not (tmp_path / "run").exists()


def test_digest_is_one_json_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("digest", "--topology", "small", "--from", "2018-04-01", "--to", "2018-04-02", "--source", "banks")
    assert run(monkeypatch, *words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {f"banks/{topic}/{shard}" for topic in ("payments", "operations", "loans") for shard in (0, 1)}
    assert all(len(digest) == 64 for digest in found.values())
    assert run(monkeypatch, *words, "--json", "--seed", "8") == 0
    assert json.loads(capsys.readouterr().out) != found
