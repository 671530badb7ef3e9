"""The kernel cache: compiled once, loaded by every later process, safe when several ask at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemas import kernels

SOURCE = '''\
"""A test kernel."""
import numba as nb


@nb.njit(nb.int64(nb.int64), nogil=True, cache=True)
def twice(x):
    return 2 * x
'''
CHILD = f"""
from schemas import kernels
twice = kernels.compiled({SOURCE!r}, "twice")
assert twice(21) == 42
print(sum(twice.stats.cache_hits.values()), sum(twice.stats.cache_misses.values()))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JINLIU_CACHE", str(tmp_path))
    monkeypatch.setattr(kernels, "_compiled", {})
    return tmp_path


def child() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


def test_a_second_process_compiles_nothing(cache: Path) -> None:
    assert outcome(child()) == "0 1"
    assert outcome(child()) == "1 0"
    assert len(list((cache / "kernels").glob("*.py"))) == 1


def test_processes_may_ask_at_once(cache: Path) -> None:
    assert all(outcome(process) in ("0 1", "1 0") for process in [child() for _ in range(3)])
    assert outcome(child()) == "1 0"
    assert not list((cache / "kernels").glob("*.tmp"))


def test_a_process_gets_the_same_kernel_again(cache: Path) -> None:
    first = kernels.compiled(SOURCE, "twice")
    assert kernels.compiled(SOURCE, "twice") is first
    assert first(4) == 8


def test_a_file_that_was_spoiled_is_written_anew(cache: Path) -> None:
    kernels.compiled(SOURCE, "twice")
    (path,) = (cache / "kernels").glob("*.py")
    path.write_text("spoiled")
    kernels._compiled.clear()
    assert kernels.compiled(SOURCE, "twice")(5) == 10


def test_a_cache_that_cannot_be_written_is_gone_without(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").write_text("no directory")
    monkeypatch.setenv("JINLIU_CACHE", str(cache / "file"))
    assert kernels.compiled(SOURCE, "twice")(3) == 6


def test_a_source_that_does_not_compile_leaves_nothing_behind(cache: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        kernels.compiled("1 / 0\n", "twice")
    assert kernels._compiled == {}


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JINLIU_CACHE", str(tmp_path))
    assert kernels.cache_dir() == tmp_path / "kernels"
    monkeypatch.delenv("JINLIU_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernels.cache_dir() == tmp_path / "jinliu" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert kernels.cache_dir().is_absolute()
    assert kernels.cache_dir().parts[-2:] == ("jinliu", "kernels")
