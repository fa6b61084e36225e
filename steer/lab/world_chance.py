"""Chance that is a function of what it is about: the same seed and keys give the same draw, in any order.

A path, a unit or an event gets its luck from a hash of its own numbers, so two targets that share a path
share its luck, and no draw depends on how many were made before it. Pure NumPy."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Hash = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)
_FIRST = np.uint64(0xBF58_476D_1CE4_E5B9)
_SECOND = np.uint64(0x94D0_49BB_1331_11EB)


def mix(*keys: ArrayLike) -> Hash:
    """A 64-bit hash of integer keys, broadcast against one another (splitmix64's finaliser, chained)."""
    value = np.zeros(np.broadcast_shapes(*(np.shape(key) for key in keys)), np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is meant
        for key in keys:
            value = _finalise((value + _GOLDEN) ^ _as_unsigned(key))
    return value


def uniform(*keys: ArrayLike) -> NDArray[np.float64]:
    """Draws in 0 < x < 1."""
    return (np.asarray(mix(*keys) >> np.uint64(11), np.float64) + 0.5) * 2.0**-53


def normal(*keys: ArrayLike) -> NDArray[np.float64]:
    """Standard normal draws (Box and Muller)."""
    radius = np.sqrt(-2.0 * np.log(uniform(*keys, 1)))
    drawn: NDArray[np.float64] = radius * np.cos(2.0 * np.pi * uniform(*keys, 2))
    return drawn


def lognormal(median: float, sigma: float, *keys: ArrayLike) -> NDArray[np.float64]:
    """Log-normal draws with this median; `sigma` in natural logarithms."""
    drawn: NDArray[np.float64] = median * np.exp(sigma * normal(*keys))
    return drawn


def _as_unsigned(key: ArrayLike) -> Hash:
    array = np.asarray(key)
    return array if array.dtype == np.uint64 else array.astype(np.int64).view(np.uint64)


def _finalise(value: Hash) -> Hash:
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    return value ^ (value >> np.uint64(31))
