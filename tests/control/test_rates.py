"""Token buckets against what they promise, with a clock that the test moves."""

from hypothesis import given
from hypothesis import strategies as st

from steer.control.rates import BucketTable, TokenBucket


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(2.0, 5.0)
    assert [bucket.take(10.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(10.0) == 0.5
    assert bucket.take(10.5) == 0.0
    assert bucket.take(10.5) == 0.5


def test_what_costs_more_than_the_burst_takes_a_full_bucket() -> None:
    bucket = TokenBucket(1.0, 10.0)
    assert bucket.take(0.0, 50.0) == 0.0
    assert bucket.take(0.0, 50.0) == 10.0
    assert bucket.take(10.0, 50.0) == 0.0


@given(st.lists(st.floats(-5, 5), max_size=200))
def test_never_more_than_burst_and_rate_whatever_the_clock_does(steps: list[float]) -> None:
    bucket, now_s, furthest_s, taken = TokenBucket(2.0, 3.0), 0.0, 0.0, 0
    for step in steps:
        now_s += step
        furthest_s = max(furthest_s, now_s)
        taken += bucket.take(now_s) == 0.0
    assert taken <= 3.0 + 2.0 * furthest_s + 1e-6


def test_a_full_table_forgets_only_who_was_idle() -> None:
    table = BucketTable(1.0, 2.0, 2)
    assert table.take("a", 0.0) == table.take("b", 0.0) == 0.0
    assert table.take("c", 0.5) > 0  # both are in use
    assert table.take("c", 1.0) == 0.0  # a is as full as a new one
    assert len(table) == 2
    assert table.take("b", 1.0) == 0.0
    assert table.take("a", 1.5) > 0
