"""The jars of the embedded broker: named and hashed in `kafka-jars.lock`, fetched once, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import JinliuError

LOCK = Path(__file__).with_name("kafka-jars.lock")
DOWNLOADS_AT_ONCE = 8
ATTEMPTS = 3
TIMEOUT_S = 60


class JarsMissing(JinliuError):
    """A jar of the embedded broker could be had from nowhere."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: Maven coordinate, SHA-256 of the file, its size in bytes."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """File name."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Path in a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


def locked() -> list[Jar]:
    """The jars the lock names."""
    jars = []
    for line in LOCK.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            _, coordinate, digest, size = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, digest, int(size)))
    return jars


def cache_dir() -> Path:
    """Where things fetched or compiled once are kept: `$JINLIU_CACHE`, else the platform's cache folder."""
    chosen = os.environ.get("JINLIU_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(chosen) if chosen else (Path(base) if base else Path.home() / ".cache") / "jinliu"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def repositories() -> Iterator[str]:
    """Base URLs of Maven repositories, most specific first: of Maven's settings, then the default of `jgo`."""
    settings = Path.home() / ".m2" / "settings.xml"
    if settings.is_file():
        text = re.sub(r"<!--.*?-->", "", settings.read_text(), flags=re.S)
        for block in re.findall(r"<mirror>(.*?)</mirror>", text, re.S):
            of, url = (re.search(rf"<{tag}>\s*(.*?)\s*</{tag}>", block) for tag in ("mirrorOf", "url"))
            if of and url and re.search(r"\*|central", of[1]):
                yield url[1].rstrip("/")
    from jgo.constants import MAVEN_CENTRAL_URL

    yield MAVEN_CENTRAL_URL.rstrip("/")


def _fetch(jar: Jar, into: Path, bases: list[str]) -> str:
    """Bring one jar; returns "" or why it could not be had."""
    target = into / jar.name
    if target.is_file() and target.stat().st_size == jar.size and _sha256(target) == jar.sha256:
        return ""
    local = Path.home() / ".m2" / "repository" / jar.path
    part = target.with_suffix(f".part{os.getpid()}")
    if local.is_file() and _sha256(local) == jar.sha256:
        shutil.copyfile(local, part)
        part.replace(target)
        return ""
    why = "no repository is known"
    for base in bases:
        for _ in range(ATTEMPTS):
            try:
                with urllib.request.urlopen(f"{base}/{jar.path}", timeout=TIMEOUT_S) as reply, part.open("wb") as file:
                    shutil.copyfileobj(reply, file, 1 << 18)
                if _sha256(part) == jar.sha256:
                    part.replace(target)
                    return ""
                why = "what came has another SHA-256 than the lock says"
            except (OSError, urllib.error.URLError) as error:
                why = str(error)
            finally:
                part.unlink(missing_ok=True)
    return why


def ensure() -> Path:
    """The folder that holds every jar of the lock, fetched where missing.

    Raises
    ------
    JarsMissing
        When a jar can be had neither from the cache, the local Maven repository nor a repository: names each and why.
    """
    jars = locked()
    into = cache_dir() / "jars"
    into.mkdir(parents=True, exist_ok=True)
    stamp = into / f".complete-{_sha256(LOCK)[:16]}"
    if stamp.exists() and all((into / jar.name).is_file() for jar in jars):
        return into
    bases = list(repositories())
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        reasons = list(pool.map(lambda jar: _fetch(jar, into, bases), jars))
    missing = [f"{jar.name} ({why})" for jar, why in zip(jars, reasons, strict=True) if why]
    if missing:
        raise JarsMissing(
            f"the embedded Kafka lacks {len(missing)} of {len(jars)} jars in {into}: {'; '.join(missing[:3])}"
            f"{' ...' if len(missing) > 3 else ''}. Reach a Maven repository once, or use --broker HOST:PORT "
            "with a Kafka of your own."
        )
    stamp.touch()
    return into
