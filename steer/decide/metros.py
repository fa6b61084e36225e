"""Metros: cells of a grid of about one degree (111 km) a side, the width in which clients of one AS are taken
to be alike. Pure NumPy."""

import numpy as np
from numpy.typing import NDArray

UNKNOWN_METRO = 0
_BANDS = 180  # of one degree of latitude each
_MIDDLE_DEG = np.arange(_BANDS) - 89.5
_CELLS = np.maximum(1, np.rint(360.0 * np.cos(np.radians(_MIDDLE_DEG)))).astype(np.int64)
_FIRST = 1 + np.cumsum(_CELLS) - _CELLS  # each band's first code


def metro_cells(latitude_deg: NDArray[np.float64], longitude_deg: NDArray[np.float64]) -> NDArray[np.int32]:
    """The cell of each point, 1..41,254, numbered from the south-west; 0 where a coordinate is NaN.

    Each band of latitude has as many cells as keep them about square, so that a metro is equally wide near
    the poles and at the equator."""
    known = ~(np.isnan(latitude_deg) | np.isnan(longitude_deg))
    latitude, longitude = np.where(known, latitude_deg, 0.0), np.where(known, longitude_deg, 0.0)
    band = np.clip(np.floor(latitude + 90.0).astype(np.int64), 0, _BANDS - 1)
    column = np.floor((longitude + 180.0) / 360.0 * _CELLS[band]).astype(np.int64) % _CELLS[band]
    return np.where(known, _FIRST[band] + column, UNKNOWN_METRO).astype(np.int32)


def metro_centres(cells: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitude and longitude in degrees of the middle of each cell; NaN for 0."""
    known = cells != UNKNOWN_METRO
    cell = np.where(known, cells, 1)
    band = np.searchsorted(_FIRST, cell, side="right") - 1
    longitude = (cell - _FIRST[band] + 0.5) / _CELLS[band] * 360.0 - 180.0
    return np.where(known, _MIDDLE_DEG[band], np.nan), np.where(known, longitude, np.nan)
