"""What the checks found, as a table."""

from collections.abc import Iterable
from dataclasses import dataclass

OK, EXPLAINED, FAILED, NOT_RUN = "ok", "explained", "FAILED", "NOT RUN"
SHOWN_PER_RESULT = 12


@dataclass(frozen=True, slots=True)
class Result:
    """One row. `cases`: how many answers or messages were judged; `notes`: why it is not simply ok."""

    checker: str
    what: str
    cases: int
    verdict: str
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, checker: str, what: str, cases: int, faults: Iterable[str]) -> "Result":
        """A row: ok without faults; without a single case too little was asked, which fails."""
        found = tuple(faults) or (() if cases else ("nothing was checked",))
        return cls(checker, what, cases, FAILED if found else OK, found)


def table(results: Iterable[Result]) -> str:
    """All rows, then the notes of those that need a word."""
    rows = [("checker", "what", "cases", "result")]
    rows += [(each.checker, each.what, str(each.cases), each.verdict) for each in results]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    for each in results:
        lines += [f"\n{each.checker}, {each.what}: {each.verdict}"] if each.notes else []
        lines += [f"  {note}" for note in each.notes[:SHOWN_PER_RESULT]]
        hidden = len(each.notes) - SHOWN_PER_RESULT
        lines += [f"  and {hidden} more"] if hidden > 0 else []
    return "\n".join(lines)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    checker, what, cases, verdict = row
    return f"{checker:{widths[0]}}  {what:{widths[1]}}  {cases:>{widths[2]}}  {verdict}"
