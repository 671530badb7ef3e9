"""Generated numba kernels, kept on disk so that every process after the first loads machine code instead of compiling.

numba keys its own cache by the path and time stamp of the source file, so a generated source is written once to a file
named by its content and never touched again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STAMP_S = 946_684_800
"""Time stamp of every generated source (2000-01-01): its name says its content, and whole seconds outlive copies, such
as the layers of an image."""

_compiled: dict[str, Any] = {}
_lock = threading.Lock()


def cache_dir() -> Path:
    """The directory of generated kernels: `kernels` below JINLIU_CACHE, else below `jinliu` in the user's cache."""
    chosen = os.environ.get("JINLIU_CACHE")
    if chosen:
        return Path(chosen).expanduser() / "kernels"
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "jinliu" / "kernels"


def compiled(source: str, entry: str) -> Callable[..., Any]:
    """The function `entry` of the Python module `source`, imported from the kernel cache.

    `source` decorates it with `numba.njit(..., cache=True)` and an explicit signature, so that importing compiles it or
    loads what an earlier process compiled. Processes may ask for the same kernel at the same time.
    """
    key = _key(source)
    with _lock:
        module = _compiled.get(key)
        if module is None:
            module = _compiled[key] = _load(key, source)
    return getattr(module, entry)  # type: ignore[no-any-return]


def _key(source: str) -> str:
    """Names the source, the inlined helpers in `schemas.native`, and the compiler: whatever shapes the machine code."""
    import numba

    digest = hashlib.sha256()
    native = Path(__file__).with_name("native.py").read_bytes()
    for part in (source.encode(), native, numba.__version__.encode(), platform.python_version().encode()):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:32]


def _load(key: str, source: str) -> Any:
    path = _written(f"jinliu_{key}.py", source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, path
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # numba unpickles cached code by module name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _written(name: str, source: str) -> Path:
    """The source as a file of the cache; of a private temporary directory where the cache cannot be written."""
    try:
        return _write_once(cache_dir() / name, source)
    except OSError:
        return _write_once(Path(tempfile.mkdtemp(prefix="jinliu-kernels-")) / name, source)


def _write_once(path: Path, source: str) -> Path:
    if path.exists() and path.read_text(encoding="utf-8") == source:
        return path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # what lies there is run
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(source)
        os.utime(temporary, (_STAMP_S, _STAMP_S))
        try:
            os.link(temporary, path)  # fails if another process was first: its time stamp must stand
        except OSError:
            if not path.exists() or path.read_text(encoding="utf-8") != source:
                os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return path
