"""From the table's filters to the objects that do it. Classes of the user's are imported here, once in each process."""

from __future__ import annotations

import functools
import importlib
import logging

from control.specs.filters import (
    FILTERS,
    FilterSpec,
    GuardFilter,
    HeadersFilter,
    OwnFilter,
    RedactFilter,
    TemplateFilter,
)
from control.specs.provider import Secret
from serve_apps.gateway.filters.chain import Filters
from serve_apps.gateway.filters.filter import Filter, Place, SecretOf
from serve_apps.gateway.filters.guard import Guard
from serve_apps.gateway.filters.headers import SetHeaders, place_of
from serve_apps.gateway.filters.redact import Redact
from serve_apps.gateway.filters.template import Template

log = logging.getLogger("biplane.gateway")


@functools.lru_cache(maxsize=256)
def build_filters(told: str, secret_of: SecretOf) -> Filters:
    """Of a route's `filters`, JSON as in the table: the same object for the same text, from one table to the next.

    Never raises: where one cannot be made, the route answers nothing, and says why.
    """
    kind = ""
    try:
        made = []
        for spec in FILTERS.validate_json(told):
            kind = spec.type
            made.append(_made(spec, secret_of))
    except Exception as error:  # of whoever wrote the class
        log.exception("the filter %s cannot be made", kind)
        return Filters((), f"its filter {kind} cannot be made ({type(error).__name__})")
    return Filters(made)


@functools.lru_cache(maxsize=256)
def places(told: str) -> frozenset[Place]:
    """Where the secrets are of a route's `filters`, JSON as in the table; none where they cannot be read."""
    try:
        specs = FILTERS.validate_json(told)
    except ValueError:
        return frozenset()
    values = [value for one in specs if isinstance(one, HeadersFilter) for value in one.request.set.values()]
    return frozenset(place_of(value) for value in values if isinstance(value, Secret))


def _made(spec: FilterSpec, secret_of: SecretOf) -> Filter:
    match spec:
        case RedactFilter():
            return Redact(spec)
        case HeadersFilter():
            return SetHeaders(spec, secret_of)
        case TemplateFilter():
            return Template(spec)
        case GuardFilter():
            return Guard(spec)
        case OwnFilter():
            return _own(spec)


def _own(spec: OwnFilter) -> Filter:
    module, _, name = spec.type.partition(":")
    one = getattr(importlib.import_module(module), name)(**spec.options)
    if not isinstance(one, Filter):
        raise TypeError(f"{spec.type} is not a Filter")
    return one
