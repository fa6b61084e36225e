"""What `steer simulate` runs and prints."""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

from steer.lab.simulate import SimulationSettings
from steer.lab.simulate_page import page
from steer.lab.simulate_plots import CATCHMENTS, DISTRIBUTION, draw_pictures
from steer.lab.simulate_report import Figures, summary_lines, table, worst_of
from steer.lab.simulate_run import SimulationOptions, run_seed, store_learner

QUICK = {"days": 2, "units": 2000}
_SECONDS_BETWEEN_LINES = 2.0


def run_simulate(given: argparse.Namespace, out: TextIO) -> Iterator[str]:
    """Run the command; gives lines to print; progress goes to `out`. Raises Refused for unsound data."""
    quick = QUICK if given.quick else {"days": 3, "units": 20_000}
    days = quick["days"] if given.days is None else given.days
    units = quick["units"] if given.units is None else given.units
    options = SimulationOptions(given.data, units, given.quick, SimulationSettings(days=days))
    if given.poison is not None:
        yield from _poisoned(given, options, out)
        return
    runs: list[Figures] = []
    for seed in range(given.seed, given.seed + given.seeds):
        settings = replace(options.settings, seed=seed)
        run = run_seed(replace(options, settings=settings), store_learner, _Progress(seed, out))
        runs.append(run.figures)
        measured = f"{run.figures['measurements']:,} measurements"
        yield f"seed {seed}, {run.world.name} world, {measured}; in % of users, RTTs in ms:"
        yield from table(run.figures)
        yield from summary_lines(run.figures["summary"])
        if given.plots is not None and seed == given.seed:
            for path in draw_pictures(run.outcome, run.world, given.plots):
                yield f"picture: {path}"
        if given.page is not None and seed == given.seed:
            draw_pictures(run.outcome, run.world, given.page.parent)
    worst = worst_of(runs)
    if len(runs) > 1:
        yield f"worst of {len(runs)} seeds:"
        yield from summary_lines(worst)
    if given.json is not None:
        given.json.write_text(json.dumps({"seeds": runs, "worst": worst}, indent=1) + "\n")
        yield f"all figures: {given.json}"
    if given.page is not None:
        text = page(runs, units, days, (CATCHMENTS, DISTRIBUTION), _command(given))
        given.page.write_text(text)
        yield f"page: {given.page}"


def _poisoned(given: argparse.Namespace, options: SimulationOptions, out: TextIO) -> Iterator[str]:
    """The run with poison, seed by seed."""
    from steer.lab.simulate_poisoned import poison_lines, run_poison  # loads DuckDB

    runs: list[Figures] = []
    for seed in range(given.seed, given.seed + given.seeds):
        settings = replace(options.settings, seed=seed)
        runs.append(run_poison(replace(options, settings=settings), given.poison, _Progress(seed, out)))
        yield from poison_lines(runs[-1])
    if given.json is not None:
        given.json.write_text(json.dumps({"seeds": runs}, indent=1) + "\n")


def _command(given: argparse.Namespace) -> str:
    """The command as it would be typed, without paths of this machine."""
    parts = ["steer simulate"]
    parts += ["--data DIR"] if given.data is not None else []
    parts += [f"--seed {given.seed} --seeds {given.seeds}"]
    parts += [
        f"--{name} {value}" for name in ("days", "units") if (value := getattr(given, name)) is not None
    ]
    parts += ["--quick"] if given.quick else []
    return " ".join([*parts, "--page docs/correction.md"])


class _Progress:
    """Tells what is going on, at most every few seconds."""

    def __init__(self, seed: int, out: TextIO) -> None:
        self._seed, self._out, self._told_s = seed, out, float("-inf")

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._told_s >= _SECONDS_BETWEEN_LINES:
            print(f"steer: seed {self._seed}: {text}", file=self._out, flush=True)
            self._told_s = time.monotonic()
