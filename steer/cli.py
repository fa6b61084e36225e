"""The command line. Each command is a few lines here; the work is done in `control` and `lab`.

Exit codes: 0 all is well, 1 faults were found (each on stderr), 2 the command itself was wrong. An
operator's fault never shows a traceback."""

import argparse
import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from steer import __version__
from steer.control.break_glass import Change, drain_consequences
from steer.control.break_glass_command import (
    add_break_glass_arguments,
    change_lines,
    for_s,
    lines_in_force,
)
from steer.control.check import check
from steer.control.client import ask_server
from steer.control.explain import explain, read_question
from steer.control.explain_text import explanation_text
from steer.control.keys_arguments import add_keys_commands, run_keys_command
from steer.control.last_good import api_of, deployment_at_hand
from steer.control.learn_command import add_learn_arguments, run_learn_command
from steer.control.offline import load_offline, poll_once
from steer.control.plan import plan, plan_text, share_of
from steer.control.server import serve
from steer.control.version_commands import Outcome, apply_directory, list_versions, roll_back
from steer.dataplane.engine import EngineMissing
from steer.errors import Refused
from steer.lab.demo_command import add_demo_arguments, run_demo_command
from steer.lab.demo_pops import DemoError
from steer.lab.simulate_arguments import add_simulate_arguments
from steer.model.deployment import Deployment
from steer.sources.demand_file import read_demand
from steer.telemetry.log_lines import start_logging

OK, FAULTS, USAGE = 0, 1, 2
ABOVE = 2  # of `plan --fail-above`: more would move
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    if not hasattr(given, "run"):
        parser.print_help()
        return USAGE
    try:
        code: int = given.run(given)
    except Refused as refused:
        for fault in refused.faults:
            print(fault, file=sys.stderr)
        return FAULTS
    except (EngineMissing, DemoError) as fault:
        print(f"steer: {fault}", file=sys.stderr)
        return FAULTS
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or the interpreter complains at its end
        return FAULTS
    return code


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="steer",
        description="Authoritative nameserver that steers a CDN's clients past bad anycast routing.",
        epilog="A policy directory DIR holds steer.yaml and what it names. `steer demo` shows it all.",
    )
    parser.add_argument("--version", action="version", version=f"steer {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    _add_looking(commands)
    _add_changing(commands)
    _add_tools(commands)
    return parser


def _add_looking(commands: Any) -> None:
    """To serve, and to look without a change."""
    command = _add(commands, "serve", run_serve, "serve a policy directory; take up changes by itself")
    command.add_argument("directory", type=Path, metavar="DIR")
    command.add_argument("--verbose", action="store_true", help="log what helps to search for a fault")

    command = _add(commands, "check", run_check, "read everything, run the policy's tests, print every fault")
    command.add_argument("directory", type=Path, metavar="DIR")
    command.add_argument("--json", action="store_true", help="print what was found as one JSON object")

    command = _add(commands, "explain", run_explain, "say why a client gets its answer")
    command.add_argument("directory", type=Path, metavar="DIR")
    command.add_argument("name", metavar="NAME", help="such as www.cdn.example")
    command.add_argument("type", metavar="TYPE", nargs="?", default="A", help="record type (default: A)")
    command.add_argument(
        "--client", default="", metavar="PREFIX", help="the client's prefix, such as 133.1.0.0/24"
    )
    command.add_argument("--resolver", default="", metavar="ADDR", help="who asks (default: 127.0.0.1)")
    command.add_argument("--json", action="store_true", help="print everything as one JSON object")
    command.add_argument("--offline", action="store_true", help="ask no running server, even if there is one")

    command = _add(commands, "plan", run_plan, "say what a change would move, by demand")
    command.add_argument(
        "directories",
        type=Path,
        metavar="DIR",
        nargs="+",
        help="OLD NEW, or NEW alone: compared with what serves",
    )
    command.add_argument("--demand", type=Path, metavar="FILE", help="`prefix,weight` lines: what counts")
    command.add_argument(
        "--fail-above", default="", metavar="SHARE", help="such as 5%%: exit with 2 where more moves"
    )
    command.add_argument(
        "--steps", action="store_true", help="also what policy, POPs and data move, one after another"
    )
    command.add_argument("--json", action="store_true", help="print everything as one JSON object")


def _add_changing(commands: Any) -> None:
    """To change what a running server serves."""
    command = _add(commands, "apply", run_apply, "have the running server take up its directory")
    command.add_argument("directory", type=Path, metavar="DIR")
    command.add_argument(
        "--force", metavar="HASH", help="whatever it moves, if it is the version that `plan` showed"
    )

    command = _add(commands, "rollback", run_rollback, "serve a version of before")
    command.add_argument(
        "number", type=int, nargs="?", metavar="N", help="which (default: the one before what serves)"
    )
    command.add_argument("--list", action="store_true", help="print the versions that are kept")
    command.add_argument("--directory", "-d", type=Path, default=Path(), metavar="DIR", help=_default_help)

    command = _add(commands, "override", run_override, "break glass: force a target on a name, a zone or all")
    command.add_argument("scope", nargs="?", metavar="SCOPE", help="a zone, a steered name in full, or `all`")
    command.add_argument(
        "target", nargs="?", metavar="TARGET", help="anycast, region:NAME, pop:NAME or cname:HOST"
    )
    add_break_glass_arguments(command, "take the override of SCOPE back")

    command = _add(commands, "drain", run_drain, "send no new clients to a POP by DNS")
    command.add_argument("pop", nargs="?", metavar="POP")
    command.add_argument("--service", metavar="NAME", help="only in this service (default: in every one)")
    add_break_glass_arguments(command, "take the drain of POP back")


def _add_tools(commands: Any) -> None:
    """What has a module for its arguments."""
    command = _add(commands, "keys", run_keys, "make, show and roll the DNSSEC keys of a zone")
    add_keys_commands(command)

    command = _add(commands, "learn", run_learn, "learn from files of measurements")
    add_learn_arguments(command)

    command = _add(commands, "simulate", run_simulate_command, "replay days of a simulated Internet")
    add_simulate_arguments(command)

    command = _add(commands, "demo", run_demo, "a whole CDN on loopback, to play with")
    add_demo_arguments(command)


# --- commands ---


def run_serve(given: argparse.Namespace) -> int:
    """`steer serve`."""
    level = logging.DEBUG if given.verbose else logging.INFO
    start_logging(sys.stderr, journal="JOURNAL_STREAM" in os.environ, level=level)
    asyncio.run(serve(given.directory.absolute()))
    return OK


def run_check(given: argparse.Namespace) -> int:
    """`steer check`."""
    found = asyncio.run(check(given.directory.absolute(), os.environ, _tell))
    if given.json:
        lists = {"faults": found.faults, "warnings": found.warnings, "summary": found.summary}
        print(json.dumps({key: [str(each) for each in value] for key, value in lists.items()}, indent=2))
        return FAULTS if found.faults else OK
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for fault in found.faults:
        print(fault, file=sys.stderr)
    for line in found.summary:
        print(line)
    print(
        f"{counted(len(found.faults), 'fault')}, {counted(len(found.warnings), 'warning')}"
        if found.faults or found.warnings
        else "good"
    )
    return FAULTS if found.faults else OK


def run_explain(given: argparse.Namespace) -> int:
    """`steer explain`."""
    question = read_question(given.name, given.type, given.client, given.resolver)
    found, asked = (None, "no server was asked") if given.offline else asyncio.run(_explain_running(given))
    if found is None:
        found = explain(asyncio.run(_world(given.directory.absolute(), asked)), question)
        found["text"] = explanation_text(found)
    text = found.pop("text")
    print(
        json.dumps(found, indent=2, ensure_ascii=False) if given.json else text,
        end="\n" if given.json else "",
    )
    return OK if found["agrees"] is not False else FAULTS


def run_plan(given: argparse.Namespace) -> int:
    """`steer plan`: 0, 1 for faults, 2 where more moves than `--fail-above`."""
    if len(given.directories) > 2:
        print("steer plan: give NEW, or OLD and NEW", file=sys.stderr)
        return USAGE
    limit = share_of(given.fail_above) if given.fail_above else None
    demand = read_demand(given.demand) if given.demand else {}
    directories = tuple(each.absolute() for each in given.directories)
    found = asyncio.run(plan(directories, os.environ, demand, _tell_plan, with_steps=given.steps))
    if given.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for line in plan_text(found):
            print(line)
    return ABOVE if limit is not None and found["moved"] > limit else OK


def run_apply(given: argparse.Namespace) -> int:
    """`steer apply`."""
    return _say(asyncio.run(apply_directory(given.directory.absolute(), given.force, os.environ, _tell_plan)))


def run_rollback(given: argparse.Namespace) -> int:
    """`steer rollback`."""
    directory = given.directory.absolute()
    if given.list:
        return _say(asyncio.run(list_versions(directory, os.environ)))
    return _say(asyncio.run(roll_back(directory, given.number, os.environ)))


def run_override(given: argparse.Namespace) -> int:
    """`steer override`."""
    if (given.target is None) != given.remove if given.scope is not None else given.remove:
        print("steer override: give SCOPE and TARGET, or SCOPE and --remove", file=sys.stderr)
        return USAGE
    deployment = _deployment(given)
    if given.scope is None:
        return _print(lines_in_force(deployment, time.time()))
    scope = given.scope.lower().removesuffix(".")
    change = Change(scope, given.target or "", None, None, given.remove, given.reason, for_s(given))
    return _print(change_lines(deployment, change, time.time()))


def run_drain(given: argparse.Namespace) -> int:
    """`steer drain`."""
    if given.pop is None and given.remove:
        print("steer drain: give POP and --remove", file=sys.stderr)
        return USAGE
    deployment = _deployment(given)
    if given.pop is None:
        return _print(lines_in_force(deployment, time.time()))
    change = Change("", "", given.pop, given.service, given.remove, given.reason, for_s(given))
    _print(change_lines(deployment, change, time.time()))
    return OK if given.remove else _print(drain_consequences(deployment, given.pop, given.service))


def run_keys(given: argparse.Namespace) -> int:
    """`steer keys`."""
    said = run_keys_command(given, int(time.time()))
    for line in said.lines:
        print(line)
    for line in said.complaints:
        print(line, file=sys.stderr)
    return OK if said.is_good else FAULTS


def run_simulate_command(given: argparse.Namespace) -> int:
    """`steer simulate`."""
    from steer.lab.simulate_command import run_simulate  # seldom used, and slow to load

    for line in run_simulate(given, sys.stderr):
        print(line, flush=True)
    return OK


def run_learn(given: argparse.Namespace) -> int:
    """`steer learn`."""
    lines, refused = run_learn_command(
        given, lambda text: print(f"steer: learn: {text}", file=sys.stderr, flush=True)
    )
    for line in lines:
        print(line)
    for fault in refused:
        print(fault, file=sys.stderr)
    return FAULTS if refused else OK


def run_demo(given: argparse.Namespace) -> int:
    """`steer demo`."""
    run_demo_command(given)
    return OK


# --- helpers ---


def _add(commands: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + "."
    )
    command.set_defaults(run=run)
    return command


_default_help = "policy directory (default: %(default)s)"


def _deployment(given: argparse.Namespace) -> Deployment:
    """What the files say, or while they are refused what was last good, which is said."""
    found = deployment_at_hand(given.directory.absolute(), os.environ)
    if found.refused:
        first = f"; the first of {counted(len(found.refused), 'fault')} is {found.refused[0]}"
        print(f"steer: the policy is refused, so the last good one is used{first}", file=sys.stderr)
    return found.deployment


def counted(count: int, what: str) -> str:
    """`1 fault`, `2 faults`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


async def _explain_running(given: argparse.Namespace) -> tuple[dict[str, Any] | None, str]:
    """What the running server says; None where none does, and why."""
    directory = given.directory.absolute()
    query = {"name": given.name, "type": given.type, "client": given.client, "resolver": given.resolver}
    api = api_of(directory, os.environ)
    if api is None:
        return None, "no server could be asked, since steer.yaml has no `api`"
    found = await ask_server(api, directory, "/v1/explain", query)
    return found, f"no server of this directory answered at {api}"


async def _world(directory: Path, asked: str) -> Any:
    return await poll_once(await load_offline(directory, os.environ, _tell), asked)


def _print(lines: Iterable[str]) -> int:
    """Print lines as they come."""
    for line in lines:
        print(line)
    return OK


def _say(outcome: Outcome) -> int:
    for line in outcome.lines:
        print(line, file=sys.stdout if outcome.done else sys.stderr)
    return OK if outcome.done else FAULTS


def _tell_plan(progress: str) -> None:
    print(f"steer: {progress}", file=sys.stderr, flush=True)


def _tell(progress: str) -> None:
    print(f"steer: map: {progress}", file=sys.stderr, flush=True)
