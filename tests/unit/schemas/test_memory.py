"""The allocator's setting is taken where there is a glibc, and harmless elsewhere."""

from __future__ import annotations

import platform
import sys

import pytest

from schemas import memory


def test_glibc_takes_it() -> None:
    assert memory.keep_freed() is (platform.libc_ver()[0] == "glibc")


def test_other_systems_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.keep_freed() is False
