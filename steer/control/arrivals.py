"""Arrivals as evidence: who reaches this nameserver shows to which POP BGP takes his network, where the
nameserver is announced as the service is.

A row says only which POP served: it has no round trip. The source's own network is meant; its client's
too, where both are in one AS."""

from collections.abc import Callable, Iterable
from typing import Any

from steer.errors import Refused
from steer.model.observed import Unit
from steer.sources.geodata import GeodataReader
from steer.telemetry.arrivals import Arrived

AsnOf = Callable[[Unit], int | None]


def arrivals_rows(
    arrived: Arrived, service: str, pop: str, asn_of: AsnOf, time_s: float
) -> list[dict[str, Any]]:
    """Measurements without a round trip (`steer.sources.measurement_lines` reads them), one per unit that is
    known to come here, as (Unix) `time_s` saw it. `asn_of`: of a unit, None unknown."""
    resolvers = dict.fromkeys(arrived.sources)
    clients = dict.fromkeys(
        client
        for source, client in arrived.pairs
        if client not in resolvers and _is_one_as(source, client, asn_of)
    )
    return [
        {
            "time": int(time_s),
            "client": str(unit.prefix),
            "service": service,
            "target": "anycast",
            "pop": pop,
        }
        for unit in (*resolvers, *clients)
    ]


def asns_of(reader: GeodataReader | None, units: Iterable[Unit]) -> dict[Unit, int | None]:
    """The AS of each unit; None where it is not known."""
    found: dict[Unit, int | None] = {}
    for unit in units:
        try:
            found[unit] = None if reader is None else reader.look_up(unit.prefix.network_address).asn
        except Refused:
            found[unit] = None
    return found


def _is_one_as(source: Unit, client: Unit, asn_of: AsnOf) -> bool:
    asn = asn_of(source)
    return asn is not None and asn == asn_of(client)
