"""Reading the files of the real world: which column is whom, what is left out, and what is refused."""

import bz2
import gzip
import json
import lzma
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from steer.errors import Refused
from steer.lab import world_real
from steer.lab.world_graph import Ground
from steer.lab.world_layout import Layout, read_layout
from steer.lab.world_real import read_ground

TELEKOM, ORANGE, LUMEN, NTT, GOOGLE = 3320, 3215, 3356, 2914, 15169


@cache
def layout() -> Layout:
    return read_layout()


def write_world(directory: Path) -> None:
    """Lumen and NTT peer; Telekom buys of Lumen, Orange of NTT; POPs in Paris and Tokyo."""
    text = {
        world_real.RELATIONSHIPS: "# a comment\n3356|3320|-1|bgp\n2914|3215|-1|bgp\n3356|2914|0|bgp\n",
        world_real.USERS: "asn,country_code,users,percent_of_country,percent_of_internet\n"
        "3320,DE,30000000,40,1\n3215,FR,20000000,40,1\n",
        world_real.EXCHANGES: '# head\n{"ix_id": 1, "latitude": "50.11", "longitude": "8.68"}\n'
        '{"ix_id": 2}\n',
        world_real.MEMBERS: '{"asn": 3215, "ix_id": 1}\n{"asn": 3320, "ix_id": 2}\n{"asn": 7, "ix_id": 1}\n',
        world_real.COORDINATES: "name,tap,lat,lon,country,continent\n"
        "vtrparis,tap1,48.8566,2.3522,FR,EU\nvtrtokyo,tap2,35.6895,139.6917,JP,AS\n",
        world_real.NEIGHBOURS: json.dumps(
            {
                "providers": {},
                "neighbours": {
                    "vtrtokyo": {"2914": ["Transit"], "15169": ["PublicPeer", "PrivatePeer"]},
                    "vtrparis": {"3356": ["Transit"], "64500": ["Customer"]},
                },
            }
        ),
    }
    for name, content in text.items():
        (directory / name).write_bytes(packed(name, content.encode()))


def packed(name: str, content: bytes) -> bytes:
    if name.endswith(".bz2"):
        return bz2.compress(content)
    if name.endswith(".gz"):
        return gzip.compress(content)
    return lzma.compress(content) if name.endswith(".xz") else content


def ground(directory: Path) -> Ground:
    return read_ground(directory, layout(), customers_for_presence=3)


def test_who_sells_to_whom_and_where_the_cdn_is(tmp_path: Path) -> None:
    write_world(tmp_path)
    found = ground(tmp_path)
    graph = found.graph
    assert graph.asn.tolist() == sorted([TELEKOM, ORANGE, LUMEN, NTT, GOOGLE])
    bought = set(zip(graph.asn[graph.customer].tolist(), graph.asn[graph.provider].tolist(), strict=True))
    assert bought == {(TELEKOM, LUMEN), (ORANGE, NTT)}
    peers = set(zip(graph.asn[graph.peer].tolist(), graph.asn[graph.other].tolist(), strict=True))
    assert peers == {(LUMEN, NTT), (NTT, LUMEN)}
    assert [(pop.name, pop.region) for pop in found.pops] == [("paris", "europe"), ("tokyo", "asia")]
    sessions = zip(
        graph.asn[found.sessions.neighbour].tolist(),
        found.sessions.pop.tolist(),
        found.sessions.is_transit.tolist(),
        strict=True,
    )
    assert set(sessions) == {(NTT, 1, True), (GOOGLE, 1, False), (LUMEN, 0, True)}


def test_routers_stand_at_exchanges_and_sessions(tmp_path: Path) -> None:
    write_world(tmp_path)
    graph = ground(tmp_path).graph

    def metros(asn: int) -> list[str]:
        row = int(np.searchsorted(graph.asn, asn))
        rows = graph.presence_metro[graph.presence_begin[row] : graph.presence_begin[row + 1]]
        return [str(layout().country[metro]) for metro in rows]

    assert "DE" in metros(ORANGE)  # the exchange in Frankfurt
    assert "JP" in metros(GOOGLE)  # the session in Tokyo


@pytest.mark.parametrize("name", [world_real.RELATIONSHIPS, world_real.USERS, world_real.NEIGHBOURS])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    write_world(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(Refused, match=name):
        ground(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (world_real.RELATIONSHIPS, bz2.compress(b"3356|x|-1\n")),
        (world_real.RELATIONSHIPS, b"not packed"),
        (world_real.RELATIONSHIPS, bz2.compress(b"# nothing\n")),
        (world_real.USERS, gzip.compress(b"asn\n1\n")),
        (world_real.NEIGHBOURS, gzip.compress(b'{"neighbours": {"vtroslo": {}}}')),
        (world_real.NEIGHBOURS, gzip.compress(b'{"neighbours": [1]}')),
        (world_real.MEMBERS, lzma.compress(b'{"asn": ')),
        (world_real.MEMBERS, lzma.compress(b'{"ix_id": 1}')),
        (world_real.MEMBERS, lzma.compress(b'{"asn": "x", "ix_id": 1}')),
        (world_real.EXCHANGES, gzip.compress(b'{"ix_id": 1, "latitude": "north", "longitude": 1}')),
        (world_real.MEMBERS, lzma.compress(b'{"asn": 3215, "ix_id": 1}')[:-8]),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    write_world(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused, match=name):
        ground(tmp_path)
