"""An index of the points of a sealed segment: in the order of their latitudes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.vectors.metadata.unindexed import in_box
from actors.vectors.metadata.values import degrees_of, values_of
from control.specs.collection import MetadataField
from control.specs.vector_filter import GeoBox


@dataclass(frozen=True)
class Places:
    """m points, (m,) each: latitudes ascending, in degrees."""

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    rows: NDArray[np.uint32]

    @property
    def nbytes(self) -> int:
        return self.lat.nbytes + self.lon.nbytes + self.rows.nbytes

    def band(self, box: GeoBox) -> tuple[int, int]:
        """The first point that is not south of the box, and the first after it that is north of it."""
        first = int(np.searchsorted(self.lat, box.south, "left"))
        return first, max(first, int(np.searchsorted(self.lat, box.north, "right")))

    def within(self, box: GeoBox) -> NDArray[np.uint32]:
        """The rows of the points in the box."""
        first, last = self.band(box)
        return self.rows[first:last][in_box(self.lat[first:last], self.lon[first:last], box)]


def places_of(column: pa.ChunkedArray, field: MetadataField) -> Places:
    lats, lons, rows, start = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, np.int64)], 0
    for chunk in column.chunks:
        points, where = values_of(chunk, field)
        lat, lon = degrees_of(points)
        lats.append(lat)
        lons.append(lon)
        rows.append(where + start)
        start += len(chunk)
    lat = np.concatenate(lats)
    order = np.argsort(lat, kind="stable")
    return Places(lat[order], np.concatenate(lons)[order], np.concatenate(rows).astype(np.uint32)[order])
