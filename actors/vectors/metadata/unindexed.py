"""Filters by reading every row: for the growing segment, and for fields without an index."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.vectors.found import Mask
from actors.vectors.metadata.tree import mask_of
from actors.vectors.metadata.values import Numbers, degrees_of, values_of
from actors.vectors.metadata.words import words_asked
from control.specs.collection import CollectionSpec, MetadataField
from control.specs.vector_filter import Condition, Exists, Filter, GeoBox, In, Range, Words


def scan_mask(table: pa.Table, where: Filter, spec: CollectionSpec) -> Mask:
    """Which rows of the table match, (n,). It needs the columns that the filter names."""

    def answer(condition: Condition) -> Mask:
        field = spec.field(condition.field)
        assert field is not None, "filters are checked against the schema before they come here"
        return read_rows(table.column(condition.field), condition, field)

    return mask_of(where, table.num_rows, answer)


def read_rows(column: pa.ChunkedArray, condition: Condition, field: MetadataField) -> Mask:
    """Which rows of a column of `field` meet the condition, (n,)."""
    return np.concatenate([np.zeros(0, np.bool_), *(_read(chunk, condition, field) for chunk in column.chunks)])


def in_box(lat: NDArray[np.float64], lon: NDArray[np.float64], box: GeoBox) -> Mask:
    """Which points are in the box, (m,)."""
    east_of_west, west_of_east = lon >= box.west, lon <= box.east
    along = east_of_west & west_of_east if box.west <= box.east else east_of_west | west_of_east
    inside: Mask = (lat >= box.south) & (lat <= box.north) & along
    return inside


def _read(chunk: pa.Array, condition: Condition, field: MetadataField) -> Mask:
    if isinstance(condition, Exists):
        return _bools(chunk.is_valid())
    if isinstance(condition, Words):
        return _have_words(chunk, words_asked(condition.words), field)
    mask = np.zeros(len(chunk), np.bool_)
    values, rows = values_of(chunk, field)
    mask[rows[_meet(values, condition)]] = True
    return mask


def _meet(values: Numbers | pa.Array, condition: In | Range | GeoBox) -> Mask:
    match condition:
        case In(_, wanted) if isinstance(values, pa.Array):
            return _bools(pc.is_in(values, value_set=pa.array(wanted, pa.string())))
        case In(_, wanted):
            return np.isin(values, np.array(wanted, values.dtype))
        case GeoBox():
            return in_box(*degrees_of(values), condition)
        case Range(_, low, high, low_open, high_open):
            met = np.ones(len(values), np.bool_)
            if low is not None:
                met &= values > low if low_open else values >= low
            if high is not None:
                met &= values < high if high_open else values <= high
            return met


def _have_words(texts: pa.Array, words: list[str], field: MetadataField) -> Mask:
    """Only texts that have every word as a part are taken apart, which costs ten times as much as to look for parts."""
    mask = _bools(texts.is_valid())
    lower = pc.utf8_lower(texts)
    for word in words:
        mask &= _bools(pc.match_substring(lower, word).fill_null(False))
    maybe = np.flatnonzero(mask)
    found, rows = values_of(texts.take(pa.array(maybe)), field)
    for word in words:
        has = np.zeros(len(maybe), np.bool_)
        has[rows[_bools(pc.equal(found, word))]] = True
        mask[maybe[~has]] = False
    return mask


def _bools(answer: pa.BooleanArray) -> Mask:
    mask: Mask = answer.to_numpy(zero_copy_only=False)
    return mask
