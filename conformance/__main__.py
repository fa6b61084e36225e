"""`python -m conformance`: the checkers against steer, in a network namespace of their own; 1 on a fault.

Every process lives in a process namespace that ends with its first one, so nothing is left running."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from conformance import (
    check_clients,
    check_cookies,
    check_dnsviz,
    check_edns,
    check_resolvers,
    check_rfc8906,
    check_zonemaster,
)
from conformance.daemons import ToolFailed
from conformance.mini_internet import MiniInternet, mini_internet
from conformance.results import FAILED, NOT_RUN, Result, table

INSIDE = "STEER_CONFORMANCE_INSIDE"
NAMESPACES = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
ESSENTIAL = ("nsd", "ip", "dnssec-signzone", "dnssec-keygen")
Check = Callable[[MiniInternet], Iterator[Result]]
CHECKS: dict[str, tuple[Check, tuple[str, ...]]] = {
    "zonemaster": (check_zonemaster.check, ("zonemaster-cli",)),
    "dnsviz": (check_dnsviz.check, ("dnsviz",)),
    "rfc8906": (check_rfc8906.check, ("dig",)),
    "edns": (check_edns.check, ("dig", "kdig")),
    "cookies": (check_cookies.check, ("dig", "named", "knotd")),
    "clients": (check_clients.check, ("dig", "kdig", "drill", "delv")),
    "resolvers": (check_resolvers.check, ("dig", "delv", "unbound", "pdns_recursor")),
}
"""What can be asked for, and the programs that it takes."""


def main() -> int:
    """Enter the namespaces, then run the checks."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance", description="Checkers of DNS servers against steer."
    )
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"only these, of: {', '.join(CHECKS)}")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in DIR, a new directory, and leave it")
    parser.add_argument("--engine", choices=("native", "reference"), default="native", help="(%(default)s)")
    arguments = parser.parse_args()
    unknown = set(arguments.checks) - set(CHECKS)
    if unknown:
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    if INSIDE not in os.environ:
        _enter_namespaces()
    names = arguments.checks or list(CHECKS)
    if arguments.keep:
        arguments.keep.mkdir(parents=True)
        return run(names, arguments.keep.absolute(), arguments.engine)
    with tempfile.TemporaryDirectory(prefix="steer-conformance-") as scratch:
        return run(names, Path(scratch), arguments.engine)


def run(names: Sequence[str], scratch: Path, engine: str) -> int:
    """The checks' table on standard output; 1 where one failed or could not run."""
    missing = [program for program in ESSENTIAL if shutil.which(program) is None]
    if missing:
        print(f"conformance: {', '.join(missing)} not installed, so nothing can run (conformance/install.sh)")
        return 1
    results: list[Result] = []
    started_s = time.monotonic()
    try:
        with mini_internet(scratch, engine) as internet:
            say(started_s, "the mini-Internet answers")
            for name in names:
                results += run_one(name, internet)
                say(started_s, f"{name}: done")
    except ToolFailed as failure:
        results.append(Result("mini-Internet", "a daemon or command", 0, FAILED, (str(failure),)))
    print(table(results))
    bad = sum(each.verdict in (FAILED, NOT_RUN) for each in results)
    cases = sum(each.cases for each in results)
    seconds = time.monotonic() - started_s
    print(f"\n{len(results)} checks, {cases:,} cases, {bad} failed or not run, {seconds:.0f} s")
    return 1 if bad or not results else 0


def run_one(name: str, internet: MiniInternet) -> list[Result]:
    """The rows of one check."""
    check, programs = CHECKS[name]
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        return [Result(name, "all", 0, NOT_RUN, (f"not installed: {', '.join(missing)}",))]
    return list(check(internet))


def say(started_s: float, text: str) -> None:
    """Progress, on standard error."""
    print(f"{time.monotonic() - started_s:7.1f} s  {text}", file=sys.stderr, flush=True)


def _enter_namespaces() -> None:
    """Become the same command in namespaces of its own; a user namespace too where we are not root."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = [*NAMESPACES, *user, sys.executable, "-m", "conformance", *sys.argv[1:]]
    os.environ[INSIDE] = "1"
    try:
        os.execvp(command[0], command)
    except OSError as failure:
        raise SystemExit(f"conformance: cannot run {command[0]} (util-linux): {failure}") from failure


if __name__ == "__main__":
    sys.exit(main())
