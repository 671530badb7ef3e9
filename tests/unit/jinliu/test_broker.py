"""The embedded broker without a JVM: whose process it is, what its log says of its end, a disk that is full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jinliu import broker, jvm
from tests.waiting import wait_until

ODD = ["數据", "a,b", "a\\b", "with space", "é%s#=c "]
"""Names of directories that Java, its properties files or Log4j would take for something else."""

FATAL = """\
2026-11-25T23:28:11,314 WARN [QuorumController id=1] Performing controller activation. (org.apache.kafka.controller.Q)
2026-11-25T23:28:12,157 ERROR Exiting Kafka due to fatal exception (kafka.Kafka$)
java.lang.RuntimeException: No readable meta.properties files found.
\tat kafka.server.KafkaRaftServer$.initializeLogDirs(KafkaRaftServer.scala:140) ~[kafka_2.13-4.1.1.jar:?]
\tat kafka.Kafka.main(Kafka.scala) [kafka_2.13-4.1.1.jar:?]
"""
FULL = """\
2026-11-25T23:32:01,407 ERROR Error while appending records to payments-1 in dir log (org.apache.kafka.LogDirFailure)
org.apache.kafka.common.errors.KafkaStorageException: Error while appending records
Caused by: java.io.IOException: No space left on device
\tat java.base/sun.nio.ch.FileDispatcherImpl.write0(Native Method)
\t... 12 more
2026-11-25T23:32:01,500 ERROR Shutdown broker because all log dirs in log have failed (kafka.log.LogManager)
2026-11-25T23:32:01,501 WARN Stopping serving logs in dir log (kafka.log.LogManager)
"""
GOES_ON = """\
2026-11-25T23:25:13,180 ERROR Encountered metadata publishing fault (org.apache.kafka.server.fault.LoggingFaultHandler)
java.lang.NoClassDefFoundError: org/apache/kafka/server/log/remote/storage/RemoteStorageMetrics
\tat kafka.server.ReplicaManager.updateLeaderAndFollowerMetrics(ReplicaManager.scala:2203) ~[kafka_2.13-4.1.1.jar:?]
"""
CRASHED = """\
2026-11-25T23:28:11,314 WARN [QuorumController id=1] Performing controller activation. (org.apache.kafka.controller.Q)
#
# A fatal error has been detected by the Java Runtime Environment:
#
#  SIGBUS (0x7) at pc=0x7f
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            FATAL,
            "2026-11-25T23:28:12,157 ERROR Exiting Kafka due to fatal exception (kafka.Kafka$) | "
            "java.lang.RuntimeException: No readable meta.properties files found.",
        ),
        (GOES_ON, ""),
        (CRASHED, "# A fatal error has been detected by the Java Runtime Environment: | #  SIGBUS (0x7) at pc=0x7f"),
        ("Error: Could not create the Java Virtual Machine.\n", "Error: Could not create the Java Virtual Machine."),
        ("", ""),
    ],
    ids=["fatal", "goes on", "crashed", "no start", "silent"],
)  # fmt: skip
def test_of_a_log_the_last_error_and_its_exception_are_quoted_and_no_stack(log: str, said: str) -> None:
    assert broker.last_error(log) == said


def test_an_error_without_an_exception_is_quoted_behind_the_last_that_has_one() -> None:
    appending, storage, space, shutdown = broker.last_error(FULL + GOES_ON).split(" | ")
    assert "ERROR Error while appending" in appending
    assert storage.endswith("KafkaStorageException: Error while appending records")
    assert space == "Caused by: java.io.IOException: No space left on device"
    assert "Shutdown broker because all log dirs" in shutdown


def logged(data: Path, earlier: str, now: str) -> None:
    (data / "broker").mkdir()
    (data / "broker" / "server.log").write_text(earlier + now)
    told = {"pid": os.getpid(), "port": 9, "starter": os.getpid(), "log_from": len(earlier)}
    (data / "broker" / "server.json").write_text(json.dumps(told))


def free(monkeypatch: pytest.MonkeyPatch, megabytes: float) -> None:
    monkeypatch.setattr(broker.shutil, "disk_usage", lambda _: SimpleNamespace(free=int(megabytes * (1 << 20))))


def test_what_an_earlier_broker_died_of_is_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 1000)
    logged(tmp_path, FULL, "")
    assert broker.last_words(tmp_path) == f"it said nothing (whole log: {tmp_path}/broker/server.log)"
    assert broker.no_room(tmp_path) == ""


def test_a_full_disk_is_said_by_its_free_space_or_by_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 1.5)
    assert broker.no_room(tmp_path) == f"the disk of {tmp_path} is full (1.5 MB are free)"
    free(monkeypatch, 1000)
    assert broker.no_room(tmp_path) == ""
    logged(tmp_path, FATAL, FULL)
    assert broker.no_room(tmp_path) == f"the disk of {tmp_path} is full (1,000.0 MB are free)"
    assert broker.no_room(tmp_path / "none") == ""


def test_a_server_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text('{"pid": 1, "port": 2, "starter": 3}')
    assert broker._told(tmp_path) == {"pid": 1, "port": 2, "starter": 3, "log_from": 0}
    (tmp_path / "server.json").write_text("[1]")
    assert broker._told(tmp_path) is None


def test_an_address_that_can_be_none_does_not_answer() -> None:
    assert not broker.answers("a..b:9092")


@pytest.mark.parametrize("name", ODD)
def test_a_jvm_is_known_by_its_home_whatever_that_is_called(name: str, tmp_path: Path) -> None:
    home = tmp_path / name / "broker"
    with subprocess.Popen(
        [sys.executable, "-c", "input()", jvm.mark(home)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: broker._is_broker_of(home, process.pid), "the process to be a broker's")
        assert not broker._is_broker_of(tmp_path / "other" / "broker", process.pid)
        assert not broker._is_broker_of(home.with_name("brok"), process.pid)
        process.kill()


@pytest.mark.parametrize("name", ODD)
def test_nothing_that_java_reads_holds_the_name_of_the_directory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jvm.jars, "ensure", lambda: tmp_path / "jars")
    monkeypatch.setattr(jvm, "java", lambda: Path("/jre/bin/java"))
    home = tmp_path / name / "broker"
    jvm.configure(home, 9092, 9093)
    for file in ("server.properties", "log4j2.properties"):
        assert name not in (home / file).read_text("latin-1")
    assert "\nlog.dirs=log\n" in (home / "server.properties").read_text()
    assert (home / "log" / "meta.properties").is_file()
    words = jvm.command(home, "64m", [])
    assert [word for word in words if name in word] == [jvm.mark(home)]
    assert jvm.environment()["LC_ALL"] == "C.UTF-8"


def test_a_cache_named_by_a_relative_path_is_found_from_the_home_of_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JINLIU_CACHE", "cache")
    (tmp_path / "cache" / "jars").mkdir(parents=True)
    (tmp_path / "cache" / "jars" / "kafka.jar").touch()
    monkeypatch.setattr(jvm.jars, "ensure", lambda: Path("cache/jars"))
    assert jvm._classpath() == str(tmp_path / "cache" / "jars" / "kafka.jar")
    assert jvm.archive().parent == tmp_path / "cache"
