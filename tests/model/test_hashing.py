"""The unit hash: SipHash by its authors' vectors, ours by tests/vectors/unit_hash.json, shares exactly."""

import json
import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.model.hashing import (
    HASH_COUNT,
    arm_limits,
    hash_prefix,
    rendezvous_cost,
    rendezvous_winner,
    siphash24,
    unit_hash,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "unit_hash.json").read_text(encoding="utf-8"))
PAPER_KEY = bytes(range(16))


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, 0x726FDB47DD0E0E31),
        (1, 0x74F839C593DC67FD),
        (7, 0xAB0200F58B01D137),
        (8, 0x93F5F5799A932462),
        (15, 0xA129CA6149BE45E5),
        (63, 0x958A324CEB064572),
    ],
)
def test_siphash_gives_the_vectors_of_its_authors(length: int, expected: int) -> None:
    assert siphash24(PAPER_KEY, bytes(range(length))) == expected


def test_siphash_refuses_a_key_of_another_size() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        siphash24(b"short", b"")


@pytest.mark.parametrize(
    "vector", VECTORS["hashes"], ids=lambda vector: f"{vector['stage']}-{vector['name']}"
)
def test_unit_hash_gives_the_published_vectors(vector: dict[str, str | int]) -> None:
    key, address16 = bytes.fromhex(str(vector["key"])), bytes.fromhex(str(vector["address16"]))
    hashed = unit_hash(
        key,
        str(vector["stage"]),  # type: ignore[arg-type] # JSON has no literals
        str(vector["name"]),
        str(vector["domain"]),  # type: ignore[arg-type]
        int(vector["length"]),
        address16,
    )
    assert f"{hashed:016x}" == vector["hash"]
    assert rendezvous_cost(hashed) == vector["cost"]


def test_the_hash_message_is_laid_out_as_documented() -> None:
    address16 = bytes(10) + b"\xff\xff\xcb\x00\x71\x00"
    message = b"weight\0pop:fra\0c\x18" + address16
    assert unit_hash(PAPER_KEY, "weight", "pop:fra", "c", 24, address16) == siphash24(PAPER_KEY, message)
    assert hash_prefix("arm", "img") == b"arm\0img\0"


@given(st.integers(0, HASH_COUNT - 1))
def test_cost_is_the_logarithm(hashed: int) -> None:
    exact = 64 - math.log2(hashed + 1)
    assert rendezvous_cost(hashed) == pytest.approx(exact * 2**32, abs=2**32 * 1e-9)


@given(st.integers(0, HASH_COUNT - 2))
def test_cost_never_rises_with_the_hash(hashed: int) -> None:
    assert rendezvous_cost(hashed) >= rendezvous_cost(hashed + 1)


def test_cost_at_the_ends() -> None:
    assert rendezvous_cost(0) == 64 << 32
    assert rendezvous_cost(HASH_COUNT // 2 - 1) == 1 << 32
    assert rendezvous_cost(HASH_COUNT - 1) == 0


def test_winner_is_the_least_cost_per_weight_and_ties_go_to_the_earlier() -> None:
    assert rendezvous_winner([(10, 1), (19, 2), (30, 3)]) == 1
    assert rendezvous_winner([(10, 1), (20, 2)]) == 0
    assert rendezvous_winner([(5, 1)]) == 0


def test_weights_are_met_and_a_dead_target_moves_only_its_own_units() -> None:
    weights = {"pop:a": 1, "pop:b": 2, "pop:c": 5}

    def winner(unit: int, alive: list[str]) -> str:
        address16 = bytes(10) + b"\xff\xff" + unit.to_bytes(3, "big") + b"\0"
        pairs = [
            (rendezvous_cost(unit_hash(PAPER_KEY, "weight", name, "c", 24, address16)), weights[name])
            for name in alive
        ]
        return alive[rendezvous_winner(pairs)]

    units = range(2000)
    before = [winner(unit, list(weights)) for unit in units]
    after = [winner(unit, ["pop:a", "pop:c"]) for unit in units]
    for name, weight in weights.items():
        assert before.count(name) == pytest.approx(2000 * weight / 8, rel=0.15)
    assert all(old == new for old, new in zip(before, after, strict=True) if old != "pop:b")


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any))
def test_arm_limits_are_exact_and_cover_all(parts: list[int]) -> None:
    total = sum(parts)
    limits = arm_limits([Fraction(part, total) for part in parts])
    assert limits[-1] == HASH_COUNT - 1
    assert list(limits) == sorted(limits)
    sizes = [after - before for before, after in zip((-1, *limits), limits, strict=False)]
    for part, size in zip(parts, sizes, strict=True):
        assert abs(Fraction(size) - Fraction(part * HASH_COUNT, total)) < 2


def test_arm_limits_read_floats_as_decimals() -> None:
    assert arm_limits([0.9, 0.1]) == arm_limits([Fraction(9, 10), Fraction(1, 10)])


@pytest.mark.parametrize("shares", [[], [0.5], [0.7, 0.7], [-0.5, 1.5]])
def test_shares_that_do_not_add_up_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="add up"):
        arm_limits(shares)
