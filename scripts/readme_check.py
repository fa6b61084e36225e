"""Run the commands of README.md as written: every ```sh block that follows the line `<!-- ci -->`.

In: a Markdown file (README.md beside this directory unless named). Each marked block is one bash script, run
with `set -euo pipefail` in the directory of the file, stdin empty, under a time limit. A block that leaves
servers running ends with them: its whole process group is stopped. Out: exit code 0 if at least one block ran
and none failed."""

import argparse
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BLOCK_LIMIT_S = 300
MARKED_BLOCK = re.compile(
    r"^<!-- ci -->[ \t]*\n(?:[ \t]*\n)*```sh[ \t]*\n(?P<script>.*?)^```[ \t]*$", re.M | re.S
)
MARK = re.compile(r"^<!-- ci -->", re.M)


@dataclass(frozen=True, slots=True)
class Block:
    """A marked block; `line` is that of its first command, counted from 1."""

    line: int
    script: str


def main() -> int:
    """Run the blocks in order; stop at the first that fails."""
    parser = argparse.ArgumentParser(description="Run the marked commands of a README as written.")
    parser.add_argument("file", nargs="?", type=Path, default=Path(__file__).parent.parent / "README.md")
    parser.add_argument("--list", action="store_true", help="print the blocks and run nothing")
    options = parser.parse_args()
    path: Path = options.file
    try:
        blocks = read_blocks(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"readme_check: {path.name}: {error}", file=sys.stderr)
        return 1
    for block in blocks:
        print(f"readme_check: {path.name}:{block.line}\n{block.script}", flush=True)
        if options.list:
            continue
        code = run_block(block, path.resolve().parent)
        if code != 0:
            print(
                f"readme_check: {path.name}:{block.line}: the block failed with exit code {code}",
                file=sys.stderr,
            )
            return 1
    print(f"readme_check: {len(blocks)} blocks of {path.name} {'listed' if options.list else 'ran'}")
    return 0


def read_blocks(markdown: str) -> tuple[Block, ...]:
    """The marked blocks, in order; at least one.

    Raises ValueError where a mark has no ```sh block after it, or nothing is marked: checking nothing is no
    check."""
    blocks = tuple(
        Block(markdown.count("\n", 0, match.start("script")) + 1, match["script"])
        for match in MARKED_BLOCK.finditer(markdown)
    )
    if not blocks:
        raise ValueError("no ```sh block stands after a line `<!-- ci -->`")
    if len(blocks) != len(MARK.findall(markdown)):
        raise ValueError("a line `<!-- ci -->` is not followed by a ```sh block")
    return blocks


def run_block(block: Block, directory: Path, limit_s: float = BLOCK_LIMIT_S) -> int:
    """Exit code of the block as a bash script; 124 where it took longer than `limit_s` seconds."""
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", block.script],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return 124
    finally:
        stop_group(process)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """Stop whatever the block left running in its own session; the shell itself is reaped too."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
