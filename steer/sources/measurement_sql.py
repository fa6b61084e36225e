"""The rules of measurements as one DuckDB query, for files of millions of rows.

`checked_sql` gives every row a code (`why`, the place in Why counted from 1; 0: taken) and the columns of
CHECKED, which are null where the row is left out. Addresses are cut to units inside the query, so nothing
longer ever reaches a table, a temporary file or a log."""

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steer.model.evidence import RTT_MS_MAX, RTT_MS_MIN
from steer.sources.measurement_rules import (
    ADDRESS_PATTERN,
    AHEAD_S_MAX,
    ARM_PATTERN,
    DEFAULT_SERVICE,
    FIELD_CHARACTERS_MAX,
    FIELDS,
    NUMBER_PATTERN,
    SPECIAL_UNITS,
    TIME_PATTERN,
    UNIT_BITS,
    WEIGHT_MAX,
    WEIGHT_MIN,
    Measurements,
    Rules,
    Why,
    unit_of,
)

IPV6_FLAG = 1 << UNIT_BITS  # set in the code of an IPv6 unit: a code says family and unit in one number
NO_UNIT = -1  # code of a resolver that is not known
CHECKED = ("why", "time_s", "client", "resolver", "target", "pop", "arm", "rtt_ms", "weight")
WHY_TEXTS = ("", *map(str, Why))
_SPECIAL = -2
_BAD = -3
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}(?:/(?:2[4-9]|3[0-2]))?"


def unit_codes(texts: Sequence[str | None]) -> NDArray[np.int64]:
    """The code of each text's unit; _SPECIAL or _BAD, both negative, where it has none. Shape (n,)."""
    codes = np.full(len(texts), _BAD, dtype=np.int64)
    packed, rows = [], []
    for row, text in enumerate(texts):
        try:
            packed.append(socket.inet_pton(socket.AF_INET6, text or ""))
            rows.append(row)
        except (OSError, ValueError):
            found = unit_of(text or "")
            codes[row] = _code_of(found)
    if rows:
        whole = np.frombuffer(b"".join(packed), dtype=np.uint8).reshape(-1, 16)
        units = np.zeros((len(rows), 8), dtype=np.uint8)
        units[:, 2:] = whole[:, :6]
        unit = units.view(">u8").reshape(-1).astype(np.int64)
        codes[rows] = np.where(_is_special(unit), _SPECIAL, unit | IPV6_FLAG)
        for place in np.flatnonzero(unit == 0):  # ::/48 holds the IPv4 addresses in IPv6 form
            codes[rows[place]] = _code_of(unit_of(texts[rows[place]] or ""))
    return codes


def codes_of(family: NDArray[np.uint8], unit: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes of units; NO_UNIT where the family is 0."""
    code: NDArray[np.int64] = np.where(family == 6, unit | IPV6_FLAG, np.where(family == 4, unit, NO_UNIT))
    return code


def families_and_starts(codes: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """The family and the left-aligned key of units, from their codes (none of them NO_UNIT)."""
    family = np.where(codes & IPV6_FLAG, 6, 4).astype(np.uint8)
    return family, (codes & (IPV6_FLAG - 1)).astype(np.uint64) << np.uint64(64 - UNIT_BITS)


def prepare(connection: Any, rules: Rules, ids: Mapping[tuple[str, str], int]) -> None:
    """Give a DuckDB connection the function and the tables that `checked_sql` uses: which services, targets
    and POPs there are. `ids`: of each (service, target)."""
    import pyarrow as pa

    def unit6(texts: Any) -> Any:
        return pa.array(unit_codes(texts.to_pylist()))

    if not connection.execute("FROM duckdb_functions() WHERE function_name = 'steer_unit6'").fetchall():
        connection.create_function("steer_unit6", unit6, ["VARCHAR"], "BIGINT", type="arrow")
    targets = [(*key, number) for key, number in ids.items() if key[1] in rules.targets.get(key[0], ())]
    pops = [
        (service, pop, ids[service, f"pop:{pop}"], region)
        for service, regions in rules.regions.items()
        for pop, region in regions.items()
    ]
    for table, columns, rows in (
        ("known_targets", ("service", "target", "id"), targets),
        ("known_pops", ("service", "pop", "id", "region"), pops),
    ):
        types = {name: pa.int32() if name == "id" else pa.string() for name in columns}
        arrays = {name: pa.array([row[at] for row in rows], types[name]) for at, name in enumerate(columns)}
        connection.register("told", pa.table(arrays))
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS FROM told").fetchall()
        connection.unregister("told")


def checked_sql(raw: str, types: Mapping[str, str], rules: Rules) -> str:
    """The query over `raw`, whose columns are those of `types`: field -> `text`, `number` (DOUBLE) or
    `moment` (a timestamp)."""
    taken = ", ".join(f"CASE WHEN why = 0 THEN {name} END AS {name}" for name in CHECKED[1:])
    return f"SELECT why, {taken} FROM (SELECT *, {_why(types, rules)} AS why FROM ({_read_sql(raw, types)}))"


def _read_sql(raw: str, types: Mapping[str, str]) -> str:
    """Every field as what it means, null where it means nothing; names looked up."""
    longest = [
        f"length(raw.{name}) > {FIELD_CHARACTERS_MAX}" for name, kind in types.items() if kind == "text"
    ]
    text = {
        name: f"coalesce(raw.{name}, '')" if types.get(name) == "text" else "''" for name in FIELDS
    }  # an absent column is an empty one
    service = f"CASE WHEN {text['service']} = '' THEN '{DEFAULT_SERVICE}' ELSE raw.service END"
    if "service" not in types:
        service = f"'{DEFAULT_SERVICE}'"
    # in layers, so that nothing is computed twice: a query repeats what an alias stands for
    parsed = f"""
        SELECT {" OR ".join(longest) or "false"} AS is_long,
            {_time_sql(types["time"])} AS seconds,
            {_unit_sql(text["client"])} AS client_unit,
            CASE WHEN {text["resolver"]} = '' THEN {NO_UNIT} ELSE {_unit_sql(text["resolver"])} END
                AS resolver_unit,
            {service} AS service_name, {text["target"]} AS target_name, {text["pop"]} AS pop_name,
            {_number_sql("rtt_ms", types)} AS rtt_ms,
            {_is_given("rtt_ms", types)} AS has_rtt,
            CASE WHEN {_is_given("weight", types)} THEN {_number_sql("weight", types)} ELSE 1.0 END AS weight,
            {text["arm"]} AS arm
        FROM {raw} AS raw
    """
    return f"""
        SELECT parsed.*, TRY_CAST(floor(seconds) AS BIGINT) AS time_s,
            CASE WHEN {_special("client_unit")} THEN {_SPECIAL} ELSE client_unit END AS client,
            CASE WHEN resolver_unit = {_SPECIAL} OR {_special("resolver_unit")} THEN {NO_UNIT}
                ELSE resolver_unit END AS resolver,
            known_targets.id AS target, coalesce(known_pops.id, 0) AS pop, known_pops.region AS region
        FROM ({parsed}) AS parsed
        LEFT JOIN known_targets
            ON known_targets.service = service_name AND known_targets.target = target_name
        LEFT JOIN known_pops ON known_pops.service = service_name AND known_pops.pop = pop_name
    """


def _why(types: Mapping[str, str], rules: Rules) -> str:
    """The code of the first rule that a row breaks, in the order of Why."""
    services = ", ".join(_quoted(name) for name in rules.targets) or "''"
    tests = {
        Why.LONG_FIELD: "is_long",
        Why.BAD_TIME: "seconds IS NULL",
        Why.FUTURE: f"seconds > {rules.now_s + AHEAD_S_MAX!r}",
        Why.OLD: f"seconds < {rules.now_s - rules.keep_s!r}",
        Why.LEARNED: f"seconds <= {rules.after_s!r}" if rules.after_s > float("-inf") else "false",
        Why.BAD_CLIENT: f"client = {_BAD}",
        Why.SPECIAL_CLIENT: f"client = {_SPECIAL}",
        Why.BAD_RESOLVER: f"resolver = {_BAD}",
        Why.UNKNOWN_SERVICE: f"service_name NOT IN ({services})",
        Why.UNKNOWN_TARGET: "target IS NULL",
        Why.UNKNOWN_POP: "pop_name <> '' AND pop = 0",
        Why.MISLABELLED: "pop > 0 AND ("
        "(starts_with(target_name, 'pop:') AND target_name <> concat('pop:', pop_name)) OR "
        "(starts_with(target_name, 'region:') AND target_name <> concat('region:', region)))",
        Why.BAD_RTT: f"NOT coalesce(CASE WHEN has_rtt THEN rtt_ms BETWEEN {RTT_MS_MIN} AND {RTT_MS_MAX} "
        "ELSE target_name = 'anycast' AND pop > 0 END, false)",
        Why.BAD_WEIGHT: f"NOT coalesce(weight BETWEEN {WEIGHT_MIN} AND {WEIGHT_MAX}, false)",
        Why.BAD_ARM: f"NOT regexp_full_match(arm, '{ARM_PATTERN}') OR "
        f"regexp_matches(arm, '{ADDRESS_PATTERN}')",
    }
    cases = " ".join(f"WHEN {test} THEN {WHY_TEXTS.index(why)}" for why, test in tests.items())
    return f"CAST(CASE {cases} ELSE 0 END AS TINYINT)"


def _time_sql(kind: str) -> str:
    """Unix seconds, without fractions where the text is a date."""
    if kind == "number":
        return "CASE WHEN isnan(raw.time) THEN NULL ELSE raw.time END"
    if kind == "moment":
        return "epoch(raw.time)"
    local = "epoch(try_cast(concat(raw.time[1:10], ' ', raw.time[12:19]) AS TIMESTAMP))"
    offset = "(CAST(raw.time[-5:-4] AS INTEGER) * 60 + CAST(raw.time[-2:] AS INTEGER)) * 60"
    sign = "CASE raw.time[-6:-6] WHEN '-' THEN -1 ELSE 1 END"
    zone = f"CASE WHEN raw.time[-1:] IN ('Z', 'z') THEN 0 ELSE {sign} * {offset} END"
    return (
        f"CASE WHEN regexp_full_match(raw.time, '{NUMBER_PATTERN}') THEN {_cast('raw.time')} "
        f"WHEN regexp_full_match(raw.time, '{TIME_PATTERN}') THEN {local} - {zone} END"
    )


def _unit_sql(text: str) -> str:
    """The code of the unit of an address or a prefix, or _BAD, or for IPv6 _SPECIAL."""
    octets = [f"TRY_CAST(split_part({text}, '.', {place}) AS BIGINT)" for place in (1, 2, 3)]
    return (
        f"CASE WHEN contains({text}, ':') THEN steer_unit6({text}) "
        f"WHEN regexp_full_match({text}, '{_IPV4}') "
        f"THEN ({octets[0]} << 40) + ({octets[1]} << 32) + ({octets[2]} << 24) ELSE {_BAD} END"
    )


def _special(unit: str) -> str:
    return " OR ".join(f"{unit} BETWEEN {low} AND {high}" for low, high in SPECIAL_UNITS[4])


def _number_sql(name: str, types: Mapping[str, str]) -> str:
    if types.get(name) == "number":
        return f"raw.{name}"
    if name not in types:
        return "CAST(NULL AS DOUBLE)"
    return f"CASE WHEN regexp_full_match(raw.{name}, '{NUMBER_PATTERN}') THEN {_cast(f'raw.{name}')} END"


def _is_given(name: str, types: Mapping[str, str]) -> str:
    if name not in types:
        return "false"
    return f"raw.{name} IS NOT NULL" if types[name] == "number" else f"coalesce(raw.{name}, '') <> ''"


def _cast(value: str) -> str:
    """A number's text as DOUBLE; one too large for it is infinite, as in Python."""
    infinite = f"CASE WHEN starts_with({value}, '-') THEN -1 ELSE 1 END * CAST('inf' AS DOUBLE)"
    return f"coalesce(try_cast({value} AS DOUBLE), {infinite})"


def _is_special(unit: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.zeros(len(unit), dtype=bool)
    for low, high in SPECIAL_UNITS[6]:
        found |= (unit >= low) & (unit <= high)
    return found


def _code_of(found: tuple[int, int] | Why) -> int:
    if isinstance(found, Why):
        return _SPECIAL if found is Why.SPECIAL_CLIENT else _BAD
    family, unit = found
    return unit | IPV6_FLAG if family == 6 else unit


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def arrow_of(taken: Measurements, ids: Mapping[tuple[str, str], int]) -> Any:
    """Measurements as an Arrow table of CHECKED."""
    import pyarrow as pa

    keys = list(zip(taken.service, taken.target, strict=True))
    pops = [ids[key[0], f"pop:{pop}"] if pop else 0 for key, pop in zip(keys, taken.pop, strict=True)]
    return pa.table(
        {
            "why": pa.array(np.zeros(len(taken), dtype=np.int8)),
            "time_s": pa.array(taken.time_s),
            "client": pa.array(codes_of(taken.family, taken.client)),
            "resolver": pa.array(codes_of(taken.resolver_family, taken.resolver)),
            "target": pa.array([ids[key] for key in keys], pa.int32()),
            "pop": pa.array(pops, pa.int32()),
            "arm": pa.array(list(taken.arm), pa.string()),
            "rtt_ms": pa.array(taken.rtt_ms, from_pandas=True),
            "weight": pa.array(taken.weight),
        }
    )
