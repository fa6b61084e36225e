"""Each reason as the sentence that `explain` prints."""

import numpy as np
import pytest

from steer.decide.auto_reasons import sentence
from steer.model.evidence import Reason, Verdicts
from steer.model.policy import AutoSettings

TARGETS = ("anycast", "pop:fra", "pop:sin")


def verdict(
    reason: Reason,
    gain_ms: float = 151.0,
    low_ms: float = 139.2,
    caught: int = 2,
    wins: int = 3,
    known: float = float("nan"),
    harmed: float = 0.021,
) -> Verdicts:
    seen = not np.isnan(gain_ms)
    is_held = reason in (Reason.OVERRIDDEN, Reason.KEPT)

    def one(value: float, kind: str) -> np.ndarray:
        return np.array([value], dtype=kind)

    return Verdicts(
        targets=TARGETS,
        decides=np.array([True]),
        catchment=one(caught, "i2"),
        first=one(1 if is_held else 0, "i2"),
        reason=one(reason, "u1"),
        also_group=np.zeros(0, dtype=np.int32),
        also_target=np.zeros(0, dtype=np.int16),
        best=one(1 if seen else -1, "i2"),
        anycast_ms=one(182.2, "f4"),
        best_ms=one(182.2 - gain_ms, "f4"),
        gain_ms=one(gain_ms, "f4"),
        gain_low_ms=one(low_ms, "f4"),
        anycast_samples=one(64.0, "f4"),
        best_samples=one(58.0, "f4"),
        periods_won=one(wins, "u1"),
        periods_seen=one(4, "u1"),
        known_share=one(known, "f4"),
        gaining_share=one(0.83, "f4"),
        harmed_share=one(harmed, "f4"),
    )


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        (
            verdict(Reason.OVERRIDDEN),
            (
                "pop:fra is 31 ms (58 samples): gain 151 ms, at least 139 ms with 95 % confidence, "
                "in 3 of 4 periods: overridden"
            ),
        ),
        (
            verdict(Reason.KEPT, 6.5, 1.0, wins=0),
            (
                "pop:fra is 176 ms (58 samples): gain 6.5 ms, at least 1 ms with 95 % confidence, "
                "in 0 of 4 periods: overridden before, and kept while the gain is at least 5 ms"
            ),
        ),
        (
            verdict(Reason.TOO_FEW_PERIODS, 30.0, 20.0, wins=1),
            (
                "pop:fra is 152 ms (58 samples): gain 30 ms, at least 20 ms with 95 % confidence, "
                "in 1 of 4 periods: not yet overridden, 2 are needed"
            ),
        ),
        (
            verdict(Reason.UNSURE, 30.0, -2.5, wins=0),
            (
                "pop:fra is 152 ms (58 samples): gain 30 ms, at worst a loss of 2.5 ms with 95 % confidence, "
                "in 0 of 4 periods: not sure to be the 10 ms for which anycast is left"
            ),
        ),
        (
            verdict(Reason.ANYCAST_GOOD, -12.0, -20.0, wins=0),
            (
                "pop:fra is 194 ms (58 samples): loss 12 ms, at worst a loss of 20 ms with 95 % confidence, "
                "in 0 of 4 periods: anycast is good, less than the 10 ms for which it is left"
            ),
        ),
        (
            verdict(Reason.TAKEN_BACK, 1.0, -3.0, wins=0),
            (
                "pop:fra is 181 ms (58 samples): gain 1 ms, at worst a loss of 3 ms with 95 % confidence, "
                "in 0 of 4 periods: overridden before, and taken back, since the gain was below 5 ms"
            ),
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else Reason(int(value.reason[0])).name,
)
def test_each_reason_reads_as_a_sentence(verdicts: Verdicts, told: str) -> None:
    expected = f"anycast takes them to sin at 182 ms (64 samples); {told}"
    assert sentence(verdicts, 0, AutoSettings()) == expected


def test_without_fresh_samples_the_sentence_says_so() -> None:
    nothing = float("nan")
    assert sentence(verdict(Reason.STALE, nothing, nothing), 0, AutoSettings()) == (
        "overridden before, but fewer than 20 fresh samples tell whether it still helps: back to anycast; "
        "anycast takes them to sin"
    )
    assert sentence(verdict(Reason.NO_EVIDENCE, nothing, nothing, caught=-1), 0, AutoSettings()) == (
        "too little evidence of its own (fewer than 20 fresh samples of anycast or of every other target, or "
        "most from one network): anycast takes them to an unknown POP; the wider group decides"
    )


@pytest.mark.parametrize("reason", list(Reason))
def test_no_reason_needs_numbers_that_are_not_there(reason: Reason) -> None:
    assert "nan" not in sentence(verdict(reason, float("nan"), float("nan")), 0, AutoSettings())


def test_a_resolver_tells_of_its_clients() -> None:
    told = sentence(verdict(Reason.OVERRIDDEN, known=1.0), 0, AutoSettings())
    assert told.endswith("in 3 of 4 periods: of its clients 83 % gain, 2 % lose: overridden")
    told = sentence(verdict(Reason.UNSURE, 30.0, -5.0, known=0.71, harmed=0.2), 0, AutoSettings())
    assert "of the 71 % of its clients who are known 83 % gain, 20 % lose: " in told
    assert told.endswith("too many would lose more than 5 ms, so anycast stays")
    told = sentence(verdict(Reason.TAKEN_BACK, 30.0, -5.0, known=1.0, harmed=0.2), 0, AutoSettings())
    assert told.endswith("overridden before, and taken back, since too many lost more than 5 ms")
