"""The line from distance to RTT, against lines that are known."""

from dataclasses import replace

import numpy as np
import pytest

from steer.decide.distance_fit import LIGHT_MS_PER_KM, fit, fit_summary
from steer.decide.estimates import summarise
from steer.decide.metros import metro_cells, metro_centres
from steer.model.evidence import DistanceModel, GroupKind
from tests.decide.evidence_worlds import cells_of, draw, plain_groups


def test_a_line_is_found_among_outliers() -> None:
    chance = np.random.default_rng(1)
    km = chance.uniform(0, 10_000, 2_000)
    rtt_ms = 7.0 + 0.015 * km + chance.normal(0, 4.0, len(km))
    lost = chance.random(len(km)) < 0.1
    rtt_ms[lost] = chance.uniform(5, 300, int(lost.sum()))
    model = fit(km, rtt_ms)
    assert model.base_ms == pytest.approx(7.0, abs=1.0)
    assert model.ms_per_km == pytest.approx(0.015, rel=0.03)
    assert 3.5 < model.error_ms < 25.0
    assert model.pairs == 2_000


def test_an_exact_line_has_no_error() -> None:
    km = np.linspace(0, 5_000, 40)
    model = fit(km, 5.0 + 0.02 * km)
    assert model.base_ms == pytest.approx(5.0)
    assert model.ms_per_km == pytest.approx(0.02)
    assert model.error_ms == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("count", "span_km"), [(29, 5_000.0), (500, 400.0), (0, 0.0)])
def test_too_few_or_too_like_pairs_leave_the_default(count: int, span_km: float) -> None:
    km = np.linspace(0, span_km, count)
    model = fit(km, 50.0 + 0.0 * km)
    assert (model.base_ms, model.ms_per_km, model.pairs) == (5.0, 0.0125, 0)
    assert np.isnan(model.error_ms)


def test_no_fit_is_faster_than_light_or_starts_below_zero() -> None:
    km = np.linspace(0, 5_000, 100)
    assert fit(km, 100.0 - 0.01 * km).ms_per_km == LIGHT_MS_PER_KM
    assert fit(km, 0.02 * km - 5.0).base_ms == 0.0


def test_a_summary_is_fitted_by_its_metros() -> None:
    chance = np.random.default_rng(2)
    latitude, longitude = chance.uniform(-55, 65, 80), chance.uniform(-180, 180, 80)
    sites = {"pop:fra": (50.1, 8.7), "pop:sin": (1.35, 103.8)}
    targets = ("anycast", *sites, "region:europe")
    groups = replace(plain_groups(80, GroupKind.AS_METRO), metro=metro_cells(latitude, longitude))
    medians = np.full((80, 4, 2), 500.0)
    for number, (site_latitude, site_longitude) in enumerate(sites.values(), start=1):
        angle = np.radians(longitude - site_longitude)
        here, there = np.radians(latitude), np.radians(site_latitude)
        cosine = np.sin(here) * np.sin(there) + np.cos(here) * np.cos(there) * np.cos(angle)
        medians[:, number] = 6.0 + 0.014 * 6371.0 * np.arccos(cosine)[:, None]
    cells = cells_of(draw(medians, 15, chance, spread=0.05), 2, targets)
    model = fit_summary(summarise(cells, groups), sites)
    assert model.base_ms == pytest.approx(6.0, abs=1.5)
    assert model.ms_per_km == pytest.approx(0.014, rel=0.03)
    assert model.pairs == 160
    unheard = fit_summary(summarise(cells, groups), {})
    assert (unheard.pairs, unheard.base_ms) == (DistanceModel().pairs, DistanceModel().base_ms)


def test_the_middle_of_a_metro_is_in_it() -> None:
    cells = np.arange(0, 41_000, 7, dtype=np.int32)
    latitude, longitude = metro_centres(cells)
    assert metro_cells(latitude, longitude).tolist() == cells.tolist()
