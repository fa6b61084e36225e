"""Sets of targets as bits in 64-bit words, interned, and intersected in pairs. Pure NumPy."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]  # shape (n, words): bit i of a set is bit i % 64 of word i // 64
EMPTY = -1  # in place of a set's number: it has no members
_WORD_BITS = 64


def words_for(size: int) -> int:
    """Words that hold sets out of `size` members, at least one."""
    return max(1, -(-size // _WORD_BITS))


def bits_of(members: NDArray[np.integer], size: int) -> Words:
    """Sets of one member each, out of `size`; shape (n, words)."""
    words = np.zeros((len(members), words_for(size)), dtype=np.uint64)
    word, bit = np.divmod(members.astype(np.int64), _WORD_BITS)
    words[np.arange(len(members)), word] = np.uint64(1) << bit.astype(np.uint64)
    return words


def words_of(flags: NDArray[np.bool_]) -> Words:
    """Sets from flags, shape (n, size)."""
    count, size = flags.shape
    padded = np.zeros((count, words_for(size) * _WORD_BITS), dtype=np.bool_)
    padded[:, :size] = flags
    packed = np.packbits(padded, axis=1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8").astype(np.uint64)


def everything(size: int) -> Words:
    """The one set of all members, shape (1, words)."""
    return words_of(np.ones((1, size), dtype=np.bool_))


def intern_words(words: Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids of equal rows, and one row of each id."""
    packed = np.ascontiguousarray(words).view(np.dtype((np.void, words.shape[1] * 8))).reshape(-1)
    _, sample, ids = np.unique(packed, return_index=True, return_inverse=True)
    return ids.astype(np.int64), sample.astype(np.int64)


@dataclass(slots=True)
class MaskTable:
    """Numbered sets out of `size` members; equal sets have equal numbers."""

    size: int
    _known: dict[bytes, int] = field(default_factory=dict)
    _rows: list[Words] = field(default_factory=list)

    def numbers(self, words: Words) -> NDArray[np.int32]:
        """The number of each row; EMPTY for a set without members."""
        if not len(words):
            return np.zeros(0, dtype=np.int32)
        ids, sample = intern_words(words)
        found = np.array([self._number(words[row]) for row in sample], dtype=np.int32)
        return found[ids]

    def both(self, left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int32]:
        """The number of each pair's common members, EMPTY where there are none. No argument is EMPTY."""
        found = left.copy()
        at = np.flatnonzero(left != right)
        if len(at):
            pairs, inverse = np.unique(
                left[at].astype(np.int64) << 32 | right[at].astype(np.int64), return_inverse=True
            )
            table = self.words()
            common = table[pairs >> 32] & table[pairs & 0xFFFF_FFFF]
            found[at] = self.numbers(common)[inverse]
        return found

    def words(self) -> Words:
        """All sets so far, by number."""
        if not self._rows:
            return np.zeros((0, words_for(self.size)), dtype=np.uint64)
        if len(self._rows) > 1:
            self._rows = [np.concatenate(self._rows)]
        return self._rows[0]

    def holds(self, numbers: NDArray[np.int32], members: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether each set holds each member."""
        word, bit = np.divmod(members, _WORD_BITS)
        held: NDArray[np.bool_] = self.words()[numbers, word] >> bit.astype(np.uint64) & np.uint64(1) != 0
        return held

    def lowest(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Each set's lowest member."""
        words = self.words()[numbers]
        word = (words != 0).argmax(axis=1)
        value = words[np.arange(len(words)), word]
        low = value & (~value + np.uint64(1))
        found: NDArray[np.int32] = (word * _WORD_BITS + np.bitwise_count(low - np.uint64(1))).astype(np.int32)
        return found

    def _number(self, row: NDArray[np.uint64]) -> int:
        if not row.any():
            return EMPTY
        key = row.tobytes()
        if key not in self._known:
            self._known[key] = len(self._known)
            self._rows.append(row[None, :])
        return self._known[key]
