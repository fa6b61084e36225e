"""How much of the native engine the fuzzer's corpus reaches: `python -m tests.fuzz.coverage`.

Runs seeds and corpus through a build with LLVM's counters; prints lines and regions by file, then, with
`--unreached`, each region that no input reached."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fuzz.__main__ import FUZZ
from tests.fuzz.inputs import CORPUS, NATIVE, SEEDS

ROOMS = ("wire", "answer", "snapshot")
PROFILE = NATIVE / "fuzz" / "coverage" / "answer" / "coverage.profdata"
Region = tuple[int, int, int, bool, bool, bool]  # line, column, count, has a count, starts here, is a gap


def main() -> int:
    """Measure, then print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.coverage", description=__doc__)
    parser.add_argument("--unreached", action="store_true", help="name every region that was not reached")
    arguments = parser.parse_args()
    _said(*FUZZ, "coverage", "answer", str(CORPUS), str(SEEDS))
    files = _measured()
    print(table(files))
    if arguments.unreached:
        print("\n".join(f"{_name(one)}:{line}:{column}" for one in files for line, column in unreached(one)))
    return 0


def table(files: list[dict[str, Any]]) -> str:
    """A row per file with the lines and regions reached, of how many."""
    rows = ["| file | lines | regions |", "| --- | ---: | ---: |"]
    for one in files:
        cells = [_share(one["summary"][what]) for what in ("lines", "regions")]
        rows.append(f"| {_name(one)} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


def unreached(measured: dict[str, Any]) -> list[tuple[int, int]]:
    """Line and column of each region of a file that no input reached."""
    regions: list[Region] = measured["segments"]
    return [(line, column) for line, column, count, counted, starts, is_gap in regions
            if counted and starts and not is_gap and count == 0]  # fmt: skip


def _measured() -> list[dict[str, Any]]:
    host = _said("rustc", "+nightly", "-vV").partition("host: ")[2].split()[0]
    tool = Path(
        _said("rustc", "+nightly", "--print", "sysroot").strip(), "lib", "rustlib", host, "bin", "llvm-cov"
    )
    binary = NATIVE / "target" / host / "coverage" / host / "release" / "answer"
    exported = json.loads(_said(str(tool), "export", f"-instr-profile={PROFILE}", str(binary)))
    files: list[dict[str, Any]] = exported["data"][0]["files"]
    return [one for one in files if _name(one).partition(".")[0].partition("/")[0] in ROOMS]


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=NATIVE, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


def _name(measured: dict[str, Any]) -> str:
    """The file's path below native/src, or the whole path of another's."""
    path = Path(measured["filename"])
    return str(path.relative_to(NATIVE / "src")) if path.is_relative_to(NATIVE / "src") else str(path)


def _share(figures: dict[str, int]) -> str:
    reached, count = figures["covered"], figures["count"]
    return f"{reached} of {count} ({100 * reached / max(1, count):.1f} %)"


if __name__ == "__main__":
    sys.exit(main())
