"""One file a metric. Each module here defines `METRIC`; adding one touches no other file.

The folders that the environment variable JINLIU_METRICS names are searched too, so that a metric need not live in the
installed package. Every process of a run must see the same ones.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from functools import cache

from schemas import catalog
from streams.errors import DefinitionError
from streams.metric import Metric
from streams.rows import avsc

__path__ += [folder for folder in os.environ.get("JINLIU_METRICS", "").split(os.pathsep) if folder]


@cache
def load() -> dict[str, Metric]:
    """Every metric of this package by name, sorted. A metric whose row schema is not in the catalog is registered
    there.

    Raises DefinitionError if a module has no METRIC or two have one name.
    """
    found: dict[str, Metric] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        metric = getattr(importlib.import_module(f"{__name__}.{module.name}"), "METRIC", None)
        if not isinstance(metric, Metric):
            raise DefinitionError(f"streams/metrics/{module.name}.py defines no METRIC")
        if metric.name in found:
            raise DefinitionError(f"streams/metrics/{module.name}.py: a metric {metric.name!r} exists already")
        found[metric.name] = metric
        if metric.name not in catalog.names():
            catalog.register_extra(metric.name, avsc(metric.name, metric.row))
    return dict(sorted(found.items()))
