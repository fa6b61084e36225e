"""Which measurements are taken, and why the others are left out: the rules, for one row in plain Python.

One measurement is a row of FIELDS: when, which client (cut to its /24 or /48 at once), through which
resolver, which target it asked for, which POP served, and the round trip in ms. `measurement_lines` puts
these rules to JSON lines; `measurement_sql` says the same for files of millions of rows, and a test holds the
two together."""

import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

import numpy as np
from numpy.typing import NDArray

from steer.model.evidence import IPV4_UNIT_BITS, IPV6_UNIT_BITS, RTT_MS_MAX, RTT_MS_MIN
from steer.model.service import Service
from steer.model.special_blocks import SPECIAL_BLOCKS_IPV4, SPECIAL_BLOCKS_IPV6

FIELDS = ("time", "client", "resolver", "service", "target", "pop", "rtt_ms", "weight", "arm")
REQUIRED = ("time", "client", "target", "rtt_ms")
FIELD_CHARACTERS_MAX = 64  # of every field, as text
AHEAD_S_MAX = 300  # a clock may be so far ahead of ours
WEIGHT_MIN, WEIGHT_MAX = 0.001, 1000.0
UNIT_BITS = 48  # a unit is kept as the upper 48 bits of its left-aligned key
SPARE_BITS = 64 - UNIT_BITS
DEFAULT_SERVICE = "default"
NUMBER_PATTERN = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
TIME_PATTERN = (
    r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]"
    r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.[0-9]{1,9})?([Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
ARM_PATTERN = r"[A-Za-z0-9:._/-]*"
ADDRESS_PATTERN = r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]|::|(?:[0-9A-Fa-f]+:){4}"  # in an arm: none is to be kept


class Why(StrEnum):
    """Why a row is left out; in the order in which a row is looked at, so that the first one counts."""

    BAD_LINE = "bad_line"  # no JSON object, or one with unknown keys
    LONG_FIELD = "long_field"
    BAD_TIME = "bad_time"
    FUTURE = "future"  # by a clock more than AHEAD_S_MAX ahead
    OLD = "old"  # older than what is kept
    LEARNED = "learned"  # not newer than what was learned from an earlier form of the same file
    BAD_CLIENT = "bad_client"  # no address or prefix, or a prefix shorter than a unit
    SPECIAL_CLIENT = "special_client"  # private, reserved, or another not globally reachable address
    BAD_RESOLVER = "bad_resolver"  # neither empty nor an address or prefix
    UNKNOWN_SERVICE = "unknown_service"
    UNKNOWN_TARGET = "unknown_target"
    UNKNOWN_POP = "unknown_pop"
    MISLABELLED = "mislabelled"  # served by another POP than the one asked for, or by none of the region
    BAD_RTT = "bad_rtt"  # no number, or outside RTT_MS_MIN..RTT_MS_MAX
    BAD_WEIGHT = "bad_weight"
    BAD_ARM = "bad_arm"  # of other characters than ARM_PATTERN's, or with an address in it


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known, and when it is. `targets`: service -> text of each target; `regions`: service -> POP ->
    its region, '' none. Rows at or before `after_s` were learned before."""

    targets: Mapping[str, frozenset[str]]
    regions: Mapping[str, Mapping[str, str]]
    now_s: float
    keep_s: float
    after_s: float = float("-inf")

    @classmethod
    def of(cls, services: Mapping[str, Service], keep_s: float, now_s: float) -> "Rules":
        """The rules of a deployment at one moment."""
        return cls(
            {name: frozenset(map(str, service.targets())) for name, service in services.items()},
            {
                name: {pop.name: pop.region or "" for pop in service.pops.values()}
                for name, service in services.items()
            },
            now_s,
            keep_s,
        )


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measurements that were taken, in columns, shape (n,) each. `family` 4 or 6; `client`: the upper 48 bits
    of the left-aligned key of its /24 or /48; `resolver` likewise, with `resolver_family` 0 where unknown;
    `rtt_ms` NaN: only which POP served is known. '' for an unknown `pop` or `arm`."""

    time_s: NDArray[np.int64]
    family: NDArray[np.uint8]
    client: NDArray[np.int64]
    resolver_family: NDArray[np.uint8]
    resolver: NDArray[np.int64]
    service: Sequence[str]
    target: Sequence[str]
    pop: Sequence[str]
    rtt_ms: NDArray[np.float64]
    weight: NDArray[np.float64]
    arm: Sequence[str]

    def __len__(self) -> int:
        return len(self.time_s)


Row = tuple[int, int, int, int, int, str, str, str, float, float, str]
"""One measurement, in the order of Measurements' columns."""


@dataclass(slots=True)
class Checker:
    """Puts the rules to rows, each field a text, a number or None."""

    rules: Rules
    _units: dict[str, tuple[int, int] | Why] = field(default_factory=dict)

    def check(self, row: Mapping[str, object]) -> Row | Why:
        """The measurement, its addresses cut to units; or why it is left out."""
        if any(len(value) > FIELD_CHARACTERS_MAX for value in row.values() if isinstance(value, str)):
            return Why.LONG_FIELD
        time_s = self._time(row.get("time"))
        if isinstance(time_s, Why):
            return time_s
        units = self._addresses(row)
        if isinstance(units, Why):
            return units
        names = self._names(row)
        if isinstance(names, Why):
            return names
        numbers = _numbers(row, names)
        if isinstance(numbers, Why):
            return numbers
        arm = _text(row.get("arm"))
        if arm is None or not re.fullmatch(ARM_PATTERN, arm) or re.search(ADDRESS_PATTERN, arm):
            return Why.BAD_ARM
        return (time_s, *units, *names, *numbers, arm)

    def _time(self, value: object) -> int | Why:
        seconds = time_of(value)
        if seconds is None:
            return Why.BAD_TIME
        if seconds > self.rules.now_s + AHEAD_S_MAX:
            return Why.FUTURE
        if seconds < self.rules.now_s - self.rules.keep_s:
            return Why.OLD
        if seconds <= self.rules.after_s:
            return Why.LEARNED
        return int(seconds // 1)

    def _addresses(self, row: Mapping[str, object]) -> tuple[int, int, int, int] | Why:
        client = self._unit(_text(row.get("client")) or "")
        if isinstance(client, Why):
            return client
        text = _text(row.get("resolver"))
        if text == "":
            return (*client, 0, 0)
        resolver = self._unit(text or "")
        if resolver is Why.SPECIAL_CLIENT:  # a forwarder in a home network says nothing, and harms nothing
            return (*client, 0, 0)
        if isinstance(resolver, Why):
            return Why.BAD_RESOLVER
        return (*client, *resolver)

    def _unit(self, text: str) -> tuple[int, int] | Why:
        if text not in self._units:
            self._units[text] = unit_of(text)
        return self._units[text]

    def _names(self, row: Mapping[str, object]) -> tuple[str, str, str] | Why:
        service = _text(row.get("service"))
        service = DEFAULT_SERVICE if service == "" else service
        if service is None or service not in self.rules.targets:
            return Why.UNKNOWN_SERVICE
        target, pop = _text(row.get("target")), _text(row.get("pop"))
        if target is None or target not in self.rules.targets[service]:
            return Why.UNKNOWN_TARGET
        regions = self.rules.regions[service]
        if pop is None or (pop != "" and pop not in regions):
            return Why.UNKNOWN_POP
        if pop and target.startswith("pop:") and target != f"pop:{pop}":
            return Why.MISLABELLED
        if pop and target.startswith("region:") and target != f"region:{regions[pop]}":
            return Why.MISLABELLED
        return service, target, pop


def unit_of(text: str) -> tuple[int, int] | Why:
    """The family and unit (upper 48 bits of its key) of an address or a prefix; why it has none. An IPv4
    address inside `::ffff:0:0/96` is an IPv4 address (RFC 4291 section 2.5.5.2)."""
    address, slash, digits = text.partition("/")
    if slash and not re.fullmatch(r"0|[1-9][0-9]{0,2}", digits):
        return Why.BAD_CLIENT
    family, widest = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    try:
        packed = socket.inet_pton(family, address)
    except (OSError, ValueError):
        return Why.BAD_CLIENT
    length = int(digits) if slash else widest
    if widest == 128 and packed[:12] == bytes(10) + b"\xff\xff" and length >= 96:
        packed, length, family, widest = packed[12:], length - 96, socket.AF_INET, 32
    unit_bits = IPV4_UNIT_BITS if widest == 32 else IPV6_UNIT_BITS
    if not unit_bits <= length <= widest:
        return Why.BAD_CLIENT
    unit = int.from_bytes(packed[:3] + bytes(3) if widest == 32 else packed[:6], "big")
    number = 4 if widest == 32 else 6
    if any(low <= unit <= high for low, high in SPECIAL_UNITS[number]):
        return Why.SPECIAL_CLIENT
    return number, unit


def unit_text(family: int, unit: int) -> str:
    """A unit as a prefix: `193.0.6.0/24`, `2a00:1450:4001::/48`."""
    if family == 4:
        return f"{IPv4Address(unit >> 16)}/{IPV4_UNIT_BITS}"
    return f"{IPv6Address(unit << 80)}/{IPV6_UNIT_BITS}"


def time_of(value: object) -> float | None:
    """Unix seconds, from a number or a text that is a number or an RFC 3339 time; None: it is neither."""
    if isinstance(value, str):
        match = re.fullmatch(TIME_PATTERN, value)
        if match is None:
            return float(value) if re.fullmatch(NUMBER_PATTERN, value) else None
        try:
            moment = np.datetime64(value[:10].replace(" ", "T") + "T" + value[11:19], "s").astype(int)
        except ValueError:  # such as the 30th of February
            return None
        offset_s = (int(match[9]) * 60 + int(match[10])) * 60 if match[8] else 0
        return float(moment - (-offset_s if match[8] == "-" else offset_s))
    return _number(value)


def _special_units(family: int) -> tuple[tuple[int, int], ...]:
    """The first and last unit of every special-purpose block; a unit that holds a longer block counts."""
    blocks = SPECIAL_BLOCKS_IPV4 if family == 4 else SPECIAL_BLOCKS_IPV6
    shift = 16 if family == 4 else -80
    ends = ((int(block.network_address), int(block.broadcast_address)) for block in blocks)
    pairs = (
        (low << 16, (high << 16) | 0xFFFF) if shift > 0 else (low >> 80, high >> 80) for low, high in ends
    )
    return tuple(sorted(set(pairs)))


SPECIAL_UNITS = {4: _special_units(4), 6: _special_units(6)}


def _numbers(row: Mapping[str, object], names: tuple[str, str, str]) -> tuple[float, float] | Why:
    """The round trip and the weight; no round trip is needed to say who served anycast."""
    given, weight_given = row.get("rtt_ms"), row.get("weight")
    rtt_ms = float("nan")
    if given not in (None, "") or names[1] != "anycast" or not names[2]:
        number = _number(given)
        if number is None or not RTT_MS_MIN <= number <= RTT_MS_MAX:
            return Why.BAD_RTT
        rtt_ms = number
    weight = 1.0 if weight_given in (None, "") else _number(weight_given)
    if weight is None or not WEIGHT_MIN <= weight <= WEIGHT_MAX:
        return Why.BAD_WEIGHT
    return rtt_ms, weight


def _number(value: object) -> float | None:
    """A number, given as one or as text; None: it is none. NaN and infinities are numbers that fit no
    bound."""
    if isinstance(value, str):
        return float(value) if re.fullmatch(NUMBER_PATTERN, value) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if number == number else None
    return None


def _text(value: object) -> str | None:
    """A text, '' where there is none; None: it is something else."""
    if value is None:
        return ""
    return value if isinstance(value, str) else None
