from math import comb

import pytest

from bench.ratios import median_interval, ratio_interval


def test_nine_samples_give_the_second_and_the_eighth() -> None:
    found = median_interval([5, 1, 9, 3, 7, 2, 8, 4, 6])
    assert (found.median, found.low, found.high) == (5, 2, 8)
    assert found.confidence == pytest.approx(1 - 2 * (comb(9, 0) + comb(9, 1)) / 2**9)


def test_few_samples_give_the_extremes_and_say_how_little_that_is() -> None:
    assert median_interval([4.0]).confidence == 0
    found = median_interval([1, 2, 30])
    assert (found.median, found.low, found.high, found.confidence) == (2, 1, 30, 0.75)


def test_an_even_count_has_its_median_between_the_middle_two() -> None:
    assert median_interval([1, 2, 4, 8]).median == 3


def test_ratios_are_taken_round_by_round() -> None:
    # a machine that halves its speed midway changes both, and no ratio
    assert ratio_interval([2, 4, 4, 2, 4, 2], [1, 2, 2, 1, 2, 1]).high == 2


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        median_interval([])
