"""Results as Markdown tables; the same text goes to the terminal and into docs/performance.md."""

from collections.abc import Sequence
from typing import Any

Cells = Sequence[str]

PERCENT_DIGITS = 3


def table(head: Cells, rows: Sequence[Cells]) -> str:
    """A Markdown table with columns as wide as they need; the first is left-aligned, the rest right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    rule = [("-" * widths[0])] + ["-" * (width - 1) + ":" for width in widths[1:]]

    def line(row: Cells) -> str:
        cells = [row[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        return "| " + " | ".join(cells) + " |"

    return "\n".join([line(head), line(rule), *map(line, rows)])


def interval(value: dict[str, float], digits: int = 2) -> str:
    """A median and the interval around it."""
    return f"{value['median']:.{digits}f} ({value['low']:.{digits}f} to {value['high']:.{digits}f})"


def percent(share: float, digits: int = 2) -> str:
    """A share of 0..1 in percent."""
    return f"{share * 100:.{digits}f} %"


def verdict(bar: str, value: float, limit: float) -> Cells:
    """A row (bar, measured, limit, holds or missed) where smaller is better."""
    return [bar, f"{value:.2f}", f"<= {limit:g}", "holds" if value <= limit else "MISSED"]


def speed_table(rows: Sequence[dict[str, Any]], kind: str) -> str:
    """CPU per query and its ratio to the echo, for one load generator."""
    head = ["server", "CPU us/query", "x echo", "qps", "lost", "busy"]
    lines = []
    for row in rows:
        speed = row["speeds"].get(kind)
        if speed is not None:
            lines.append(
                [
                    row["server"],
                    interval(speed["cpu_us"]),
                    interval(speed["echo_ratio"]),
                    f"{speed['queries_per_second']['median']:,.0f}",
                    percent(speed["lost_share"], PERCENT_DIGITS),
                    percent(speed["busy_share"], 0),
                ]
            )
    return table(head, lines)


def footprint_table(rows: Sequence[dict[str, Any]]) -> str:
    """Memory, start-up, and whether the answers are right."""
    head = [
        "server",
        "asked for",
        "RSS MiB",
        "PSS MiB",
        "start s",
        "again s",
        "sent to the nearest site",
        "NOERROR",
    ]
    lines = []
    for row in rows:
        nearest = row["nearest_share"]
        noerror = min(speed["noerror_share"] for speed in row["speeds"].values())
        lines.append(
            [
                row["server"],
                row["note"],
                f"{row['rss_mib']:.0f}",
                f"{row['pss_mib']:.0f}",
                f"{row['start_s']:.2f}",
                f"{row['restart_s']:.2f}",
                "-" if nearest is None else percent(nearest, 1),
                "-" if nearest is None else percent(noerror, 1),
            ]
        )
    return table(head, lines)
