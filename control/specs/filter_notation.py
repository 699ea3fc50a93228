"""Filters as people write them, in the notation of MongoDB, checked against a collection's schema. Pure.

    {"year": {"$gte": 2000, "$lt": 2010}, "$or": [{"tag": {"$in": ["news", "sport"]}}, {"draft": false}]}

Keys side by side must all hold. Bounds side by side are one range: of a field of many values, one value must be in it.
`$ne`, `$nin`, `$not` and `$nor` find rows without the field too.
"""

from __future__ import annotations

from control.specs.collection import CollectionSpec, FieldType, MetadataField
from control.specs.metadata_value import EXPECTED, typed
from control.specs.problem import nearest, one_of, show
from control.specs.vector_filter import And, Exists, Filter, GeoBox, In, Not, Or, Range, Value, Words

MOST_DEPTH = 20
MOST_CONDITIONS = 1_000
MOST_VALUES = 10_000
"""In all lists of a filter together."""

_LOGICAL = ("$and", "$or", "$nor", "$not")
_EQUAL = ("$eq", "$ne", "$in", "$nin")
_LOW, _HIGH = ("$gt", "$gte"), ("$lt", "$lte")
_ORDERED: tuple[FieldType, ...] = ("integer", "float", "datetime")
_CORNERS = {"south": 90, "west": 180, "north": 90, "east": 180}
"""Of a box, and how many degrees they may be from 0."""


class FilterError(Exception):
    """A filter that is none: `path` leads to the place, as in `$or[1].year.$gte`, and is empty for the whole."""

    def __init__(self, path: str, found: str, expected: str, near: str | None = None) -> None:
        self.path, self.found, self.expected, self.nearest = path, found, expected, near
        hint = f"; did you mean '{near}'?" if near else ""
        super().__init__(f"{_join('filter', path)}: {found}; expected {expected}{hint}")


def parse_filter(body: object, spec: CollectionSpec) -> Filter:
    """Of what JSON gives. Raises FilterError."""
    return _Parser(spec).filter(body, "", 0)


class _Parser:
    """Of one filter: counts what it is made of."""

    def __init__(self, spec: CollectionSpec) -> None:
        self._spec = spec
        self._conditions = 0
        self._values = 0

    def filter(self, body: object, path: str, depth: int) -> Filter:
        if not isinstance(body, dict):
            raise FilterError(path, show(body), "a mapping of fields and operators")
        self._count(path, depth)
        parts = tuple(
            self._entry(str(key), value, _join(path, str(key)[:64]), depth + 1) for key, value in body.items()
        )
        return parts[0] if len(parts) == 1 else And(parts)

    def _count(self, path: str, depth: int) -> None:
        self._conditions += 1
        if self._conditions > MOST_CONDITIONS:
            raise FilterError(path, f"more than {MOST_CONDITIONS} conditions", "fewer; $in takes many values")
        if depth > MOST_DEPTH:
            raise FilterError(path, f"more than {MOST_DEPTH} levels", "fewer")

    def _entry(self, key: str, value: object, path: str, depth: int) -> Filter:
        match key:
            case "$and":
                return And(self._several(value, path, depth))
            case "$or":
                return Or(self._several(value, path, depth))
            case "$nor":
                return Not(Or(self._several(value, path, depth)))
            case "$not":
                return Not(self.filter(value, path, depth))
        field = self._spec.field(key)
        if field is not None:
            return self._of_field(field, value, path, depth)
        names = [*(one.name for one in self._spec.fields), *_LOGICAL]
        found = f"no operator {show(key)} without a field" if key.startswith("$") else f"no field {show(key)}"
        raise FilterError(path, found, one_of(names), nearest(key[:64], names))

    def _several(self, value: object, path: str, depth: int) -> tuple[Filter, ...]:
        if not isinstance(value, list) or not value:
            raise FilterError(path, "an empty list" if value == [] else show(value), "a list of filters")
        return tuple(self.filter(one, f"{path}[{place}]", depth) for place, one in enumerate(value))

    def _of_field(self, field: MetadataField, value: object, path: str, depth: int) -> Filter:
        written = value if isinstance(value, dict) else {"$eq": value}
        allowed = _operators(field)
        for operator in map(str, written):
            if operator not in allowed:
                found = f"{show(operator)} on {'many values of' if field.many else 'a field of'} type {field.type}"
                raise FilterError(path, found, one_of(allowed), nearest(operator[:64], allowed))
        bounds = {operator: value for operator, value in written.items() if operator in _LOW + _HIGH}
        others = [one for one in written.items() if one[0] not in bounds]
        parts = [self._condition(field, operator, value, _join(path, operator), depth) for operator, value in others]
        if bounds:
            parts.append(self._range(field, bounds, path, depth))
        if not parts:
            raise FilterError(path, "no operator", one_of(allowed))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _condition(self, field: MetadataField, operator: str, value: object, path: str, depth: int) -> Filter:
        self._count(path, depth)
        match operator:
            case "$ne" | "$nin":
                return Not(self._condition(field, {"$ne": "$eq", "$nin": "$in"}[operator], value, path, depth))
            case "$not":
                return Not(self._of_field(field, value, path, depth + 1))
            case "$exists":
                if not isinstance(value, bool):
                    raise FilterError(path, show(value), "true or false")
                return Exists(field.name) if value else Not(Exists(field.name))
            case "$geo_box":
                return _box(field, value, path)
            case "$contains" if field.type == "text":
                if not isinstance(value, str) or not any(map(str.isalnum, value)):
                    raise FilterError(path, show(value), "text with a word in it")
                return Words(field.name, (value,))
            case "$in":
                return In(field.name, self._list(field, value, path))
            case _:
                return In(field.name, (_value(field, value, path),))

    def _list(self, field: MetadataField, values: object, path: str) -> tuple[Value, ...]:
        if not isinstance(values, list):
            raise FilterError(path, show(values), "a list of values")
        self._values += len(values)
        if self._values > MOST_VALUES:
            raise FilterError(path, f"more than {MOST_VALUES} values in lists", "fewer")
        return tuple(_value(field, value, f"{path}[{place}]") for place, value in enumerate(values))

    def _range(self, field: MetadataField, bounds: dict[str, object], path: str, depth: int) -> Range:
        self._count(path, depth)
        for either in (_LOW, _HIGH):
            if all(operator in bounds for operator in either):
                raise FilterError(path, " and ".join(either), "one of them")
        read = {operator: _number(field, value, _join(path, operator)) for operator, value in bounds.items()}
        low, high = (next((read[one] for one in either if one in read), None) for either in (_LOW, _HIGH))
        return Range(field.name, low, high, "$gt" in read, "$lt" in read)


def _operators(field: MetadataField) -> list[str]:
    compared = field.type not in ("geo", "text")
    allowed = list(_EQUAL) if compared else []
    if field.type in _ORDERED:
        allowed += _LOW + _HIGH
    if field.many or field.type == "text":
        allowed.append("$contains")
    if field.type == "geo":
        allowed.append("$geo_box")
    return [*allowed, "$exists", "$not"]


def _value(field: MetadataField, written: object, path: str) -> Value:
    value = typed(field.type, written)
    if value is None:
        expected = f"{EXPECTED[field.type]}: {field.name} is of type {field.type}"
        if written is None:
            expected += '; {"$exists": false} finds rows without it'
        if isinstance(written, list):
            expected += "; $in takes a list"
        raise FilterError(path, show(written), expected)
    return value


def _number(field: MetadataField, written: object, path: str) -> int | float:
    value = _value(field, written, path)
    assert not isinstance(value, str), "only fields of numbers have ranges"
    return value


def _box(field: MetadataField, written: object, path: str) -> GeoBox:
    expected = f"a mapping of {', '.join(_CORNERS)}, in degrees"
    if not isinstance(written, dict):
        raise FilterError(path, show(written), expected)
    for name in written:
        if name not in _CORNERS:
            name = str(name)[:64]
            raise FilterError(_join(path, name), f"no edge {show(name)}", expected, nearest(name, _CORNERS))
    corners = {}
    for name, most in _CORNERS.items():
        if name not in written:
            raise FilterError(path, f"no {name}", expected)
        degrees = typed("float", written[name])
        if not isinstance(degrees, float) or abs(degrees) > most:
            raise FilterError(_join(path, name), show(written[name]), f"degrees from -{most} to {most}")
        corners[name] = degrees
    if corners["south"] > corners["north"]:
        raise FilterError(path, f"south {corners['south']} above north {corners['north']}", "south below north")
    return GeoBox(field.name, **corners)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key
