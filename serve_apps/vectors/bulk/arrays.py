"""Rows of NumPy files: an array of vectors (.npy, mapped into memory), or several arrays by name (.npz, streamed)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from actors.vectors.rows import VECTOR
from control.specs.collection import CollectionSpec
from serve_apps.vectors.bulk.columns import ImportRefused
from serve_apps.vectors.bulk.numbers import with_ids

_ENDING = ".npy"
Array = np.ndarray[Any, Any]


class ArrayRows:
    def __init__(self, path: Path) -> None:
        self._path, self._single = path, path.suffix.lower() == _ENDING
        try:
            if self._single:
                mapped = np.load(path, mmap_mode="r", allow_pickle=False)
                self._shapes: dict[str, tuple[int, ...]] = {VECTOR: mapped.shape}
            else:
                with zipfile.ZipFile(path) as archive:
                    names = [one.removesuffix(_ENDING) for one in archive.namelist()]
                    self._shapes = {name: _opened(archive, name)[1] for name in names}
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ImportRefused(f"it is no file of NumPy arrays: {error}") from error
        self.names: tuple[str, ...] = tuple(self._shapes)

    def count(self, columns: Mapping[str, str]) -> int:
        shapes = {name: self._shapes[name] for name in columns}
        for name, shape in shapes.items():
            if len(shape) not in (1, 2):
                raise ImportRefused(f"array {name} has {len(shape)} dimensions; expected 1, or 2 for vectors")
        if len({shape[0] for shape in shapes.values()}) > 1:
            told = ", ".join(f"{name} has {shape[0]}" for name, shape in shapes.items())
            raise ImportRefused(f"arrays with different numbers of rows: {told}; --map NAME= leaves one out")
        rows, *_ = next(iter(shapes.values()))
        return rows

    def read(self, columns: Mapping[str, str], spec: CollectionSpec, size: int, skip: int) -> Iterator[pa.Table]:
        rows = self.count(columns)
        parts = {target: self._blocks(name, size, skip) for name, target in columns.items()}
        for row in range(skip, rows, size):
            table = pa.table({target: _column(next(blocks)) for target, blocks in parts.items()})
            yield with_ids(table, spec, row)

    def _blocks(self, name: str, size: int, skip: int) -> Iterator[Array]:
        if self._single:
            mapped = np.load(self._path, mmap_mode="r", allow_pickle=False)
            yield from (np.array(mapped[row : row + size]) for row in range(skip, len(mapped), size))
            return
        with zipfile.ZipFile(self._path) as archive:
            file, shape, kind = _opened(archive, name)
            width = int(np.prod(shape[1:], dtype=np.int64)) * kind.itemsize
            file.seek(skip * width, 1)
            for row in range(skip, shape[0], size):
                count = min(size, shape[0] - row)
                data = file.read(count * width)
                if len(data) < count * width:
                    raise ImportRefused(f"array {name} ends in row {row + len(data) // max(width, 1) + 1}")
                yield np.frombuffer(data, kind).reshape((count, *shape[1:]))


def _opened(archive: zipfile.ZipFile, name: str) -> tuple[IO[bytes], tuple[int, ...], np.dtype[Any]]:
    """The file of an array behind its head, its shape and type. Raises ValueError."""
    file = archive.open(name + _ENDING)
    form: Any = np.lib.format
    read = form.read_array_header_1_0 if form.read_magic(file) == (1, 0) else form.read_array_header_2_0
    shape, in_columns, kind = read(file)
    if in_columns and len(shape) > 1:
        raise ValueError(f"array {name} is stored column by column; expected rows (numpy.ascontiguousarray)")
    if kind.hasobject:
        raise ValueError(f"array {name} has Python objects; expected numbers or text")
    return file, shape, kind


def _column(block: Array) -> pa.Array:
    if block.ndim == 1:
        return pa.array(block)
    return pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), block.shape[1])
