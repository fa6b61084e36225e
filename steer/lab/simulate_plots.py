"""Pictures of a replay: where anycast and `auto` take the world, and RTTs by scheme. Needs Matplotlib."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steer.errors import Fault, Refused
from steer.lab.simulate import ANYCAST, AUTO, AUTO_ECS, IMC_ECS, IMC_RESOLVER, NEAREST, REGION, Outcome
from steer.lab.simulate_score import bin_edges_ms
from steer.lab.world import World

CATCHMENTS, DISTRIBUTION = "catchments.png", "rtt.png"
_SHOWN = (
    (ANYCAST, "black", "-"),
    (NEAREST, "tab:orange", "-"),
    (REGION, "tab:brown", "-"),
    (IMC_RESOLVER, "tab:purple", "--"),
    (IMC_ECS, "tab:blue", "--"),
    (AUTO, "tab:green", "-"),
    (AUTO_ECS, "tab:green", ":"),
)
_DPI = 110


def draw_pictures(outcome: Outcome, world: World, directory: Path) -> tuple[Path, Path]:
    """Write both pictures as PNG files below a directory, made where it is missing. Raises Refused where
    Matplotlib is not installed, or the directory cannot be used."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        fix = "install it with `pip install 'steer[plots]'`, or leave --plots out"
        raise Refused([Fault(str(directory), 0, 0, "pictures need Matplotlib", fix)]) from None
    paths = directory / CATCHMENTS, directory / DISTRIBUTION
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _catchments(Figure(figsize=(8, 8.2), dpi=_DPI), outcome, world, paths[0])
        _distribution(Figure(figsize=(8, 4.2), dpi=_DPI), outcome, paths[1])
    except OSError as error:
        fault = Fault(str(directory), 0, 0, f"cannot be written: {error.strerror}", "name another directory")
        raise Refused([fault]) from error
    return paths


def _catchments(figure: Any, outcome: Outcome, world: World, path: Path) -> None:
    """Every client prefix as a dot in the colour of the POP that serves it; above by anycast, below by
    `auto`; the POPs as triangles."""
    hues = _hues(world)
    said = (("before: anycast", outcome.before), ("after: auto, resolvers as they are", outcome.after))
    for number, (title, pop) in enumerate(said, start=1):
        axes = figure.add_subplot(2, 1, number)
        units = world.units
        axes.scatter(
            units.longitude_deg,
            units.latitude_deg,
            s=3,
            c=hues[pop],
            linewidths=0,
            alpha=0.7,
            rasterized=True,
        )
        axes.scatter(
            [each.longitude_deg for each in world.pops],
            [each.latitude_deg for each in world.pops],
            s=34,
            marker="^",
            c=hues,
            edgecolors="black",
            linewidths=0.8,
        )
        axes.set(xlim=(-180, 180), ylim=(-56, 72), xticks=[], yticks=[], aspect=1.2)
        axes.set_title(title, fontsize=10, loc="left")
    figure.tight_layout()
    figure.savefig(path)


def _distribution(figure: Any, outcome: Outcome, path: Path) -> None:
    """The share of users with at least this RTT, by scheme."""
    axes = figure.add_subplot(1, 1, 1)
    for line, colour, style in _SHOWN:
        histogram = outcome.tallies[line].histogram
        above = 1.0 - np.cumsum(histogram) / histogram.sum()
        label = f"{line.scheme} ({line.resolvers})"
        axes.plot(bin_edges_ms(), 100 * above, style, color=colour, label=label, linewidth=1.4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(xlim=(5, 800), ylim=(0.1, 100), xlabel="RTT in ms", ylabel="% of users with more")
    axes.set_xticks([5, 10, 20, 50, 100, 200, 500], labels=["5", "10", "20", "50", "100", "200", "500"])
    axes.set_yticks([0.1, 1, 10, 100], labels=["0.1", "1", "10", "100"])
    axes.grid(visible=True, which="both", linewidth=0.3)
    axes.legend(fontsize=7, loc="lower left")
    figure.tight_layout()
    figure.savefig(path)


def _hues(world: World) -> NDArray[np.float64]:
    """A colour for each POP, shape (p, 3): neighbours in longitude get unlike hues."""
    from matplotlib.colors import hsv_to_rgb

    count = len(world.pops)
    place = np.argsort(np.argsort([pop.longitude_deg for pop in world.pops]))
    hue = place * 0.381966 % 1.0  # the golden angle keeps neighbours apart
    value = np.where(place % 2 == 0, 0.9, 0.65)
    colours: NDArray[np.float64] = hsv_to_rgb(np.stack([hue, np.full(count, 0.85), value], axis=1))
    return colours
