"""One file a metric. Each module here defines `METRIC`; adding one touches no other file.

The folders that the environment variable JINLIU_METRICS names are searched too, so that a metric need not live in the
installed package. Every process of a run must see the same ones.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from functools import cache
from types import ModuleType

from schemas import catalog
from schemas.errors import JinliuError
from streams.errors import DefinitionError
from streams.metric import Metric
from streams.rows import avsc

VARIABLE = "JINLIU_METRICS"
_folders = [folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
_packaged = frozenset(module.name for module in pkgutil.iter_modules(__path__))
__path__ += _folders


@cache
def load() -> dict[str, Metric]:
    """Every metric of this package by name, sorted. A metric whose row schema is not in the catalog is registered
    there.

    Raises DefinitionError if a module cannot be imported or has no METRIC, if two have one name, or if a folder of
    JINLIU_METRICS is not there or holds no module of its own.
    """
    for folder in _folders:
        _check(folder)
    found: dict[str, Metric] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        place = f"{getattr(module.module_finder, 'path', __path__[0])}/{module.name}.py"
        metric = getattr(_imported(module.name, place), "METRIC", None)
        if not isinstance(metric, Metric):
            raise DefinitionError(f"{place} defines no METRIC: set it to a streams.metric.Metric, or move it away")
        if metric.name in found:
            raise DefinitionError(f"{place}: a metric {metric.name!r} exists already; give yours another name")
        found[metric.name] = metric
        if metric.name not in catalog.names():
            catalog.register_extra(metric.name, avsc(metric.name, metric.row))
    return dict(sorted(found.items()))


def own() -> dict[str, Metric]:
    """Those of `load` that are a user's own: the repository holds no schema of their rows."""
    return {name: metric for name, metric in load().items() if catalog.schema(name).id >= catalog.EXTRA_ID_LEAST}


def _check(folder: str) -> None:
    """Raises DefinitionError for a folder of JINLIU_METRICS that cannot be meant."""
    if not os.path.isdir(folder):
        raise DefinitionError(f"{VARIABLE} names {folder}, which is no folder: correct it, or unset the variable")
    names = {module.name for module in pkgutil.iter_modules([folder])}
    if not names:
        raise DefinitionError(f"{VARIABLE} names {folder}, which holds no .py file: put a metric there, or unset it")
    for name in sorted(names & _packaged):
        raise DefinitionError(f"{folder}/{name}.py has the name of one of jinliu's own: give the file another")


def _imported(name: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except JinliuError as error:
        raise DefinitionError(f"{place}: {error}") from error
    except (Exception, SystemExit) as error:  # a user's file: whatever it raises is a mistake to be told
        said = str(error).splitlines()[0] if str(error) else "no more is said"
        raise DefinitionError(f"{place} cannot be imported: {type(error).__name__}: {said}") from error
