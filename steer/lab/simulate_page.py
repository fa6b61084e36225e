"""docs/correction.md: what was simulated, how, what came of it, and what that does not show. Pure."""

import textwrap
from collections.abc import Sequence
from typing import Any

from steer.lab.simulate import AUTO_ECS, AUTO_SETTINGS
from steer.lab.simulate_caches import QUERIES_PER_USER_DAY, USUAL
from steer.lab.simulate_report import Figures, summary_lines, worst_of
from steer.lab.simulate_score import BUILD_SHARE, FAR_KM, HARM_MS, KEPT_HOURS, LATE_MS, OLD_HOURS

_WIDTH = 110
_HEAD = """# What correcting anycast is worth

`steer simulate` replays days of a simulated CDN: clients measure, steer learns, maps are built by the
code that serves, clients and their resolvers follow the answers, and every scheme is judged by the true
round-trip times, which no scheme sees. This page is written by
`{command}`.
"""

_METHOD = """
## How it is simulated

- **World.** {world} Valley-free routing with hot-potato ties takes every client's packets to a POP for
  each target: the anycast address, six regional ones, and each POP's own. Round-trip times follow
  distance with the stretch of measured ones; delays and switches of catchment begin and end at any
  minute. The parameters are fitted to published priors and were frozen before `auto` was tuned
  (steer/lab/world_parameters.py).
- **Clients.** {clients:,} draws of client prefixes by users, each a real /24 or /48 of its AS in the
  packaged geodata, which put 8 % of them into another metro. Resolvers are the ISPs' or public; about a
  fifth of users are behind one that sends ECS; resolvers of 9 % of users keep answers for up to {kept}
  hours beyond their TTL.
- **Measuring.** Page views measure as the page script does: anycast, the nearest region, the two
  nearest POPs by geodata, and one of the next nearest by chance; {measurements:,} measurements in
  {days} days.
- **Learning.** Each hour's measurements are learned by the store of evidence (DuckDB) as a file. `auto`
  is replayed over the hours; the answers of an hour come from what was measured until the hour before,
  and are out {build:.0f} minutes into it.
- **Policy.** `auto: {{margin: {auto.margin_ms:g}ms, return_margin: {auto.return_margin_ms:g}ms,
  min_samples: {auto.min_samples}, confidence: {confidence:.0f}%, holdout: {holdout:g}%}}` and the usual
  tolerance: bolder than the defaults (10ms, 5ms, 20, 95%, 2%), which correct less; found by seeds 101 to
  103, which are not shown here.
- **Answering.** Each hour a map is built over the units' own networks, and asked for every unit by its
  prefix and for every resolver by its address, holdout included, as the engines do (a test compares the
  reference engine).
- **Judging.** The first day only learns; the others are judged, hour by hour, weighted by users.
"""

_DEFINITIONS = """
## What the columns mean

| column | of users, in percent |
|---|---|
| > {late[0]:g} ms, > {late[1]:g} ms | so much slower served than by the best POP's own address at that hour |
| > {far:g} km | served from that much further away than the nearest POP is |
| old bad | their anycast path has been > {late[0]:g} ms off for > {old:g} hours, and they still are |
| better, worse | 75th percentile over a day > {harm:g} ms below or above that of anycast |
| moved | told something else than the anycast address |

"Old bad" is a share of those with such a path; "better" and "worse" are counted by client prefix, with the
noise of single requests. IMC 2015 is the scheme of Calder et al., "Analyzing the Performance of an Anycast
CDN": per client prefix or per resolver, the target with the lowest 25th percentile of the day before, among
those with at least 20 measurements, for all of the next day. "All-knowing" is no scheme but a bound: it knows
every true round-trip time of the hour before. Cache entries: per resolver, the distinct ECS
scopes among which its users fall over the distinct /24s or /48s, counted over all addresses of the networks
that it serves and weighted by users. Queries upstream: users ask at random, TTL 60; one name that each
user asks for {popularity:g} times a day (`steer/lab/simulate_caches.py`).
"""

_LIMITS = """
## What this does not show

- The world is a model: an AS graph of 2019 and 2021 with one relationship per pair of ASes, no
  capacities, no traffic engineering by others, and round-trip times that are drawn, not measured. Its
  figures agree with published ones because it was fitted to them.
- The draws of prefixes are few beside the Internet's: groups of clients hold fewer measured prefixes
  than a real CDN's would, and what one prefix teaches about its neighbours is worth less here.
- No POP fails or is overloaded; moving clients loads no path.
- Clients measure as often as the world says; a site with fewer page views learns more slowly.
- The clock is an hour; what happens within one is a share of it.
"""


def page(runs: Sequence[Figures], clients: int, days: int, pictures: Sequence[str], command: str) -> str:
    """The whole page, in Markdown. `pictures`: paths of the map and of the distribution, as the page links
    them; `runs`: at least one seed's figures."""
    first = runs[0]
    parts = [
        _HEAD.format(command=command),
        "\n## What came of it\n\n",
        *(line + "\n" for line in _results(runs)),
        *(f"\n![{title}]({path})\n" for title, path in zip(_TITLES, pictures, strict=True)),
        _METHOD.format(
            world=_WORLDS[first["world"]],
            clients=clients,
            kept=KEPT_HOURS,
            measurements=first["measurements"],
            days=days,
            build=60 * BUILD_SHARE,
            auto=AUTO_SETTINGS,
            confidence=100 * AUTO_SETTINGS.confidence,
            holdout=100 * AUTO_SETTINGS.holdout,
        ),
        _DEFINITIONS.format(
            late=LATE_MS, far=FAR_KM, old=OLD_HOURS, harm=HARM_MS, popularity=QUERIES_PER_USER_DAY[USUAL]
        ),
        _LIMITS,
    ]
    return _wrapped("".join(parts))


_TITLES = ("Which POP serves whom, before and after", "Round-trip times by scheme")
_WORLDS = {
    "real": "31 POPs of a real network at their real transit providers and peers, CAIDA's graph of AS "
    "relationships, APNIC's users per AS and country.",
    "synthetic": "31 invented POPs on an invented graph of the ASes of the packaged geodata.",
}


def _results(runs: Sequence[Figures]) -> list[str]:
    """The table of means over the seeds, and the summary of the worst."""
    lines = [
        f"Means over {len(runs)} seeds, in percent of users:" if len(runs) > 1 else "In percent of users:"
    ]
    lines += ["", *_markdown_table(runs), ""]
    lines.append("The worst of the seeds, each figure by itself:" if len(runs) > 1 else "In short:")
    lines += ["", *(f"- {line}" for line in summary_lines(worst_of(runs))), ""]
    caches = runs[0]["maps"]["tolerance"]
    upstream = ", ".join(
        f"{times:.1f} times at {popularity:g} a day"
        for popularity, times in zip(QUERIES_PER_USER_DAY, caches["upstream_times"], strict=True)
    )
    lines.append(
        f"The map of the last hour over the whole geodata has {caches['leaves']:,} leaves and "
        f"{caches['plans']:,} plans. Queries upstream, by how often a user asks for the name: {upstream}."
    )
    return lines


def _markdown_table(runs: Sequence[Figures]) -> list[str]:
    heads = ("scheme", "resolvers", "> 10 ms", "> 25 ms", "> 500 km", "old bad", "better", "worse", "moved")
    names = ("late_10ms", "late_25ms", "far_500km", "old_late_10ms", "better", "worse", "overridden")
    rows = ["| " + " | ".join((*heads, "p50", "p90", "p99 ms")) + " |", "|---|---" + "|---:" * 10 + "|"]
    for number, line in enumerate(runs[0]["lines"]):
        each = [run["lines"][number] for run in runs]
        cells = [f"{100 * _mean(item[name] for item in each):.2f}" for name in names]
        cells += [f"{_mean(item['rtt_ms'][name] for item in each):.0f}" for name in ("p50", "p90", "p99")]
        bold = "**" if (line["scheme"], line["resolvers"]) == (AUTO_ECS.scheme, AUTO_ECS.resolvers) else ""
        rows.append(f"| {bold}{line['scheme']}{bold} | {line['resolvers']} | {' | '.join(cells)} |")
    return rows


def _wrapped(text: str) -> str:
    """The page with long lines of prose cut at 110 characters."""
    lines: list[str] = []
    for line in text.split("\n"):
        if len(line) <= _WIDTH or line.startswith("|"):
            lines.append(line)
        else:
            hang = "  " if line.startswith(("- ", "  ")) else ""
            start = "  " if line.startswith("  ") else ""
            lines += textwrap.wrap(
                line.strip(), _WIDTH, initial_indent=start, subsequent_indent=hang, break_long_words=False
            )
    return "\n".join(lines)


def _mean(values: Any) -> float:
    listed = [float(value) for value in values]
    return sum(listed) / len(listed)
