"""How much the parts of a group of clients differ in what leaving anycast would gain. Pure NumPy.

A wide group speaks for clients of whom little is known, so its mean gain is not enough: the spread between
those of its parts that are known tells how many may be worse off. Variance between parts by the method of
moments (DerSimonian and Laird, Controlled Clinical Trials 7, 1986)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steer.decide.auto_windows import LONGEST, NO_PAIR, WINDOWS, Floats, Pairs, Rows, Windows
from steer.model.evidence import GroupKind

PART_SAMPLES = 4.0  # a part is heard from so many samples on both sides
PART_WINDOW = WINDOWS.index(8)  # in which parts are compared; in the longest where it shows too few
FEW_PARTS = 4
USUAL_SPREAD_MS = {GroupKind.BLOCK: 3.0, GroupKind.AS_METRO: 5.0, GroupKind.AS_COUNTRY: 15.0}
USUAL_SPREAD_PARTS = 2.0  # the usual spread between parts counts as much as that many parts' own
LARGEST_SHARE = 0.6  # a wide group whose evidence comes from one unit to a larger share says nothing


@dataclass(frozen=True, slots=True)
class Parts:
    """Of each pair, shape (p,); `spread`, shape (2, p): variance in ms² between its parts' gains at median
    and 75th percentile; `mean` and `variance`, shape (2, p): gain of the parts by their anycast demand,
    NaN without parts; `heard`: samples on anycast of the parts that are known on both sides."""

    spread: Floats
    mean: Floats
    variance: Floats
    heard: Floats


def compare_parts(windows: Windows, pairs: Pairs, base: Rows, active: NDArray[np.bool_]) -> Parts:
    """Compare the parts of all pairs. `base`, shape (p,): the pair that stands for anycast in each pair's
    group, -1 unknown; `active`: the pairs whose parts matter."""
    size = len(pairs)
    child = np.flatnonzero((pairs.parent != NO_PAIR) & (base != NO_PAIR) & (base != np.arange(size)))
    child = child[active[pairs.parent[child]]]
    short = _heard(windows, PART_WINDOW, child, base)
    enough = np.bincount(pairs.parent[short], minlength=size) >= FEW_PARTS
    long = _heard(windows, LONGEST, child[~enough[pairs.parent[child]]], base)
    short = short[enough[pairs.parent[short]]]
    part = np.concatenate([short, long])
    own = np.concatenate([windows.at(PART_WINDOW, short), windows.at(LONGEST, long)], axis=1)
    other = np.concatenate([windows.at(PART_WINDOW, base[short]), windows.at(LONGEST, base[long])], axis=1)
    whole = pairs.parent[part]
    gain, variance = other[1:3] - own[1:3], other[3:5] + own[3:5]
    heard = np.bincount(whole, weights=other[0], minlength=size).astype(np.float64)
    usual = _usual_variance()[pairs.kind]
    spread, mean, error = np.empty((2, size)), np.empty((2, size)), np.empty((2, size))
    for place in (0, 1):
        spread[place] = _between(whole, gain[place], variance[place], usual)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean[place] = np.bincount(whole, weights=other[0] * gain[place], minlength=size) / heard
            error[place] = np.bincount(
                whole, weights=np.square(other[0]) * variance[place], minlength=size
            ) / np.square(heard)
    return Parts(spread, mean, error, heard)


def from_one_source(windows: Windows, pairs: Pairs) -> NDArray[np.bool_]:
    """Pairs of wide groups that owe more than the allowed share of their samples to one unit."""
    count = windows.count(LONGEST)
    largest = np.zeros(len(pairs))
    unit = np.flatnonzero(pairs.kind == GroupKind.UNIT)
    amount, above = count[unit], pairs.parent[unit]
    while (above != NO_PAIR).any():
        amount, above = amount[above != NO_PAIR], above[above != NO_PAIR]
        np.maximum.at(largest, above, amount)
        above = pairs.parent[above]
    return largest > LARGEST_SHARE * count


def _heard(windows: Windows, window: int, pairs: Rows, base: Rows) -> Rows:
    count = windows.count(window)
    return pairs[(count[pairs] >= PART_SAMPLES) & (count[base[pairs]] >= PART_SAMPLES)]


def _between(whole: Rows, gain: Floats, variance: Floats, usual: Floats) -> Floats:
    """The variance between parts, mixed with the usual one as if that came from a few parts more."""
    size = len(usual)
    weight = 1.0 / variance
    parts = np.bincount(whole, minlength=size).astype(np.float64)
    total = np.bincount(whole, weights=weight, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.bincount(whole, weights=weight * gain, minlength=size) / total
        unlike = np.bincount(whole, weights=weight * np.square(gain - centre[whole]), minlength=size)
        scale = total - np.bincount(whole, weights=np.square(weight), minlength=size) / total
        own = np.where(parts > 1, np.maximum(unlike - (parts - 1), 0.0) / scale, 0.0)
    more = np.maximum(parts - 1, 0.0)
    mixed: Floats = (more * own + USUAL_SPREAD_PARTS * usual) / (more + USUAL_SPREAD_PARTS)
    return mixed


def _usual_variance() -> Floats:
    """By kind of group; units and resolvers have no parts."""
    return np.array([USUAL_SPREAD_MS.get(kind, 0.0) ** 2 for kind in GroupKind])
