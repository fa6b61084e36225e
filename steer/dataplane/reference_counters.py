"""The reference engine's counters: one number per name, and the flat array of labelled ones."""

from collections.abc import Sequence

from steer.telemetry.counters import COUNTERS, LABELLED_COUNT

_INDEX = {name: index for index, name in enumerate(COUNTERS)}


class Counters:
    """Counts from 0. Not locked: each thread that answers has its own."""

    __slots__ = ("labelled", "values")

    def __init__(self) -> None:
        self.values = [0] * len(COUNTERS)
        self.labelled: dict[int, int] = {}

    def count(self, name: str, number: int = 1) -> None:
        """Add `number` to one of `COUNTERS`."""
        self.values[_INDEX[name]] += number

    def count_label(self, index: int) -> None:
        """Add 1 to a labelled counter, 0 <= index < LABELLED_COUNT."""
        if not 0 <= index < LABELLED_COUNT:
            raise ValueError(f"labelled counter {index} does not exist")
        self.labelled[index] = self.labelled.get(index, 0) + 1

    def __getitem__(self, name: str) -> int:
        return self.values[_INDEX[name]]

    def all(self) -> dict[str, int]:
        """Every counter, by name."""
        return dict(zip(COUNTERS, self.values, strict=True))

    def moved(self) -> dict[str, int]:
        """The counters that are not 0, by name."""
        return {name: value for name, value in zip(COUNTERS, self.values, strict=True) if value}

    def labels(self, indices: Sequence[int]) -> list[int]:
        """The values of these labelled counters."""
        return [self.labelled.get(index, 0) for index in indices]
