"""RTT from distance, fitted to the measurements in hand: a line that outliers do not bend. Pure NumPy.

Huber's M-estimator by iteratively reweighted least squares, scale from the median absolute residual
(Huber, Annals of Mathematical Statistics 35, 1964; Holland and Welsch, Communications in Statistics A6,
1977): geodata misplace some networks by a continent, and least squares would believe them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from steer.decide.distance import distances_km
from steer.decide.metros import metro_centres
from steer.model.evidence import DistanceModel, GroupKind, Summary

FEWEST_PAIRS = 30  # (group, POP) pairs below which the default stands
SHORTEST_SPAN_KM = 500.0  # between the 10th and 90th percentile of distance: less tells no slope
PAIR_SAMPLES = 10.0  # measurements for which a pair counts
LIGHT_MS_PER_KM = 0.0098  # there and back in fibre of refractive index 1.468: no path is faster
STEEPEST_MS_PER_KM = 0.1
HUBER_SCALES = 1.345  # residuals beyond are weighed down; 95 % efficient where errors are normal
_MAD_TO_DEVIATION = 1.4826
_ROUNDS = 50
_CLOSE_MS = 1e-6

Floats = NDArray[np.float64]


def fit_summary(summary: Summary, sites: Mapping[str, tuple[float, float]]) -> DistanceModel:
    """Fit to all that a summary says of POPs' own addresses as seen from one AS in one metro. `sites`:
    latitude and longitude in degrees of each target `pop:NAME`; others are left out."""
    texts = [text for text in summary.targets if text in sites]
    number = {text: index for index, text in enumerate(texts)}
    site_of = np.array([number.get(text, -1) for text in summary.targets], dtype=np.int64)
    usable = (summary.groups.kind[summary.group] == GroupKind.AS_METRO) & (site_of[summary.target] >= 0)
    rows = np.flatnonzero(usable)
    if not rows.size:
        return DistanceModel()
    group, site = summary.group[rows], site_of[summary.target[rows]]
    distinct, pair = np.unique(group.astype(np.int64) * len(texts) + site, return_inverse=True)
    count = np.bincount(pair, weights=summary.count[rows])
    rtt_ms = np.bincount(pair, weights=summary.count[rows] * summary.p50_ms[rows].astype(np.float64)) / count
    latitude, longitude = metro_centres(summary.groups.metro[distinct // len(texts)])
    place = np.array([sites[text] for text in texts])
    km = _pairwise_km(latitude, longitude, place[distinct % len(texts)])
    known = (count >= PAIR_SAMPLES) & ~np.isnan(km)
    return fit(km[known], rtt_ms[known])


def fit(km: Floats, rtt_ms: Floats) -> DistanceModel:
    """The line through pairs of distance and median RTT, shape (n,); the default where they are too few or
    too alike. The base is at least 0 and the slope within what light and detours allow. `error_ms`: the
    standard deviation of the residuals, weighted as in the fit."""
    if len(km) < FEWEST_PAIRS or np.subtract(*np.percentile(km, [90, 10])) < SHORTEST_SPAN_KM:
        return DistanceModel()
    weight = np.ones(len(km))
    base, slope = 0.0, 0.0
    for _ in range(_ROUNDS):
        before = base
        base, slope = _line(km, rtt_ms, weight)
        residual = np.abs(rtt_ms - base - slope * km)
        limit = HUBER_SCALES * max(_MAD_TO_DEVIATION * float(np.median(residual)), _CLOSE_MS)
        weight = np.minimum(1.0, limit / np.maximum(residual, _CLOSE_MS))
        if abs(base - before) < _CLOSE_MS:
            break
    error_ms = np.sqrt(np.average(np.square(rtt_ms - base - slope * km), weights=weight))
    return DistanceModel(base, slope, float(error_ms), len(km))


def _line(km: Floats, rtt_ms: Floats, weight: Floats) -> tuple[float, float]:
    """Weighted least squares; a slope or base beyond its bounds is set to the bound, the other refitted."""
    middle_km, middle_ms = np.average(km, weights=weight), np.average(rtt_ms, weights=weight)
    spread = np.average(np.square(km - middle_km), weights=weight)
    slope = np.average((km - middle_km) * (rtt_ms - middle_ms), weights=weight) / spread
    slope = min(max(slope, LIGHT_MS_PER_KM), STEEPEST_MS_PER_KM)
    base = middle_ms - slope * middle_km
    if base < 0.0:
        through_origin = np.average(km * rtt_ms, weights=weight) / np.average(km * km, weights=weight)
        return 0.0, float(min(max(through_origin, LIGHT_MS_PER_KM), STEEPEST_MS_PER_KM))
    return float(base), float(slope)


def _pairwise_km(latitude_deg: Floats, longitude_deg: Floats, place: Floats) -> Floats:
    """Distances between points and places row by row, shape (n,); a few places stand for many rows."""
    distinct, row = np.unique(place, axis=0, return_inverse=True)
    km = distances_km(latitude_deg, longitude_deg, distinct[:, 0], distinct[:, 1])
    found: Floats = np.take_along_axis(km, row.reshape(-1, 1), axis=1)[:, 0]
    return found
