"""Faults in what an operator wrote, and the one exception that carries them.

Three kinds of error are never mixed: the operator's file (here), a peer's packet (an rcode and a
counter, in the engines), and our own bug (an ordinary exception, raised and not caught)."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong in one place of a file. `line` and `column` count from 1; 0 means the whole file."""

    file: str
    line: int
    column: int
    wrong: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.wrong}; {self.fix}" if self.fix else f"{where}: {self.wrong}"


class Refused(Exception):
    """An input refused whole, with every fault found in it (at least one, sorted, none twice); `warnings`:
    what beside them only looks wrong."""

    def __init__(self, faults: Iterable[Fault], warnings: Iterable[Fault] = ()) -> None:
        self.faults = tuple(sorted(set(faults)))
        self.warnings = tuple(sorted(set(warnings)))
        super().__init__("\n".join(str(fault) for fault in self.faults))
