"""Quantiles of all cells at once against the ddsketch library, exact quantiles, and repeated draws."""

import numpy as np
import pytest
from ddsketch import LogCollapsingLowestDenseDDSketch
from ddsketch.mapping import LogarithmicMapping
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from steer.decide.sketches import Buckets, bucket_of, counts, quantiles, quantiles_with_errors, value_of
from steer.model.evidence import RTT_MS_MAX, RTT_MS_MIN, SKETCH_GAMMA

ACCURACY = (SKETCH_GAMMA - 1) / (SKETCH_GAMMA + 1)
RTTS = st.lists(st.floats(RTT_MS_MIN, RTT_MS_MAX), min_size=1, max_size=60)


def sketched(samples: list[NDArray[np.float64]]) -> Buckets:
    buckets, count, head = [], [], [0]
    for rtt_ms in samples:
        keys, many = np.unique(bucket_of(rtt_ms), return_counts=True)
        buckets.append(keys)
        count.append(many.astype(np.float32))
        head.append(head[-1] + len(keys))
    return Buckets(np.concatenate(buckets), np.concatenate(count), np.array(head[:-1], dtype=np.int64))


@given(RTTS)
def test_buckets_are_those_of_the_library(rtts: list[float]) -> None:
    mapping = LogarithmicMapping(ACCURACY)
    keys = bucket_of(np.array(rtts))
    assert keys.tolist() == [mapping.key(rtt) for rtt in rtts]
    assert value_of(keys) == pytest.approx([mapping.value(int(key)) for key in keys])


@given(st.lists(RTTS, min_size=1, max_size=5), st.sampled_from([0.05, 0.5, 0.75, 0.99]))
@settings(max_examples=200)
def test_quantiles_are_within_one_per_cent_of_exact_ones(cells: list[list[float]], share: float) -> None:
    found = quantiles(sketched([np.array(cell) for cell in cells]), share)
    exact = [np.quantile(cell, share, method="hazen") for cell in cells]
    assert found == pytest.approx(exact, rel=ACCURACY * 1.001)


@pytest.mark.parametrize("size", [2_000, 20_001])
def test_quantiles_agree_with_the_librarys_own(size: int) -> None:
    chance = np.random.default_rng(size)
    rtt_ms = 40.0 * np.exp(chance.normal(0.0, 0.5, size))
    library = LogCollapsingLowestDenseDDSketch(ACCURACY, bin_limit=4096)
    for each in rtt_ms:
        library.add(float(each))
    for share in (0.5, 0.75):
        assert quantiles(sketched([rtt_ms]), share)[0] == pytest.approx(
            library.get_quantile_value(share), rel=2 * ACCURACY
        )


def test_between_two_modes_lies_no_quantile() -> None:
    two = sketched([np.array([10.0] * 60 + [100.0] * 40)])
    assert quantiles(two, 0.5)[0] == pytest.approx(10.0, rel=ACCURACY)
    assert quantiles(two, 0.75)[0] == pytest.approx(100.0, rel=ACCURACY)


def test_counts_may_be_fractions_and_scale_out() -> None:
    whole = sketched([np.arange(1.0, 200.0)])
    half = Buckets(whole.bucket, (whole.count / 2).astype(np.float32), whole.head)
    assert counts(half) == pytest.approx(counts(whole) / 2)
    assert quantiles(half, 0.75) == pytest.approx(quantiles(whole, 0.75), rel=0.01)


def test_no_cells_have_no_quantiles() -> None:
    none = Buckets(np.zeros(0, dtype=np.int16), np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64))
    assert quantiles(none, 0.5).shape == (0,)
    assert quantiles_with_errors(none, 0.5, none.head)[1].shape == (0,)
    assert counts(none).shape == (0,)


@pytest.mark.parametrize("size", [3, 5, 10, 20, 60, 300])
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_errors_are_those_of_repeated_draws(size: int, share: float) -> None:
    """The stated error matches the scatter of quantiles over 2,000 draws."""
    chance = np.random.default_rng(size)
    draws = 80.0 * np.exp(chance.normal(0.0, 0.24, (2_000, size)))
    value, error = quantiles_with_errors(sketched(list(draws)), share, np.arange(2_000) // 4)
    ratio = float(np.median(error) / value.std())
    assert 0.7 < ratio < 1.3
