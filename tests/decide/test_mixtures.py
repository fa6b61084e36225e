"""Shares that move between weighted answers, against the hash of shares itself."""

import random

import pytest

from steer.decide.mixtures import Mixture, Part, joint
from steer.model.hashing import rendezvous_cost, rendezvous_winner, unit_hash

UNITS = 6000
KEY = bytes(range(16))


def winner(mixture: Mixture, number: int, key: bytes = KEY) -> int:
    address = number.to_bytes(4, "big").rjust(16, b"\0")
    costs = [
        (rendezvous_cost(unit_hash(key, "weight", part.name, "c", 24, address)), part.weight)
        for part in mixture.parts
    ]
    return mixture.parts[rendezvous_winner(costs)].outcome


def random_mixture(chance: random.Random, outcomes: int = 4) -> Mixture:
    names = chance.sample(["a", "b", "c", "d", "e"], chance.randint(1, 5))
    return Mixture(
        tuple(Part(chance.randrange(outcomes), chance.choice([1, 2, 10, 90]), name) for name in names),
        (24, 48),
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("alike", [True, False])
def test_shares_are_those_of_the_hash(seed: int, alike: bool) -> None:
    chance = random.Random(seed)
    before, after = random_mixture(chance), random_mixture(chance)
    counted: dict[tuple[int, int], int] = {}
    other = KEY if alike else bytes(16)
    for number in range(UNITS):
        pair = winner(before, number), winner(after, number, other)
        counted[pair] = counted.get(pair, 0) + 1
    shares = {(old, new): share for old, new, share in joint(before, after, alike=alike)}
    assert sum(shares.values()) == pytest.approx(1)
    for pair in counted.keys() | shares.keys():
        due = shares.get(pair, 0.0)
        deviation = max(due * (1 - due), 1e-4) ** 0.5 / UNITS**0.5
        assert abs(counted.get(pair, 0) / UNITS - due) < 5 * deviation, (pair, shares, counted)


def test_a_raised_weight_moves_only_what_it_must() -> None:
    """From 10 to 20 of 100: a tenth of the units, as rendezvous hashing promises, not those twice."""
    before = Mixture((Part(0, 90, "x"), Part(1, 10, "y")), (24, 48))
    after = Mixture((Part(0, 80, "x"), Part(1, 20, "y")), (24, 48))
    moved = {(old, new): share for old, new, share in joint(before, after, alike=True) if old != new}
    assert moved == pytest.approx({(0, 1): 0.1})


def test_equal_mixtures_stay() -> None:
    mixture = Mixture((Part(0, 90, "x"), Part(1, 7, "y"), Part(2, 3, "z")), (24, 48))
    assert all(old == new or share < 1e-12 for old, new, share in joint(mixture, mixture, alike=True))
