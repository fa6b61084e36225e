"""`python -m tests.fuzz`, or `make fuzz`: both engines fuzzed side by side; 1 where anything was found.

On one core libFuzzer looks for new ways through the native engine; on another, both engines answer what it
finds, and changes of that (`tests.fuzz.differential`)."""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.differential import Differential, Native, Reference, summary
from tests.fuzz.inputs import CORPUS, DICTIONARY, FINDINGS, NATIVE, PACKET_BYTES_MAX, SEEDS, WORLDS
from tests.fuzz.mutate import Mutator
from tests.fuzz.seeds import questions, seeds, write_dictionary, write_inputs
from tests.fuzz.worlds import load_worlds, write_worlds

LOG = NATIVE / "fuzz" / "artifacts" / "answer.log"
FUZZ = ("cargo", "+nightly", "fuzz")
LATE_S = 60.0  # how much longer than it should the fuzzer may run


def main() -> int:
    """Prepare, build, run both, say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long (%(default)s)")
    parser.add_argument("--seed", type=int, help="of the changes (the time)")
    parser.add_argument("--prepare", action="store_true", help="write worlds, seeds and dictionary; no more")
    arguments = parser.parse_args()
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    made = seeds()
    write_worlds(WORLDS)
    write_inputs(made, SEEDS)
    write_dictionary(DICTIONARY)
    for directory in (CORPUS, LOG.parent):
        directory.mkdir(parents=True, exist_ok=True)
    if arguments.prepare:
        return 0
    build()
    with LOG.open("wb") as log, Native() as native:
        fuzzer = subprocess.Popen(_fuzzer(arguments.seconds), cwd=NATIVE, stderr=log)
        print(
            f"fuzz: {len(made):,} seeds, {arguments.seconds} s, seed {seed}; {LOG.name} is libFuzzer's",
            flush=True,
        )
        mutator = Mutator(seed, questions(), made)
        try:
            tally = Differential(Reference(load_worlds(WORLDS)), native, mutator, FINDINGS).run(
                CORPUS, arguments.seconds
            )
            failed = fuzzer.wait(arguments.seconds + LATE_S) != 0
        finally:
            if fuzzer.poll() is None:
                fuzzer.terminate()
    print("\n".join((*fuzzer_figures(LOG), f"differential: {summary(tally)}")))
    print(
        "counters that moved: "
        + ", ".join(f"{name} {count:,}" for name, count in sorted(tally.moved.items()))
    )
    if failed:
        print(f"libFuzzer found something, or did not start: see {LOG}")
    for kind, count in tally.differences.most_common():
        print(f"  {count:,} times: {kind}")
    return 1 if failed or tally.differences else 0


def build() -> None:
    """Build the fuzz target, and the native engine as the differential has it."""
    subprocess.run([*FUZZ, "build", "answer"], cwd=NATIVE, check=True)
    manifest = str(NATIVE / "fuzz" / "Cargo.toml")
    target = str(NATIVE / "fuzz" / "target")
    subprocess.run(
        [
            "cargo",
            "build",
            "--release",
            "--example",
            "replay",
            "--manifest-path",
            manifest,
            "--target-dir",
            target,
        ],
        check=True,
    )


def fuzzer_figures(log: Path) -> list[str]:
    """What libFuzzer says at its end."""
    text = log.read_text(errors="replace")
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    last = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", text)
    if executed is None or not last:
        return text.splitlines()[-30:]
    edges, features, inputs = last[-1]
    return [
        f"libFuzzer: {int(executed[1]):,} executions; {edges} edges, {features} features, {inputs} inputs"
    ]


def _fuzzer(seconds: int) -> list[str]:
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={PACKET_BYTES_MAX}",
        f"-dict={DICTIONARY}",
        "-print_final_stats=1",
    ]
    return [*FUZZ, "run", "answer", str(CORPUS), str(SEEDS), "--", *options]


if __name__ == "__main__":
    sys.exit(main())
