"""The jars of the embedded broker: only what the lock names, only with its hash, from wherever it can be had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from jinliu import jars

JAR = b"a jar"
PATH = "org/example/thing/1.0/thing-1.0.jar"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user's home with nothing in it, a lock of one jar, and no repository."""
    lock = tmp_path / "lock"
    lock.write_text(f"# jars\nbroker org.example:thing:1.0 {hashlib.sha256(JAR).hexdigest()} {len(JAR)}\n")
    monkeypatch.setattr(jars, "LOCK", lock)
    monkeypatch.setattr(jars, "repositories", lambda: iter([(tmp_path / "repository").as_uri()]))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("JINLIU_CACHE", str(tmp_path / "cache"))
    return tmp_path


def put(root: Path, content: bytes) -> None:
    path = root / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_jar_comes_from_the_repository_and_stays(home: Path) -> None:
    put(home / "repository", JAR)
    folder = jars.ensure()
    assert (folder / "thing-1.0.jar").read_bytes() == JAR
    (home / "repository" / PATH).unlink()
    assert jars.ensure() == folder


def test_the_local_maven_repository_is_asked_first(home: Path) -> None:
    put(home / ".m2" / "repository", JAR)
    assert (jars.ensure() / "thing-1.0.jar").read_bytes() == JAR


def test_another_content_is_refused(home: Path) -> None:
    put(home / "repository", b"another jar")
    with pytest.raises(jars.JarsMissing, match="SHA-256"):
        jars.ensure()
    assert not list((home / "cache" / "jars").glob("*.jar"))


def test_nothing_to_be_had_says_what_to_do(home: Path) -> None:
    with pytest.raises(jars.JarsMissing, match=r"1 of 1 jars.*thing-1\.0\.jar.*--broker HOST:PORT"):
        jars.ensure()


def test_a_jar_lost_from_the_cache_is_fetched_again(home: Path) -> None:
    put(home / "repository", JAR)
    (jars.ensure() / "thing-1.0.jar").unlink()
    assert (jars.ensure() / "thing-1.0.jar").read_bytes() == JAR


def test_mirrors_of_mavens_settings_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = tmp_path / ".m2" / "settings.xml"
    settings.parent.mkdir()
    settings.write_text(
        "<settings><mirrors><!-- <mirror><mirrorOf>*</mirrorOf><url>file:///commented</url></mirror> -->"
        "<mirror><id>a</id><mirrorOf>other</mirrorOf><url>file:///other</url></mirror>"
        "<mirror><id>b</id><mirrorOf>central</mirrorOf><url>file:///mirror/</url></mirror></mirrors></settings>"
    )
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    found = list(jars.repositories())
    assert found[0] == "file:///mirror"
    assert len(found) == 2


def test_the_lock_names_the_broker() -> None:
    locked = jars.locked()
    assert any(jar.artifact.startswith("kafka_") for jar in locked)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in locked)
    assert len({jar.name for jar in locked}) == len(locked)
