"""A replay's figures: as plain values for JSON, and as a table for people. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from steer.lab.simulate import ANYCAST, AUTO, AUTO_ECS, IMC_ECS, LINES, Line, Outcome
from steer.lab.simulate_caches import USUAL
from steer.lab.simulate_score import LATE_MS, QUANTILES, Tally, quantiles_ms
from steer.lab.world import World

Figures = dict[str, Any]
BARS = (  # (figure of the summary, the largest value that is good, as a share or a factor)
    ("old bad paths left", 0.05),
    ("users worse than by anycast", 0.01),
    ("cache entries over fixed scopes", 0.10),
    ("queries upstream over none with ECS", 3.0),
    ("old bad paths left by tolerance", 0.01),
)


def line_figures(line: Line, outcome: Outcome, world: World) -> Figures:
    """All figures of one line; shares are of users."""
    tally = outcome.tallies[line]
    worse, better, same = outcome.harm[line]
    users = float(world.units.users.sum()) * max(tally.hours, 1)
    return {
        "scheme": line.scheme,
        "resolvers": line.resolvers,
        **{
            f"late_{limit:g}ms": float(late / tally.weight)
            for limit, late in zip(LATE_MS, tally.late, strict=True)
        },
        "far_500km": tally.far / tally.weight,
        "old_late_10ms": tally.old_late / max(tally.old_weight, 1e-9),
        "better": better,
        "worse": worse,
        "same": same,
        "overridden": tally.overridden / users,
        "changed_per_hour": tally.changed / users,
        "flapped_per_hour": tally.flapped / users,
        "rtt_ms": {
            f"p{round(100 * share)}": value
            for share, value in zip(QUANTILES, quantiles_ms(tally.histogram), strict=True)
        },
        "load": _loads(tally, world),
    }


def seed_figures(outcome: Outcome, world: World, wholes: Mapping[str, Figures]) -> Figures:
    """All figures of one seed. `wholes`: of maps over the whole geodata, with tolerance and, if it was made,
    without."""
    lines = [line_figures(line, outcome, world) for line in LINES]
    of = {(each["scheme"], each["resolvers"]): each for each in lines}
    auto, everywhere = of[AUTO.scheme, AUTO.resolvers], of[AUTO_ECS.scheme, AUTO_ECS.resolvers]
    tally = outcome.tallies[ANYCAST]
    return {
        "world": world.name,
        "seed": world.seed,
        "users_with_old_bad_paths": tally.old_weight / tally.weight,
        "lines": lines,
        "maps": dict(wholes),
        "summary": {
            "old bad paths left": everywhere["old_late_10ms"],
            "old bad paths left, resolvers as they are": auto["old_late_10ms"],
            "users worse than by anycast": everywhere["worse"],
            "users worse than by anycast, resolvers as they are": auto["worse"],
            "users better than by anycast": everywhere["better"],
            "users better by IMC 2015 per /24": of[IMC_ECS.scheme, IMC_ECS.resolvers]["better"],
            "cache entries over fixed scopes": wholes["tolerance"]["entry_share"],
            "cache entries over fixed scopes, all together": wholes["tolerance"]["entry_total_share"],
            "queries upstream over none with ECS": wholes["tolerance"]["upstream_times"][USUAL],
            **_loss(wholes),
        },
    }


def _loss(wholes: Mapping[str, Figures]) -> Figures:
    """What the tolerance costs, where it is known."""
    if "exact" not in wholes:
        return {}
    left = {name: whole["old_late_10ms"] for name, whole in wholes.items()}
    return {"old bad paths left by tolerance": left["tolerance"] - left["exact"]}


def worst_of(seeds: Sequence[Figures]) -> Figures:
    """The worst value of each figure of the summary over several seeds."""
    names = seeds[0]["summary"]
    return {
        name: (min if "better" in name else max)(each["summary"][name] for each in seeds) for name in names
    }


def table(figures: Figures) -> list[str]:
    """One seed's lines for people, in percent of users and ms."""
    head = (
        f"{'scheme':<24} {'resolvers':<13} {'>10 ms':>7} {'>25 ms':>7} {'>500 km':>8} {'old bad':>8} "
        f"{'better':>7} {'worse':>6} {'moved':>6} {'p50':>5} {'p90':>5} {'p99':>5}"
    )
    rows = [head]
    for each in figures["lines"]:
        shares = [100 * each[name] for name in ("late_10ms", "late_25ms", "far_500km", "old_late_10ms")]
        more = [100 * each[name] for name in ("better", "worse", "overridden")]
        rtt = each["rtt_ms"]
        rows.append(
            f"{each['scheme']:<24} {each['resolvers']:<13} {shares[0]:7.2f} {shares[1]:7.2f} "
            f"{shares[2]:8.2f} {shares[3]:8.2f} {more[0]:7.2f} {more[1]:6.2f} {more[2]:6.2f} "
            f"{rtt['p50']:5.0f} {rtt['p90']:5.0f} {rtt['p99']:5.0f}"
        )
    return rows


def summary_lines(summary: Figures) -> list[str]:
    """The summary against the bars that `auto` is held to."""
    bars = dict(BARS)
    lines = []
    for name, value in summary.items():
        said = f"{value:.2f} times" if name.startswith("queries") else f"{100 * value:.2f} %"
        bar = bars.get(name)
        verdict = ""
        if bar is not None:
            limit = f"{bar:g} times" if name.startswith("queries") else f"{100 * bar:g} %"
            verdict = f"  (bar: at most {limit}: {'held' if value <= bar else 'MISSED'})"
        elif name == "users better than by anycast":
            least = summary["users better by IMC 2015 per /24"]
            verdict = f"  (bar: at least {100 * least:.2f} %: {'held' if value >= least else 'MISSED'})"
        lines.append(f"{name}: {said}{verdict}")
    return lines


def _loads(tally: Tally, world: World) -> dict[str, float]:
    """The share of users that each POP serves."""
    shares = (tally.load / tally.load.sum()).tolist()
    return {pop.name: share for pop, share in zip(world.pops, shares, strict=True)}
