"""What a change moves, as JSON and as a table for people. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steer.decide.movement_tally import Amount, Movement, Tally

LINES_SHOWN = 10  # of each section
TABLE_CHARACTERS = 110
_LABEL, _CELL = 46, 16  # characters of a line's label and of each of its numbers
_CELLS_MAX = 4
_MOVERS_KEPT = 50
_SEEN = 0.0005  # shares below this are shown as no number
_WITHOUT = "no ECS"  # how the label of a column without ECS ends
_DIGITS = 9  # of a share in JSON

Json = dict[str, Any]


def movement_json(movement: Movement) -> Json:
    """All of it. Shares are of a column's total, 0..1."""
    entries = movement.entries
    return {
        "moved": _rounded(movement.share),
        "columns": [_column(tally) for tally in movement.tallies],
        "added": list(movement.added),
        "removed": list(movement.removed),
        "entries": {
            "before": sum(before for before, _ in entries.values()),
            "after": sum(after for _, after in entries.values()),
            "names": {name: {"before": each[0], "after": each[1]} for name, each in entries.items()},
        },
        "looks_at_resolvers": movement.beyond_view,
    }


def movement_table(body: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the table, from what `movement_json` gave."""
    columns = _alike_once(body["columns"])
    yield _line("", [each["label"] for each in columns])
    yield _line("  counted in", [_unit(each) for each in columns])
    yield _line("moved", [_percent(each["moved"]) for each in columns])
    if any(each["addresses"] for each in columns):
        yield _line("  of which to other addresses alone", [_percent(each["addresses"]) for each in columns])
    yield from _section(columns, "names", "by name")
    yield from _rules(columns)
    yield from _section(columns, "continents", "by continent")
    yield from _targets(columns)
    yield from _flows(columns)
    yield from _movers(columns)
    yield ""
    yield from _entries(body)
    if len({each["family"] for each in columns}) > 1:
        yield (
            "IPv4 addresses and IPv6 networks are never added up: nothing says how many clients they have; "
            "give --demand"
        )
    if body["looks_at_resolvers"]:
        yield "rules look at resolvers: queries with ECS count as those of a resolver that no rule names"


def share_text(share: float) -> str:
    """A share for people, such as `12.3 %`."""
    return _percent(share).strip()


def _column(tally: Tally) -> Json:
    total = tally.all.total
    families = {queries.family for queries in tally.column.queries}
    return {
        "label": tally.column.label,
        "unit": tally.column.unit,
        "family": families.pop() if len(families) == 1 else None,
        "decides": tally.column.decides,
        "total": total,
        "moved": _rounded(tally.all.share),
        "addresses": _part(tally.all.addresses, total),
        "names": {name: _amount(each, total) for name, each in sorted(tally.names.items())},
        "continents": {code or "?": _amount(each, total) for code, each in sorted(tally.continents.items())},
        "rules": {
            rule: {
                "before": _part(before, total),
                "after": _part(after, total),
                "moved": _part(moved, total),
            }
            for rule, (before, after, moved) in sorted(tally.rules.items())
        },
        "flows": [
            {"from": before, "to": after, "share": _part(weight, total)}
            for (before, after), weight in sorted(tally.flows.items(), key=lambda item: (-item[1], item[0]))
        ],
        "movers": [
            {
                "prefix": mover.prefix,
                "asn": mover.asn or None,
                "runs": mover.runs,
                "from": mover.before,
                "to": mover.after,
                "share": _part(mover.weight, total),
            }
            for mover in tally.movers.largest(_MOVERS_KEPT)
        ],
    }


def _amount(amount: Amount, total: float) -> Json:
    """`demand`: of the column's total; `moved`, `addresses`: of this amount."""
    return {
        "demand": _part(amount.total, total),
        "moved": _rounded(amount.share),
        "addresses": _part(amount.addresses, amount.total),
    }


def _part(weight: float, total: float) -> float:
    return _rounded(weight / total) if total > 0 else 0.0


def _rounded(share: float) -> float:
    return round(share, _DIGITS)


# --- the table ---


def _alike_once(columns: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Columns that say the same but for whether ECS is used become one."""
    kept: list[dict[str, Any]] = []
    for column in columns:
        bare = {key: value for key, value in column.items() if key not in ("label", "decides")}
        twin = next((each for each in kept if all(each[key] == bare[key] for key in bare)), None)
        if twin is None:
            kept.append({**bare, "label": column["label"]})
        elif column["label"].endswith(_WITHOUT):
            twin["label"] = column["label"].removesuffix(_WITHOUT).rstrip() or "all queries"
    some: list[Mapping[str, Any]] = [each for each in kept if each["total"] > 0]
    return some[:_CELLS_MAX] or [*kept[:1]]


def _section(columns: Sequence[Mapping[str, Any]], key: str, title: str) -> Iterator[str]:
    weights: dict[str, float] = {}
    for column in columns:
        for label, each in column[key].items():
            weights[label] = max(weights.get(label, 0.0), each["demand"] * each["moved"])
    moved = [label for label, weight in sorted(weights.items(), key=lambda item: -item[1]) if weight > 0]
    if not moved:
        return
    yield ""
    yield f"{title}, moved of its own"
    for label in moved[:LINES_SHOWN]:
        cells = [column[key].get(label) for column in columns]
        yield _line(f"  {label}", [_percent(each["moved"]) if each else "" for each in cells])
    yield from _left_out(moved)


def _rules(columns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What moved, by the rule that decides it now; rules that decide for more or fewer now say so."""
    weights: dict[str, float] = {}
    for column in columns:
        for rule, each in column["rules"].items():
            weight = max(each["moved"], abs(each["after"] - each["before"]))
            weights[rule] = max(weights.get(rule, 0.0), weight)
    some = [rule for rule, weight in sorted(weights.items(), key=lambda item: -item[1]) if weight > 0]
    if not some:
        return
    yield ""
    yield "by rule that decides now, moved of all"
    for rule in some[:LINES_SHOWN]:
        cells = [column["rules"].get(rule, {"before": 0, "after": 0, "moved": 0}) for column in columns]
        yield _line(f"  {rule}", [_percent(each["moved"]) for each in cells])
        if any(abs(each["after"] - each["before"]) >= _SEEN for each in cells):
            yield _line("    decides for", [_change(each["before"], each["after"]) for each in cells])
    yield from _left_out(some)


def _targets(columns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Every target's demand before and after, with what it gains and loses."""
    sums: dict[str, list[list[float]]] = {}
    for number, column in enumerate(columns):
        for flow in column["flows"]:
            for target, position in ((flow["from"], 0), (flow["to"], 1)):
                cells = sums.setdefault(target, [[0.0, 0.0, 0.0, 0.0] for _ in columns])
                cells[number][position] += flow["share"]
                if flow["from"] != flow["to"]:
                    cells[number][2 + (position == 0)] += flow["share"]
    changed = {
        target: max(gain + loss for _, _, gain, loss in cells)
        for target, cells in sums.items()
        if any(gain + loss > 0 for _, _, gain, loss in cells)
    }
    if not changed:
        return
    yield ""
    yield _line("by target, demand before > after", [])
    largest = sorted(changed, key=lambda each: -changed[each])
    for target in largest[:LINES_SHOWN]:
        yield _line(f"  {target}", [_change(cell[0], cell[1]) for cell in sums[target]])
        if any(min(cell[2:]) >= _SEEN for cell in sums[target]):
            yield _line(
                "    gains, losses", [f"+{_bare(cell[2])} -{_bare(cell[3])}" for cell in sums[target]]
            )
    yield from _left_out(largest)


def _flows(columns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    shares: dict[tuple[str, str], list[float]] = {}
    for number, column in enumerate(columns):
        for flow in column["flows"]:
            if flow["from"] != flow["to"]:
                cells = shares.setdefault((flow["from"], flow["to"]), [0.0] * len(columns))
                cells[number] += flow["share"]
    if not shares:
        return
    yield ""
    yield _line("from > to", [])
    largest = sorted(shares, key=lambda pair: -max(shares[pair]))
    for pair in largest[:LINES_SHOWN]:
        yield _line(f"  {pair[0]} > {pair[1]}", [_percent(share) for share in shares[pair]])
    yield from _left_out(largest)


def _movers(columns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    shown: list[object] = []
    for column in columns:
        largest = column["movers"][:LINES_SHOWN]
        if not largest or largest in shown:
            continue
        shown.append(largest)
        yield ""
        yield f"largest movers, {column['label']}"
        for mover in largest:
            asn = f"AS{mover['asn']}" if mover["asn"] else ""
            more = f" and {mover['runs'] - 1} more" if mover["runs"] > 1 else ""
            way = _cut(f"{mover['from']} > {mover['to']}", 54)
            yield f"  {_percent(mover['share'])}  {asn:<10} {mover['prefix'] + more:<32} {way}".rstrip()


def _left_out(items: Sequence[object]) -> Iterator[str]:
    if len(items) > LINES_SHOWN:
        yield f"  and {len(items) - LINES_SHOWN} more"


def _entries(body: Mapping[str, Any]) -> Iterator[str]:
    entries = body["entries"]
    change = entries["after"] / entries["before"] - 1 if entries["before"] else 0.0
    yield f"ECS entries (leaves of all names): {entries['before']:,} > {entries['after']:,} ({change:+.1%})"
    for what, names in (("new names", body["added"]), ("names no longer steered", body["removed"])):
        if names:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            yield _cut(f"{what}: {', '.join(names[:10])}{more}", TABLE_CHARACTERS)


def _line(label: str, cells: Sequence[str]) -> str:
    return (f"{_cut(label, _LABEL):<{_LABEL}}" + "".join(f"{cell:>{_CELL}}" for cell in cells)).rstrip()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _unit(column: Mapping[str, Any]) -> str:
    total = column["total"]
    for scale, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if total >= scale:
            return _cut(f"{total / scale:.3g}{letter} {column['unit']}", _CELL - 1)
    return _cut(f"{total:.3g} {column['unit']}", _CELL - 1)


def _percent(share: float) -> str:
    return f"{_bare(share):>5} %"


def _bare(share: float) -> str:
    """A share in per cent without its sign: what is there is never shown as nothing."""
    if 0 < share < _SEEN:
        return "<0.1"
    return f"{share * 100:.1f}"


def _change(before: float, after: float) -> str:
    return f"{_bare(before)} > {_bare(after)} %"
