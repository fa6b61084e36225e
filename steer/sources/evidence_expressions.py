"""The two aggregations of evidence, each one Ibis expression, so that the engine which runs it is a choice.

DuckDB runs them by default, on this machine; Spark or ClickHouse where one machine is outgrown. Sums are of
whole numbers only, so that every engine, and every order of rows, gives the same. Units are codes (see
`measurement_sql`): one number for family and /24 or /48."""

import math
from dataclasses import dataclass
from typing import Literal

import ibis
import ibis.expr.types as ir

from steer.model.evidence import SKETCH_GAMMA

NO_RTT = -32768  # bucket of rows that only say which POP served
DAY_S = 86400
WEIGHT_PARTS = 1000  # a weight is kept in thousandths
COUNT_PARTS = 1 << 20  # a capped count is summed in these parts

CHECKED_SCHEMA = ibis.schema(
    {
        "why": "int8",
        "time_s": "int64",
        "client": "int64",
        "resolver": "int64",
        "target": "int32",
        "pop": "int32",
        "arm": "string",
        "rtt_ms": "float64",
        "weight": "float64",
    }
)
CELL_KEYS = ("period", "client", "resolver", "target", "pop", "arm", "bucket")
CELL_SUMS = ("count", "weight", "tenths", "squares")
CELL_SCHEMA = ibis.schema(
    {
        "period": "int64",
        "client": "int64",
        "resolver": "int64",
        "target": "int32",
        "pop": "int32",
        "arm": "string",
        "bucket": "int16",
        "count": "int64",
        "weight": "int64",
        "tenths": "int64",
        "squares": "int64",
    }
)
_SOURCE = ("member", "client", "target", "period", "timed")  # who served and how fast are capped apart
MEMBER_SCHEMA = ibis.schema({"member": "int64", "grp": "int32", "cap": "int64"})


@dataclass(frozen=True, slots=True)
class Window:
    """Which cells are read, and as which periods: from `oldest_s` on, by whole days before `days_until_s`.
    `anycast`: the number of that target; `cap`: the least of the members' caps."""

    oldest_s: int
    days_until_s: int
    anycast: int
    cap: int


def unit_cells(checked: ir.Table, period_s: int) -> ir.Table:
    """Rows that were checked, as unit cells, one for each (CELL_KEYS) with the sums of CELL_SUMS: rows;
    weights in thousandths; RTTs in tenths of a ms, and their squares; and the latest time. Rows left out are
    counted by `why`, in cells whose keys are null."""
    rows = checked.select(
        "why",
        "time_s",
        "client",
        "resolver",
        "target",
        "pop",
        "arm",
        period=(checked.time_s - checked.time_s % period_s).cast("int64"),
        bucket=(checked.rtt_ms.ln() / math.log(SKETCH_GAMMA)).ceil().cast("int16").fill_null(NO_RTT),
        weight_parts=(checked.weight * WEIGHT_PARTS).round().cast("int64"),
        tenths=(checked.rtt_ms * 10).round().cast("int64").fill_null(0),
    )
    return rows.group_by("why", *CELL_KEYS).agg(
        count=rows.count(),
        weight=rows.weight_parts.sum().cast("int64"),
        tenths=rows.tenths.sum().cast("int64"),
        squares=(rows.tenths * rows.tenths).sum().cast("int64"),
        newest_s=rows.time_s.max(),
    )


def pooled_cells(cells: ir.Table) -> ir.Table:
    """Unit cells by whole days, without resolvers: what is kept of old ones."""
    days = cells.mutate(period=cells.period - cells.period % DAY_S, resolver=ibis.literal(-1, "int64"))
    return days.group_by(*CELL_KEYS).agg(**{name: days[name].sum().cast("int64") for name in CELL_SUMS})


def group_cells(
    cells: ir.Table, members: ir.Table, window: Window, by: Literal["client", "resolver"]
) -> ir.Table:
    """Unit cells as cells of groups: rows (grp, target, period, bucket, parts); `parts`: the count in
    1/COUNT_PARTS. Rows with bucket NO_RTT count anycast measurements that the POP `target` served. Targets
    and POPs are numbers of the caller's choice; POP -1 is unknown.

    `members`: which units (or resolvers' units) belong to which group; `cap`: as how many measurements one
    client unit may count for (target, period) in that group, at least `window.cap`. Weights only shift the
    share of buckets."""
    rows = _sketch_rows(cells, window, by)
    each = rows.w / rows.n
    totals = rows.group_by(*_SOURCE).agg(
        all_count=rows.n.sum(), all_weight=rows.w.sum(), least=each.min(), most=each.max()
    )
    # most sources measure little and weigh all alike: they count as they are, without a join of all with all
    special = totals.filter((totals.all_count > window.cap) | (totals.least != totals.most))
    plain = rows.anti_join(special, _SOURCE).select(
        *_SOURCE, "bucket", "n", w="n", all_count="n", all_weight="n"
    )
    heavy = rows.semi_join(special, _SOURCE)
    heavy = heavy.group_by(*_SOURCE, "bucket").agg(n=heavy.n.sum(), w=heavy.w.sum())
    heavy = heavy.join(special, _SOURCE).select(*_SOURCE, "bucket", "n", "w", "all_count", "all_weight")
    heavy = heavy.cast({"n": "int64", "w": "int64", "all_count": "int64", "all_weight": "int64"})
    found = ibis.union(plain, heavy, distinct=False).join(members, "member")
    counted = ibis.least(found.all_count, found.cap).cast("float64")
    parts = (counted * COUNT_PARTS * found.w / found.all_weight).round().cast("int64")
    found = found.select("grp", "target", "period", "bucket", parts=parts)
    found = found.group_by("grp", "target", "period", "bucket").agg(parts=found.parts.sum().cast("int64"))
    return found.filter(found.parts > 0)


def _sketch_rows(cells: ir.Table, window: Window, by: Literal["client", "resolver"]) -> ir.Table:
    """One row a bucket, and one more for each anycast cell whose POP is known."""
    kept = cells.filter(cells.period >= window.oldest_s)
    if by == "resolver":
        kept = kept.filter(kept.resolver >= 0, kept.period >= window.days_until_s)
    day = kept.period - kept.period % DAY_S
    kept = kept.mutate(
        period=ibis.ifelse(kept.period < window.days_until_s, day, kept.period), member=kept[by]
    )
    timed = kept.filter(kept.bucket != NO_RTT).mutate(timed=ibis.literal(1, "int8"))
    served = kept.filter(kept["pop"] >= 0, kept.target == window.anycast)
    served = served.mutate(target=served["pop"], bucket=ibis.literal(NO_RTT, "int16"))
    served = served.mutate(timed=ibis.literal(0, "int8"))
    columns = ("member", "client", "target", "period", "timed", "bucket")
    return ibis.union(
        *(rows.select(*columns, n=rows["count"], w=rows.weight) for rows in (timed, served)), distinct=False
    )
