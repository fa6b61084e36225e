"""The real Internet as a simulator's ground: AS relationships, users per AS, POPs and their neighbours.

Reads CAIDA's relationships and exchanges, APNIC's users and the PEERING testbed's POPs from a directory; no
file of it comes with steer. Raises Refused where one is missing or not what it should be."""

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from steer.errors import Fault, Refused
from steer.lab.world_graph import Ground, Pop, Sessions, build_graph, nearest_metros, region_of
from steer.lab.world_layout import Layout

RELATIONSHIPS = "caida-as-rel2-20191201.txt.bz2"
USERS = "apnic-as-users-2021-10.csv.gz"
EXCHANGES = "caida-ixs-201910.jsonl.gz"
MEMBERS = "caida-ix-asns-201910.jsonl.xz"
NEIGHBOURS = "vultr-pops-neighbours-20251103-v4.json.gz"
COORDINATES = "peering-mux-metadata.csv"
FILE_BYTES_MAX = 1 << 28  # of any file, unpacked


def read_ground(directory: Path, layout: Layout, customers_for_presence: int) -> Ground:
    """The ground in the files of `directory`. Takes some five seconds."""
    pops, neighbours = _read_pops(directory, layout)
    bought, peered = _read_relationships(directory)
    user_asn, user_country, users = _read_users(directory)
    rows = np.array([(asn, pop, kind == "Transit") for pop, asn, kind in neighbours], np.int64)
    asns = np.unique(np.concatenate([bought.ravel(), peered.ravel(), rows[:, 0].astype(np.uint32)]))
    pop_metro = np.array([pop.metro for pop in pops])
    routers = np.concatenate(
        [_read_exchanges(directory, layout, asns), np.stack([rows[:, 0], pop_metro[rows[:, 1]]], axis=1)]
    )
    graph = build_graph(asns, bought, peered, layout, routers, customers_for_presence)
    sessions = Sessions(
        np.searchsorted(asns, rows[:, 0]).astype(np.int32),
        rows[:, 1].astype(np.int32),
        rows[:, 2] == 1,
        np.zeros(len(rows), np.bool_),
    )
    return Ground(graph, pops, sessions, user_asn, user_country, users)


def _read_relationships(directory: Path) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Rows (customer, provider), and rows (peer, peer)."""
    path = directory / RELATIONSHIPS
    try:
        lines = [line for line in _text(path).splitlines() if line and line[0] != "#"]
        if not lines:
            raise _refused(path, "names no relationship")
        table = np.loadtxt(StringIO("\n".join(lines)), np.int64, delimiter="|", usecols=(0, 1, 2), ndmin=2)
    except ValueError as error:
        raise _refused(path, f"is no list of AS relationships ({error})") from None
    sold = table[:, 2] == -1
    return table[sold][:, [1, 0]].astype(np.uint32), table[~sold][:, [0, 1]].astype(np.uint32)


def _read_users(directory: Path) -> tuple[NDArray[np.uint32], NDArray[np.str_], NDArray[np.float64]]:
    """AS numbers, countries, users."""
    path = directory / USERS
    try:
        rows = [
            (int(row["asn"]), row["country_code"], float(row["users"]))
            for row in csv.DictReader(StringIO(_text(path)))
        ]
    except (KeyError, ValueError) as error:
        raise _refused(path, f"is no table of users per AS ({error!r})") from None
    asn, country, users = zip(*rows, strict=True)
    return np.array(asn, np.uint32), np.array(country, "<U2"), np.array(users, np.float64)


def _read_pops(directory: Path, layout: Layout) -> tuple[tuple[Pop, ...], list[tuple[int, int, str]]]:
    """The POPs by name, and their (POP, neighbour's AS number, kind of session) that carry users."""
    path = directory / NEIGHBOURS
    try:
        tables: dict[str, dict[str, list[str]]] = json.loads(_text(path))["neighbours"]
        rows = {row["name"]: row for row in csv.DictReader(StringIO(_text(directory / COORDINATES)))}
        names = sorted(tables)
        latitude = np.array([float(rows[name]["lat"]) for name in names])
        longitude = np.array([float(rows[name]["lon"]) for name in names])
        metro = nearest_metros(layout, latitude, longitude).tolist()
        pops = tuple(
            Pop(
                name.removeprefix("vtr"),
                float(latitude[row]),
                float(longitude[row]),
                rows[name]["country"],
                region_of(rows[name]["continent"], float(longitude[row])),
                metro[row],
            )
            for row, name in enumerate(names)
        )
        neighbours = [
            (pop, int(asn), "Transit" if "Transit" in kinds else "Peer")
            for pop, name in enumerate(names)
            for asn, kinds in tables[name].items()
            if {"Transit", "PublicPeer", "PrivatePeer"} & set(kinds)  # not the CDN's own customers
        ]
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise _refused(path, f"and {COORDINATES} do not fit together ({error!r})") from None
    return pops, neighbours


def _read_exchanges(directory: Path, layout: Layout, asns: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Rows (AS number, metro) of exchange members whose exchange has a place."""
    try:
        exchanges = [row for row in _json_lines(directory / EXCHANGES) if "latitude" in row]
        latitude = np.array([float(row["latitude"]) for row in exchanges])
        longitude = np.array([float(row["longitude"]) for row in exchanges])
        metros = nearest_metros(layout, latitude, longitude).tolist()
        metro_of = {row["ix_id"]: metro for row, metro in zip(exchanges, metros, strict=True)}
        pairs = [
            (int(row["asn"]), metro_of[row["ix_id"]])
            for row in _json_lines(directory / MEMBERS)
            if row["ix_id"] in metro_of
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise _refused(directory / MEMBERS, f"and {EXCHANGES} do not fit together ({error!r})") from None
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return table[np.isin(table[:, 0], asns)]


def _json_lines(path: Path) -> Iterator[Any]:
    try:
        yield from (json.loads(line) for line in _text(path).splitlines() if line.startswith("{"))
    except ValueError as error:
        raise _refused(path, f"is no file of JSON lines ({error})") from None


def _text(path: Path) -> str:
    """A whole file, unpacked by its suffix."""
    try:
        with _open(path) as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _refused(path, f"cannot be read ({error})") from None
    if len(data) > FILE_BYTES_MAX:
        raise _refused(path, f"is larger than {FILE_BYTES_MAX >> 20} MiB")
    return data.decode("utf-8", errors="replace")


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.suffix == ".bz2":
        return bz2.open(path)
    if path.suffix == ".gz":
        return gzip.open(path)
    return lzma.open(path) if path.suffix == ".xz" else path.open("rb")


def _refused(path: Path, wrong: str) -> Refused:
    fix = "give a directory with all the files of the simulator's data, or none for a synthetic world"
    return Refused([Fault(str(path), 0, 0, wrong, fix)])
